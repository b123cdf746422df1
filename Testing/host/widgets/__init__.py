"""Look-alikes of the widgets of Qt, CTK and Slicer, as PythonQt shows them."""
