"""How classes of Slicer's C++ find and call the Python classes behind them (qSlicerScriptedUtils.cxx)."""

import importlib.util
import sys
from pathlib import Path


def load_source(path, module_name, class_name):
    """The class in a file.

    The module of that name is asked first. When it lacks the class, the file is run as that module and takes its place
    in sys.modules: a package of the same name is lost.

    Raises:
        ValueError: The path is not one that Slicer takes.
        AttributeError: The file has no such class.
    """
    if not path.endswith(".py"):
        raise ValueError(f"Slicer takes the path of a .py file, not {path}")
    known = getattr(sys.modules.get(module_name), class_name, None)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(module_name, Path(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return getattr(module, class_name)


def instantiate(kind, wrapped, names):
    """Make the Python object of a C++ object.

    Returns:
        It, and those of its methods that C++ calls. Slicer looks them up now: methods added later are not called.
    """
    made = kind(wrapped)
    return made, {name: getattr(made, name) for name in names if hasattr(made, name)}
