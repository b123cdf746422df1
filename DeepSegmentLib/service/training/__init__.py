"""Train models: from the cases of a project, or from label maps alone."""
