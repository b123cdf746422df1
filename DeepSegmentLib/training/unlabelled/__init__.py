"""Learning from volumes that nobody drew in: from the confident answers of a teacher."""
