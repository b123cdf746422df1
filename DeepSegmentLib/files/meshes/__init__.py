"""Surfaces of segments in files for printing, planning and looking: STL, OBJ, glTF.

STL and OBJ hold LPS millimetres and say so in their first bytes, as 3D Slicer writes and reads them. glTF holds metres,
with the head up and the face to the front, as its standard wants.
"""

from .gltf import write_glb
from .obj import material_path, write_obj
from .stl import write_stl

__all__ = ["material_path", "write_glb", "write_obj", "write_stl"]
