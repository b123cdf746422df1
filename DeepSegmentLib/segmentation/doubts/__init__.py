"""What is doubted of a volume before a run, and of a result after it."""
