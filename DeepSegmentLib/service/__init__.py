"""The use cases that every shell calls: segment, evaluate, train, diagnose, the catalogue of models."""
