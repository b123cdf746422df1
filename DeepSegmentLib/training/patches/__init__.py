"""What the network sees of a case in one step: which patch, how it is augmented."""
