"""Many inputs of a folder: finding them, naming their results, working one of them, and the table of all."""
