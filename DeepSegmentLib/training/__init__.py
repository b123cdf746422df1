"""Training: cases (`dataset`), images from label maps (`synthesis`), losses, the loop (`fit`)."""
