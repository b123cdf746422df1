"""Networks in torch, a file each that reads from top to bottom."""
