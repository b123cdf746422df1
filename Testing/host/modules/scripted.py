"""Stand-ins of Slicer's `ScriptedLoadableModule` family, with the signatures of slicer_python_api.json."""

import importlib.util
import sys
import time
import unittest
from pathlib import Path

import slicer
from PySide6 import QtWidgets

from host.widgets.mrml_widgets import qMRMLWidget
from host.widgets.pythonqt import wrap


class ScriptedLoadableModule:
    """What Slicer knows of a module before it is opened."""

    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = parent.helpText = parent.acknowledgementText = ""
        parent.categories, parent.dependencies, parent.contributors = [], [], []

    def resourcePath(self, filename):
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def runTest(self, msec=100, **_keywords):
        getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")().runTest()


class ScriptedLoadableModuleWidget:
    """The widget of a module, in a panel with a layout."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        if parent is None:
            panel = qMRMLWidget()
            QtWidgets.QVBoxLayout(panel)
            panel.setMRMLScene(slicer.mrmlScene)
            parent = wrap(panel)
        self.parent = parent
        self.layout = parent.layout()

    def setup(self):
        """Modules add their widgets here."""

    def cleanup(self):
        """Modules release what they hold here."""

    def resourcePath(self, filename):
        path = getattr(slicer.modules, self.moduleName.lower()).path
        return str(Path(path).parent / "Resources" / filename)

    def onReload(self):
        """Slicer's own function: the old widget is cleaned up after the file was run again, and only hidden."""
        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **keywords):
        self.onReload()
        self.onTest(**keywords)

    def onTest(self, **_keywords):
        getattr(sys.modules[self.moduleName], f"{self.moduleName}Test")().runTest()


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The C++ widget of a module written in Python: makes the Python object that fills it."""

    def __init__(self):
        super().__init__()
        QtWidgets.QVBoxLayout(self)
        self._name = ""

    def setPythonSource(self, path):
        """Make the module's widget, of the class that is loaded now."""
        self._name = Path(path).stem
        widget = getattr(sys.modules[self._name], f"{self._name}Widget")(wrap(self))
        setattr(slicer.modules, f"{self._name}Widget", widget)
        return True

    def setup(self):
        getattr(slicer.modules, f"{self._name}Widget").setup()

    def reload(self):
        self.setPythonSource(getattr(slicer.modules, self._name.lower()).path)
        self.setup()


class ScriptedLoadableModuleLogic:
    """Finds the module's parameter node in the scene."""

    def __init__(self, parent=None):
        self.mrmlScene = slicer.mrmlScene
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self):
        found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        return found or self.createParameterNode()

    def createParameterNode(self):
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(self.moduleName)
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A test that runs inside Slicer."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments or ("runTest",), **keywords)

    def delayDisplay(self, message, requestedDelay=None, msec=None):
        end = time.monotonic() + (requestedDelay or msec or 0) / 1000
        slicer.app.processEvents()
        while time.monotonic() < end:
            time.sleep(0.002)
            slicer.app.processEvents()

    def runTest(self):
        """Modules run their tests here."""


def import_module(path):
    """Run a module file as Slicer does: by path, under its own name, its folder on sys.path."""
    path = Path(path)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
