"""Stand-ins of Slicer's main window: the module selector."""

from PySide6 import QtCore, QtWidgets


class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Opens modules by name.

    Args:
        open_module: Called with the name of the module to open.
    """

    def __init__(self, open_module):
        super().__init__()
        self._open_module, self._selected = open_module, ""

    def selectModule(self, name):
        if name != self._selected:
            previous, self._selected = self._selected, name
            self._open_module(previous, name)

    def forget(self):
        """The selected module is gone."""
        self._selected = ""

    selectedModule = QtCore.Property(str, lambda self: self._selected)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """The window that `slicer.util.mainWindow` finds; never shown.

    Args:
        open_module: Called with the names of the module that is left ("" at first) and of that to open.
    """

    def __init__(self, open_module):
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelectorToolBar(open_module)
        self.addToolBar(self._selector)

    def moduleSelector(self):
        return self._selector
