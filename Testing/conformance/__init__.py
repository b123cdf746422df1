"""What every kind of model must pass, whoever made it. A new format is finished when it has a subclass here."""
