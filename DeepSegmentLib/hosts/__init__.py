"""Shells over the use cases: the command line (`cli`) and what it shows on a terminal (`terminal`)."""
