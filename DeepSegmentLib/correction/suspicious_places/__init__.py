"""Where a segment is probably wrong: places to look at next."""
