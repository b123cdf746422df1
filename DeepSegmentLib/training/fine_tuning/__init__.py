"""Training that begins from a model: what is kept of it, what learns and how quickly, how it forgets nothing."""
