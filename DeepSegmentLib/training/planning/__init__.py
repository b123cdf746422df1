"""Configuration of a training by its cases and its machine."""
