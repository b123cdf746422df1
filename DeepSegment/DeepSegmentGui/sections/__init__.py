"""The sections of the panel, a module each."""
