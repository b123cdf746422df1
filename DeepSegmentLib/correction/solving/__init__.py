"""The best labels of a two-label energy on a graph of voxels."""
