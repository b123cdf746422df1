"""What runs where the network runs: tiles, blending, the way back, labels. All of it in torch."""
