"""MRML nodes <-> nouns, in 3D Slicer or on its C++ libraries alone (PyPI `slicer-core`).

Scene, nodes and logics are arguments: nothing here asks for the application, and nothing knows Qt. VTK and Slicer's
classes are imported inside functions, so that importing this package is free.
"""
