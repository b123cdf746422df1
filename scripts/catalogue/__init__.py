"""Readers of the files in which others publish their models, one module a publisher."""
