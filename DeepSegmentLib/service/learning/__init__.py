"""The second half of the loop: collect cases, train, compare, promote, choose what to annotate next."""
