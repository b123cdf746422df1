"""Find the recipe that learns best: trials on a part of the cases that are learned from."""
