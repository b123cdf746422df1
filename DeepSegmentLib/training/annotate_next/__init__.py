"""Which unlabelled volumes to annotate next, and why."""
