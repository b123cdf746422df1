"""Stand-ins of Slicer's view widgets and of its layout manager, over the off-screen views."""

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from host.widgets.mrml_widgets import qMRMLWidget


class _View(QtWidgets.QWidget):
    """What slice and 3D views share: the window that renders, the interactor that gets the events."""

    def __init__(self, view, parent):
        super().__init__(parent)
        self._view = view

    def renderWindow(self):
        return self._view.window

    def interactor(self):
        return self._view.interactor

    def scheduleRender(self):
        """Pictures are rendered when they are taken."""

    def forceRender(self):
        self._view.window.Render()


class qMRMLSliceView(_View):
    """Where a slice is drawn."""

    def interactorStyle(self):
        return self._view.style

    def mrmlSliceNode(self):
        return self._view.node


class qMRMLThreeDView(_View):
    """Where the scene is drawn in 3D."""

    def mrmlViewNode(self):
        return self._view.node


class qMRMLSliceWidget(qMRMLWidget):
    """A slice view with its controller."""

    def __init__(self, view, parent=None):
        super().__init__(parent)
        self._view, self._slice_view = view, qMRMLSliceView(view, self)
        self.setMRMLScene(view.node.GetScene())

    def sliceLogic(self):
        return self._view.logic

    def sliceView(self):
        return self._slice_view

    def mrmlSliceNode(self):
        return self._view.node

    def mrmlSliceCompositeNode(self):
        return self._view.logic.GetSliceCompositeNode()

    def fitSliceToBackground(self):
        self._view.fit()


class qMRMLThreeDWidget(qMRMLWidget):
    """A 3D view with its controller."""

    def __init__(self, view, parent=None):
        super().__init__(parent)
        self._view, self._three_d_view = view, qMRMLThreeDView(view, self)
        self.setMRMLScene(view.node.GetScene())

    def viewLogic(self):
        return self._view.logic

    def threeDView(self):
        return self._three_d_view

    def mrmlViewNode(self):
        return self._view.node


class qSlicerLayoutManager(QtCore.QObject):
    """Finds the views: three slices and one 3D view, whatever the layout; one with a table has its view node, too."""

    def __init__(self, open_views):
        super().__init__()
        self._open_views, self._widgets = open_views, {}
        self._layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView

    def setLayout(self, layout):
        self._layout = layout
        kinds = slicer.vtkMRMLLayoutNode
        tables = (
            kinds.SlicerLayoutFourUpTableView,
            kinds.SlicerLayout3DTableView,
            kinds.SlicerLayoutFourUpPlotTableView,
        )
        scene = slicer.mrmlScene
        if layout in tables and scene.GetFirstNodeByClass("vtkMRMLTableViewNode") is None:
            scene.AddNewNodeByClass("vtkMRMLTableViewNode", "Table1")

    layout = QtCore.Property(int, lambda self: self._layout, setLayout)

    def _widget(self, name, kind):
        view = self._open_views()[name]
        if name not in self._widgets or self._widgets[name][0] is not view:
            self._widgets[name] = (view, kind(view))
        return self._widgets[name][1]

    def sliceViewNames(self):
        return [name for name in self._open_views() if name != "3D"]

    def sliceWidget(self, name):
        return self._widget(name, qMRMLSliceWidget)

    def mrmlSliceLogics(self):
        logics = vtk.vtkCollection()
        for name in self.sliceViewNames():
            logics.AddItem(self._open_views()[name].logic)
        return logics

    def threeDWidget(self, index):
        return self._widget("3D", qMRMLThreeDWidget) if index == 0 else None

    threeDViewCount = QtCore.Property(int, lambda _self: 1)

    def resetSliceViews(self):
        for name in self.sliceViewNames():
            self.sliceWidget(name).fitSliceToBackground()

    def close(self):
        """Forget the widgets of a scene that is gone."""
        self._widgets.clear()
