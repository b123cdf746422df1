"""Bringing models here and taking them elsewhere: known ones from the web, packs for machines without network."""
