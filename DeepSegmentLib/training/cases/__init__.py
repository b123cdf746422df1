"""What is learned from: volumes with their labels, what of them is known, and how networks get them."""
