"""A test host: the module's panel off-screen, on a real MRML scene, in a look-alike of desktop Slicer that is strict.

Real: the MRML scene, its logics and its views (PyPI slicer-core). Stand-ins: `qt` and `ctk` over PySide6, the widgets
of Slicer, the Python files of Slicer that a module uses. Stand-ins offer only the names that a running desktop Slicer
5.13 has (data/qt_api.json, data/slicer_python_api.json), and refuse what PythonQt refuses.
"""

import sys
from pathlib import Path


def _import_slicer():
    """Import slicer-core with `Testing` out of sight.

    Its `slicer/__init__.py` imports every module of every folder named slicer on sys.path, and Testing/slicer is one.
    """
    testing, path = Path(__file__).resolve().parents[1], sys.path[:]
    sys.path[:] = [entry for entry in path if Path(entry).resolve() != testing]
    try:
        import slicer  # noqa: F401
    except ModuleNotFoundError:
        pass
    finally:
        sys.path[:] = path


_import_slicer()
