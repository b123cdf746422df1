"""The panel of DeepSegment in 3D Slicer.

One class for each part of the panel; `panel.Panel` joins them. What is decided about volumes and labels is decided in
`DeepSegmentLib`; here are widgets, the scene and the user. Packages that Slicer does not bring are not imported here.
"""
