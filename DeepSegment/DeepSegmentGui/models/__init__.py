"""Which model is run: the list of them, getting and removing, its channels, its segments."""
