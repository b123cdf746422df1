"""The parts of an export: what is exported, which files come of it, and the writer of each format."""
