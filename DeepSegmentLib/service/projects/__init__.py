"""Projects: collect cases, read them to learn from them, look through them."""
