"""What is done with a trained model: compare it on cases of a project, promote it, choose what to annotate next."""
