"""The commands of the loop's second half: `project`, `train`, `compare`, `promote`, `next`."""
