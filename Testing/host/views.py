"""Real slice and 3D views of the scene, rendered off-screen."""

import os

os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer
import vtk
import vtkmodules.vtkInteractionStyle
import vtkmodules.vtkRenderingFreeType
import vtkmodules.vtkRenderingOpenGL2
import vtkmodules.vtkRenderingVolumeOpenGL2  # noqa: F401 - the factories of VTK need it
from vtk.util.numpy_support import vtk_to_numpy

_SLICE_MANAGERS = (
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
)


def _window(size):
    window = vtk.vtkRenderWindow()
    window.ShowWindowOff()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(*size)
    return window


def _managers(factory, logic, names, renderer, node):
    instance = factory.GetInstance()
    instance.SetMRMLApplicationLogic(logic)
    for name in names:
        if not instance.IsDisplayableManagerRegistered(name):
            instance.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(instance, renderer)
    group.SetMRMLDisplayableNode(node)
    return group


class SliceView:
    """A slice view; `interactor` takes mouse events as in the desktop."""

    def __init__(self, application, name, orientation, size=(400, 490)):
        self.size = size
        self.window = _window(size)
        self.renderer = vtk.vtkRenderer()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application.logic)
        application.logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(application.scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(actor)
        self._group = _managers(
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
            application.logic,
            _SLICE_MANAGERS,
            self.renderer,
            self.node,
        )
        self.style = slicer.vtkMRMLSliceViewInteractorStyle()
        self.style.SetSliceLogic(self.logic)
        self.style.SetDisplayableManagers(self._group)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.style.SetInteractor(self.interactor)

    def close(self):
        """Let go of the scene."""
        _close(self)

    def fit(self):
        """Show the whole of what is on show."""
        self.logic.ResizeSliceNode(*self.size)
        self.logic.FitSliceToAll()
        self.logic.SnapSliceOffsetToIJK()

    def pixels(self):
        """The picture, an array (row, column, 3)."""
        self.logic.UpdatePipeline()
        connection = self.logic.GetImageDataConnection()
        if connection is not None:
            self._mapper.SetInputConnection(connection)
        return _grab(self.window)


class ThreeDView:
    """A 3D view."""

    def __init__(self, application, name="View1", size=(400, 490)):
        self.window = _window(size)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.renderer.SetBackground(0.75, 0.78, 0.9)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(application.logic)
        application.logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(application.scene)
        self.node = self.logic.AddViewNode(name)
        self.node.SetMappedInLayout(1)
        self._group = _managers(
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
            application.logic,
            _THREE_D_MANAGERS,
            self.renderer,
            self.node,
        )

    def close(self):
        """Let go of the scene."""
        _close(self)

    def pixels(self):
        """The picture, an array (row, column, 3), of everything that is in the view."""
        self.window.Render()
        self.node.SetBoxVisible(0)
        self.node.SetAxisLabelsVisible(0)
        self.renderer.ResetCamera()
        return _grab(self.window)


def _close(view):
    """Views that are still referenced would go on answering to changes of the scene."""
    view.interactor.RemoveAllObservers()
    view._group.SetMRMLDisplayableNode(None)
    view.logic.SetMRMLScene(None)
    view.window.Finalize()


def _grab(window):
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.SetInputBufferTypeToRGB()
    grab.Update()
    image = grab.GetOutput()
    width, height, _depth = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()
