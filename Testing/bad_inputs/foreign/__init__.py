"""What a stranger may have hidden in a model of somebody else, by the kind of model."""
