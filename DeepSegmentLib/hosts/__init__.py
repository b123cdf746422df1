"""Shells over the use cases: the command (`command`), MRML nodes (`mrml`), the worker process (`worker`)."""
