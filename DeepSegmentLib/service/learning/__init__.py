"""Projects: collect cases, look through them, compare models on them, promote the better one, choose what is next."""
