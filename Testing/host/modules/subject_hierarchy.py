"""Stand-ins of the subject hierarchy's scripted plugins: what makes the right-click menu of an item.

Behaviour as read in Slicer's qSlicerSubjectHierarchyScriptedPlugin.cxx and AbstractScriptedSubjectHierarchyPlugin.py;
where Slicer prints an error and goes on, these raise.
"""

from pathlib import Path

import slicer
from PySide6 import QtCore

from host.widgets.python_cpp import instantiate, load_source
from host.widgets.pythonqt import unwrap, wrap

_METHODS = {
    "canOwnSubjectHierarchyItem", "roleForPlugin", "helpText", "icon", "visibilityIcon", "editProperties",
    "displayedItemName", "tooltip", "setDisplayVisibility", "getDisplayVisibility", "itemContextMenuActions",
    "sceneContextMenuActions", "showContextMenuActionsForItem", "canAddNodeToSubjectHierarchy",
    "canReparentItemInsideSubjectHierarchy", "reparentItemInsideSubjectHierarchy",
}  # fmt: skip


class qSlicerSubjectHierarchyPluginHandler(QtCore.QObject):
    """Knows the plugins and the item that was clicked."""

    _instance = None

    def __init__(self):
        super().__init__()
        self._plugins, self._current = {}, 0

    @classmethod
    def instance(cls):
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def registerPlugin(self, plugin):
        """Register a plugin; one whose name is known replaces the other, where Slicer refuses it."""
        self._plugins[plugin.objectName()] = plugin
        return True

    def pluginByName(self, name):
        return self._plugins.get(name)

    def allPlugins(self):
        return list(self._plugins.values())

    def currentItem(self):
        return self._current

    def setCurrentItem(self, item):
        self._current = item


class qSlicerSubjectHierarchyScriptedPlugin(QtCore.QObject):
    """Calls a plugin written in Python."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setObjectName("UnnamedScriptedPlugin")
        self._python, self._methods, self._source = None, {}, ""

    def setPythonSource(self, path):
        """Load the class that is named as its file, as a top-level module of that name."""
        name, suffix = Path(path).stem, "SubjectHierarchyPlugin"
        kind = load_source(path, name, name if name.endswith(suffix) else name + suffix)
        self._python, self._methods = instantiate(kind, wrap(self), _METHODS)
        self._source = path
        setattr(slicer, kind.__name__, self._python)
        return True

    def pythonSource(self):
        return self._source

    def self(self):
        return self._python

    def canOwnSubjectHierarchyItem(self, item):
        answer = self._methods["canOwnSubjectHierarchyItem"](item)
        if not isinstance(answer, float):
            raise TypeError(f"canOwnSubjectHierarchyItem must give a float, not {answer!r}: Slicer ignores it")
        return answer

    def roleForPlugin(self):
        answer = self._methods["roleForPlugin"]()
        if not isinstance(answer, str):
            raise TypeError(f"roleForPlugin must give a text, not {answer!r}: Slicer ignores it")
        return answer

    def itemContextMenuActions(self):
        return [unwrap(action) for action in self._methods["itemContextMenuActions"]()]

    def showContextMenuActionsForItem(self, item):
        for action in self.itemContextMenuActions():
            action.setVisible(False)
        self._methods["showContextMenuActionsForItem"](item)


class AbstractScriptedSubjectHierarchyPlugin:
    """Base of plugins written in Python; registers them."""

    def __init__(self, scriptedPlugin):
        self.scriptedPlugin = scriptedPlugin
        self.register()

    def register(self):
        handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
        handler.registerPlugin(self.scriptedPlugin)


def open_menu(item):
    """Right click on an item of the subject hierarchy: the actions that are then visible."""
    handler = qSlicerSubjectHierarchyPluginHandler.instance()
    handler.setCurrentItem(item)
    for plugin in handler.allPlugins():
        plugin.showContextMenuActionsForItem(item)
    actions = [action for plugin in handler.allPlugins() for action in plugin.itemContextMenuActions()]
    return [wrap(action) for action in actions if action.isVisible()]
