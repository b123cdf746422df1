"""Start the host: Qt off-screen, the scene, `slicer.app`, `slicer.modules`, views; load modules; take pictures."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtWidgets

from host import manifest
from host.desktop import qSlicerMainWindow
from host.headless import make_application
from host.modules import extension_points, parameter_node, scripted, segment_editor, subject_hierarchy
from host.widgets import ctk_widgets, mrml_widgets, pythonqt
from host.widgets.pythonqt import unwrap, wrap
from host.widgets.view_widgets import qSlicerLayoutManager


class _Names(types.ModuleType):
    """A module whose names are looked up in the manifest."""

    def __init__(self, name, look_up):
        super().__init__(name)
        self._look_up = look_up

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._look_up(name)


def _ctk_name(name):
    if name not in manifest.module_names("ctk"):
        raise AttributeError(f"desktop Slicer has no ctk.{name}")
    if not hasattr(ctk_widgets, name):
        raise AttributeError(f"the host has no stand-in for ctk.{name}")
    return pythonqt.Class(getattr(ctk_widgets, name))


class _App:
    """`slicer.app`, as far as modules use it."""

    def __init__(self, host):
        self._host = host
        self.temporaryPath = tempfile.gettempdir()
        self.applicationVersion = "5.13.0-2026-08-21"
        self.majorVersion, self.minorVersion = 5, 13

    def __getattribute__(self, name):
        if not name.startswith("_") and name not in manifest.module_names("slicer.app"):
            raise AttributeError(f"desktop Slicer has no slicer.app.{name}")
        return object.__getattribute__(self, name)

    def processEvents(self, *_):
        QtCore.QCoreApplication.processEvents()

    def testingEnabled(self):
        return True

    def userSettings(self):
        return wrap(QtCore.QSettings())

    def settings(self):
        return wrap(QtCore.QSettings())

    def clipboard(self):
        return QtGui.QGuiApplication.clipboard()

    def applicationLogic(self):
        return self._host.application.logic

    def mrmlScene(self):
        return self._host.application.scene

    def moduleManager(self):
        return types.SimpleNamespace(module=lambda name: getattr(slicer.modules, name.lower(), None))

    def commandOptions(self):
        return types.SimpleNamespace(noMainWindow=False)

    def connect(self, signal, function):
        self._host.startup.append((signal, function))
        return True

    def disconnect(self, signal, function):
        self._host.startup.remove((signal, function))
        return True

    def setOverrideCursor(self, _cursor):
        pass

    def restoreOverrideCursor(self):
        pass

    def layoutManager(self):
        return wrap(self._host.layout_manager)

    def topLevelWidgets(self):
        return tuple(wrap(widget) for widget in QtWidgets.QApplication.topLevelWidgets())

    def translate(self, _context, text):
        return text


_NOISE = (
    "This plugin does not support propagateSizeHints",  # the off-screen platform has no window manager
    "qMRMLWidget::mrmlSceneChanged(vtkMRMLScene*)",  # PySide6 cannot spell the type; setMRMLScene tells the children
    "(sender name:",
    "(receiver name:",
)


def _log(kind, _context, text):
    """Qt's messages, less those that come with standing in; a warning is an error in the tests."""
    if not any(noise in text for noise in _NOISE):
        sys.stderr.write(f"Qt {kind.name}: {text}\n")


class Host:
    """The running host.

    Attributes:
        application: Scene and logics, see `headless.Application`.
        startup: What modules connected to signals of the application.
        errors: What slots and observers ended with, not yet raised.
        views: Slice and 3D views by name; made when first asked for.
    """

    def __init__(self):
        QtCore.qInstallMessageHandler(_log)
        self.qt = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["Slicer"])
        QtCore.QCoreApplication.setOrganizationName("DeepSegment test host")
        QtCore.QCoreApplication.setApplicationName("Slicer")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.Format.IniFormat)
        self._settings = tempfile.TemporaryDirectory(prefix="deepsegment-host-")
        QtCore.QSettings.setPath(
            QtCore.QSettings.Format.IniFormat, QtCore.QSettings.Scope.UserScope, self._settings.name
        )
        os.environ.setdefault("XDG_DATA_HOME", self._settings.name)  # journals of tests are nobody's
        self.application = make_application()
        self.startup, self.errors, self._views = [], [], {}
        self.layout_manager = qSlicerLayoutManager(self.open_views)
        self.main_window = qSlicerMainWindow(self._open_module)
        self._install()
        sys.excepthook = self._note_error

    def _install(self):
        """Put the stand-ins where modules look for them."""
        sys.modules["qt"] = _Names("qt", pythonqt.qt_name)
        sys.modules["ctk"] = _Names("ctk", _ctk_name)
        pythonqt.UiLoader.standins = {
            kind.__name__: kind
            for module in (ctk_widgets, mrml_widgets)
            for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, QtWidgets.QWidget)
        }
        for name, kind in pythonqt.UiLoader.standins.items():
            if name.startswith(("qMRML", "qSlicer")):
                setattr(slicer, name, pythonqt.Class(kind))
        slicer.mrmlScene = self.application.scene
        slicer.app = _App(self)
        logics = self.application.logics.items()
        slicer.modules = types.SimpleNamespace(
            **{name.lower(): types.SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics}
        )
        extension_points.install()
        self._add_python("slicer.ScriptedLoadableModule", scripted)
        self._add_python("slicer.parameterNodeWrapper", parameter_node)
        i18n = types.ModuleType("slicer.i18n")
        i18n.tr = lambda text: text
        i18n.translate = lambda _context, text: text
        self._add_python("slicer.i18n", i18n)

    def _add_python(self, name, module):
        sys.modules[name] = module
        setattr(slicer, name.split(".")[1], module)

    def load_module(self, path):
        """Load a scripted module and open it.

        Returns:
            Its widget (the Python object) and its panel (the wrapped QWidget).
        """
        path = Path(path)
        module = scripted.import_module(path)
        parent = types.SimpleNamespace(path=str(path), icon=None)
        getattr(module, path.stem)(parent)
        panel = scripted.qSlicerScriptedLoadableModuleWidget()
        panel.setMRMLScene(slicer.mrmlScene)
        found = types.SimpleNamespace(path=str(path), widgetRepresentation=lambda: wrap(panel))
        setattr(slicer.modules, path.stem.lower(), found)
        panel.setPythonSource(str(path))
        panel.setup()
        widget = getattr(slicer.modules, f"{path.stem}Widget")
        selector = self.main_window.moduleSelector()
        selector.forget()
        selector.selectModule(path.stem)
        panel.resize(480, 980)
        panel.show()
        self.process_events()
        return widget, wrap(panel)

    def _open_module(self, previous, name):
        """Leave one module and enter another, as the module selector does."""
        if not hasattr(slicer.modules, name.lower()):
            raise ValueError(f"there is no module {name}; load it first")
        for module, method in ((previous, "exit"), (name, "enter")):
            widget = getattr(slicer.modules, f"{module}Widget", None)
            if widget is not None:
                getattr(widget, method)()

    def complete_startup(self):
        """Call what modules connected to the end of the application's start."""
        functions = [function for signal, function in self.startup if signal == "startupCompleted()"]
        self._forget_startup()
        for function in functions:
            function()
        self.process_events()

    def _forget_startup(self):
        self.startup[:] = [(signal, function) for signal, function in self.startup if signal != "startupCompleted()"]

    def open_segment_editor(self, segmentation, volume):
        """The Segment Editor on a segmentation and its source volume, the views open: the wrapped widget."""
        self.show_volume(volume)
        return segment_editor.open_editor(slicer.mrmlScene, segmentation, volume)

    def open_context_menu(self, node):
        """Right click on a node in the subject hierarchy: the actions that are then visible."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        item = hierarchy.GetItemByDataNode(node)
        # In the desktop every node has its item: a class of Qt code adds it.
        return subject_hierarchy.open_menu(item or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node))

    def _note_error(self, kind, error, trace):
        """An exception in a slot or an observer: Slicer prints it and goes on, and so do Qt and VTK here."""
        sys.__excepthook__(kind, error, trace)
        self.errors.append(error)

    def raise_errors(self):
        """Raise the first exception that a slot or an observer ended with since the last call."""
        errors, self.errors = self.errors, []
        if errors:
            raise errors[0]

    def clear(self):
        """Empty the scene, as File, Close scene does, and forget settings and what modules registered."""
        extension_points.forget()
        self._forget_startup()
        self._close_views()
        slicer.mrmlScene.Clear(0)
        QtCore.QSettings().clear()
        self.process_events()

    def _close_views(self):
        """Views go with their nodes: these outlive the closing of a scene, and the next views would not find them."""
        for view in self._views.values():
            view.close()
        self._views.clear()
        self.layout_manager.close()
        self.application.logic.GetSliceLogics().RemoveAllItems()
        self.application.logic.GetViewLogics().RemoveAllItems()
        scene = slicer.mrmlScene
        for kind in ("vtkMRMLAbstractViewNode", "vtkMRMLSliceCompositeNode", "vtkMRMLCameraNode"):
            for node in slicer.util.getNodesByClass(kind, scene):
                scene.RemoveNode(node)

    def process_events(self, seconds=0.0):
        """Serve the event loop, at least once.

        Raises:
            Exception: What a slot or an observer ended with.
        """
        end = time.monotonic() + seconds
        while True:
            self.qt.processEvents()
            self.raise_errors()
            if time.monotonic() >= end:
                return
            time.sleep(0.002)

    def wait_until(self, condition, seconds=60.0):
        """Serve the event loop until a condition holds.

        Raises:
            TimeoutError: It did not.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= end:
                raise TimeoutError("the condition did not come true")
            self.process_events(0.01)

    def click(self, button):
        """Press a button as a user does: not when it is hidden or disabled."""
        raw = unwrap(button)
        if not raw.isEnabled() or not raw.isVisible():
            raise RuntimeError(f"{raw.objectName()} cannot be clicked: it is disabled or hidden")
        raw.click()
        self.process_events()

    def open_views(self):
        """Axial, coronal, sagittal and 3D views of the scene."""
        from host.views import SliceView, ThreeDView

        if not self._views:
            for name, orientation in (("Red", "Axial"), ("Green", "Coronal"), ("Yellow", "Sagittal")):
                self._views[name] = SliceView(self.application, name, orientation)
            self._views["3D"] = ThreeDView(self.application)
        return self._views

    def show_volume(self, node):
        """Put a volume into the slice views."""
        for view in self.open_views().values():
            if hasattr(view, "fit"):
                view.logic.GetSliceCompositeNode().SetBackgroundVolumeID(node.GetID())
                view.fit()

    def screenshot(self, path, panel, *, views=True):
        """Write a picture of the panel, with the views beside it."""
        raw = unwrap(panel)
        _fit(raw)
        self.process_events(0.05)
        left = raw.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGB888)
        pixels = _to_array(left)
        if views:
            pixels = _beside(pixels, self._view_pixels())
        height, width, _channels = pixels.shape
        picture = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format.Format_RGB888)
        picture.save(str(path))

    def _view_pixels(self):
        tiles = [self.open_views()[name].pixels() for name in ("Red", "3D", "Green", "Yellow")]
        return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def _fit(panel):
    """Give a panel the height that it wants at its width, as the scroll area does that Slicer puts it in."""
    layout = panel.layout()
    if layout is not None and panel.isWindow() and layout.hasHeightForWidth():
        panel.resize(panel.width(), max(layout.minimumSize().height(), layout.heightForWidth(panel.width())))


def dark_palette():
    """The colours of Slicer's dark style, as `QApplication.setPalette` takes them."""
    palette, roles = QtGui.QPalette(), QtGui.QPalette.ColorRole
    for role, grey in (
        (roles.Window, 50), (roles.Base, 25), (roles.AlternateBase, 38), (roles.Button, 50), (roles.ToolTipBase, 25),
        (roles.WindowText, 235), (roles.Text, 235), (roles.ButtonText, 235), (roles.ToolTipText, 235),
        (roles.HighlightedText, 0), (roles.PlaceholderText, 128),
    ):  # fmt: skip
        palette.setColor(role, QtGui.QColor(grey, grey, grey))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QtGui.QPalette.ColorGroup.Disabled, role, QtGui.QColor(128, 128, 128))
    palette.setColor(roles.Highlight, QtGui.QColor(42, 130, 218))
    return palette


def _to_array(image):
    lines = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)


def _beside(left, right):
    height = max(left.shape[0], right.shape[0])
    both = [np.pad(part, ((0, height - part.shape[0]), (0, 0), (0, 0)), constant_values=40) for part in (left, right)]
    return np.ascontiguousarray(np.hstack(both))


class BlockProbe:
    """Measures how long the event loop was not served: a timer that should fire every 5 ms, and did not.

    Attributes:
        gaps_ms: The times between two turns, in ms.
    """

    def __init__(self):
        self.gaps_ms = []
        self._last = None
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)

    def __enter__(self):
        self._last = time.perf_counter()
        self._timer.start()
        return self

    def __exit__(self, *_):
        self._timer.stop()

    def _tick(self):
        now = time.perf_counter()
        self.gaps_ms.append(1000 * (now - self._last))
        self._last = now


_host = None


def start():
    """The host of this process; started once."""
    global _host  # noqa: PLW0603 - Qt and `slicer` exist once a process
    if _host is None:
        _host = Host()
    return _host
