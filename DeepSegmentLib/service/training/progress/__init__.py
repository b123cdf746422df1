"""How trainings go: their reports, curves and sample pictures; which ones a project has."""
