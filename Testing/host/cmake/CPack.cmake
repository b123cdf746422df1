# Packaging is left to Slicer.
