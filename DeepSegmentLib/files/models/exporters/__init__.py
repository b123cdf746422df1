"""Our models in the formats of others; a module for each."""
