"""The sections Project and Train: collect cases, learn from them, compare, promote."""
