"""Models of others, converted at the door; a module for each kind. After it everything is our own model folder."""

from .door import IMPORTERS, Importer, Words, importer_of

__all__ = ["IMPORTERS", "Importer", "Words", "importer_of"]
