"""Datasets that trainers read."""
