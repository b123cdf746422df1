"""Array maths: intensity, resampling, tiling, blending, distances, components. NumPy and SciPy only."""
