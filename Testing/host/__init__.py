"""A test host: the module's panel off-screen, on a real MRML scene, in a look-alike of desktop Slicer that is strict.

Real: the MRML scene, its logics and its views (PyPI slicer-core). Stand-ins: `qt` and `ctk` over PySide6, the widgets
of Slicer, the Python files of Slicer that a module uses. Stand-ins offer only the names that a running desktop Slicer
5.13 has (data/qt_api.json, data/slicer_python_api.json), and refuse what PythonQt refuses.
"""
