"""Corrections: what the effect and the section Correct share, and the effect's parts."""
