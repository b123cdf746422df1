"""Stand-ins of Slicer's MRML widgets that modules use, over the real scene."""

from functools import partial

from PySide6 import QtCore, QtWidgets

Property, Signal = QtCore.Property, QtCore.Signal


class qMRMLWidget(QtWidgets.QWidget):
    """Hands its scene on: to the slots that a .ui file connects, and to children that ask for it."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._scene = None

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)
        for child in self.findChildren(QtWidgets.QWidget):
            if hasattr(type(child), "setMRMLScene"):
                child.setMRMLScene(scene)

    def mrmlScene(self):
        return self._scene


def _setting(name, kind):
    def write(self, value):
        self._settings[name] = value
        self._fill()

    return Property(kind, lambda self: self._settings[name], write)


class qMRMLSortFilterProxyModel(QtCore.QObject):
    """Says which nodes a selector hides."""

    def __init__(self, selector):
        super().__init__(selector)
        self._hidden, self._selector = [], selector

    def _set(self, node_ids):
        self._hidden = list(node_ids)
        self._selector._fill()

    hiddenNodeIDs = Property("QStringList", lambda self: self._hidden, _set)


def _end_observing(observed, *_):
    """What C++ does by itself: a widget that is gone hears nothing more of the scene."""
    while observed:
        scene, tag = observed.pop()
        scene.RemoveObserver(tag)


class qMRMLNodeComboBox(QtWidgets.QComboBox):
    """The nodes of some classes; follows the scene."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)

    nodeTypes = _setting("nodeTypes", "QStringList")
    hideChildNodeTypes = _setting("hideChildNodeTypes", "QStringList")
    showChildNodeTypes = _setting("showChildNodeTypes", bool)
    showHidden = _setting("showHidden", bool)
    noneEnabled = _setting("noneEnabled", bool)
    noneDisplay = _setting("noneDisplay", str)
    addEnabled = _setting("addEnabled", bool)
    removeEnabled = _setting("removeEnabled", bool)
    editEnabled = _setting("editEnabled", bool)
    renameEnabled = _setting("renameEnabled", bool)
    selectNodeUponCreation = _setting("selectNodeUponCreation", bool)
    baseName = _setting("baseName", str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._settings = {
            "nodeTypes": [], "hideChildNodeTypes": [], "showChildNodeTypes": True, "showHidden": False,
            "noneEnabled": False, "noneDisplay": "None", "addEnabled": True, "removeEnabled": True,
            "editEnabled": False, "renameEnabled": False, "selectNodeUponCreation": True, "baseName": "",
        }  # fmt: skip
        self._scene, self._observed, self._filling, self._last = None, [], False, None
        self.destroyed.connect(partial(_end_observing, self._observed))
        self._proxy = qMRMLSortFilterProxyModel(self)
        self.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.currentIndexChanged.connect(self._chosen)

    def setMRMLScene(self, scene):
        _end_observing(self._observed)
        self._scene = scene
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            self._observed += [(scene, scene.AddObserver(event, lambda *_: self._fill())) for event in events]
        self._fill()

    def mrmlScene(self):
        return self._scene

    def sortFilterProxyModel(self):
        return self._proxy

    def currentNode(self):
        return self._scene.GetNodeByID(self._last) if self._scene and self._last else None

    def setCurrentNode(self, node):
        node_id = node if isinstance(node, str) else node and node.GetID()
        index = self.findData(node_id) if node_id else -1
        self.setCurrentIndex(index if index >= 0 else (0 if self._settings["noneEnabled"] else -1))
        self._chosen()  # in Slicer the box is inside this widget: blockSignals on it does not keep the choice back

    def _get_id(self):
        return self._last or ""

    def setCurrentNodeID(self, node_id):
        self.setCurrentNode(node_id)

    currentNodeID = Property(str, _get_id, setCurrentNodeID)

    def nodeCount(self):
        return sum(self.itemData(row) is not None for row in range(self.count()))

    def nodeFromIndex(self, index):
        return self._scene.GetNodeByID(self.itemData(index + self._settings["noneEnabled"]))

    def _accepts(self, node):
        settings = self._settings
        if node.GetID() in self._proxy.hiddenNodeIDs:
            return False
        if node.GetHideFromEditors() and not settings["showHidden"]:
            return False
        if any(node.IsA(kind) for kind in settings["hideChildNodeTypes"]):
            return False
        exact = node.GetClassName() in settings["nodeTypes"]
        return exact or (settings["showChildNodeTypes"] and any(node.IsA(kind) for kind in settings["nodeTypes"]))

    def _fill(self):
        if self._filling or self._scene is None:
            return
        self._filling, wanted = True, self._last
        self.clear()
        if self._settings["noneEnabled"]:
            self.addItem(self._settings["noneDisplay"], None)
        for n in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(n)
            if self._accepts(node):
                self._add(node)
        index = self.findData(wanted) if wanted else -1
        self.setCurrentIndex(index if index >= 0 else (0 if self.count() else -1))
        self._filling = False
        self._chosen()

    def _add(self, node):
        self.addItem(node.GetName(), node.GetID())

    def _chosen(self, *_):
        if self._filling:
            return
        node_id = self.currentData()
        if node_id != self._last:
            self._last = node_id
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id or "")


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Nodes that can be ticked."""

    checkedNodesChanged = Signal()

    def _fill(self):
        self._ticked = {node.GetID() for node in self.checkedNodes()} if self._scene is not None else set()
        super()._fill()

    def _add(self, node):
        super()._add(node)
        item = self.model().item(self.count() - 1)
        item.setFlags(item.flags() | QtCore.Qt.ItemFlag.ItemIsUserCheckable)
        states = QtCore.Qt.CheckState
        item.setCheckState(states.Checked if node.GetID() in self._ticked else states.Unchecked)

    def checkedNodes(self):
        items = [(row, self.model().item(row)) for row in range(self.count())]
        checked = [row for row, item in items if item.checkState() == QtCore.Qt.CheckState.Checked]
        nodes = [self._scene.GetNodeByID(self.itemData(row)) for row in checked]
        return [node for node in nodes if node is not None]

    def checkState(self, node):
        return self.model().item(self.findData(node.GetID())).checkState()

    def setCheckState(self, node, state):
        self.model().item(self.findData(node.GetID())).setCheckState(QtCore.Qt.CheckState(state))
        self.checkedNodesChanged.emit()

    def check(self, node):
        self.setCheckState(node, QtCore.Qt.CheckState.Checked)


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """A segmentation node and one of its segments."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._node, self._tags, self._settings = None, [], {"noneEnabled": False, "editEnabled": False}
        self._nodes, self._segments = qMRMLNodeComboBox(self), QtWidgets.QComboBox(self)
        self._nodes.nodeTypes, self._nodes.noneEnabled = ["vtkMRMLSegmentationNode"], True
        layout = QtWidgets.QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._segments.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy.AdjustToContents)
        layout.addWidget(self._nodes, 0, 0, 1, 2)
        layout.addWidget(QtWidgets.QLabel("Segment:"), 1, 0)
        layout.addWidget(self._segments, 1, 1)
        self._nodes.currentNodeChanged.connect(self._node_chosen)
        self._segments.currentIndexChanged.connect(lambda _n: self.currentSegmentChanged.emit(self.currentSegmentID()))

    def _fill(self):
        """Called by properties; nothing to show."""

    noneEnabled, editEnabled = _setting("noneEnabled", bool), _setting("editEnabled", bool)

    def _node_chosen(self, node):
        for tag in self._tags:
            self._node.GetSegmentation().RemoveObserver(tag)
        self._node, self._tags = node, []
        if node is not None:
            segmentation = node.GetSegmentation()
            events = (segmentation.SegmentAdded, segmentation.SegmentRemoved, segmentation.SegmentModified)
            self._tags = [segmentation.AddObserver(event, lambda *_: self._fill_segments()) for event in events]
        self._fill_segments()
        self.currentNodeChanged.emit(node)

    def _fill_segments(self):
        chosen = self.currentSegmentID()
        self._segments.blockSignals(True)
        self._segments.clear()
        segmentation = self._node.GetSegmentation() if self._node else None
        for n in range(segmentation.GetNumberOfSegments() if segmentation else 0):
            self._segments.addItem(segmentation.GetNthSegment(n).GetName(), segmentation.GetNthSegmentID(n))
        self._segments.setCurrentIndex(max(self._segments.findData(chosen), 0 if self._segments.count() else -1))
        self._segments.blockSignals(False)
        if self.currentSegmentID() != chosen:
            self.currentSegmentChanged.emit(self.currentSegmentID())

    def currentNode(self):
        return self._nodes.currentNode()

    def setCurrentNode(self, node):
        self._nodes.setCurrentNode(node)

    def currentSegmentID(self):
        return self._segments.currentData() or ""

    def setCurrentSegmentID(self, segment_id):
        self._segments.setCurrentIndex(self._segments.findData(segment_id))
