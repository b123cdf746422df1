"""Segmentation nodes: read, written by a merge policy, their segments and label images."""
