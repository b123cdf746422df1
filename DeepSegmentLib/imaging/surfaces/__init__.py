"""The surface of a mask: how large it is, as triangles, smoothed."""
