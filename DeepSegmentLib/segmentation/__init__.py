"""Segmentation: a volume and a model in, a labelmap out."""
