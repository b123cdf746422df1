"""DeepSegment in 3D Slicer: the module, its widget, its logic and its tests. The panel itself is in `DeepSegmentGui`."""

import importlib.util
import sys
from pathlib import Path

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


def _findLibrary():
    """In a source checkout the library stands beside this module's folder, which alone is on the path."""
    if importlib.util.find_spec("DeepSegmentLib") is None:
        sys.path.append(str(Path(__file__).resolve().parent.parent))


_findLibrary()


class DeepSegment(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("DeepSegment")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "Volumes", "Markups", "Terminologies"]
        self.parent.contributors = ["DeepSegment contributors"]
        self.parent.helpText = _(
            "Segments volumes with deep networks on this computer, in a process of its own: go on reading while it "
            "runs. Results become segments with names, colors and standard codes, by a merge policy of your choice, "
            "and can be undone."
        )
        self.parent.acknowledgementText = _(
            "The bundled model was trained from the label maps of SynthSeg (Billot et al., 2023, Apache-2.0)."
        )
        if not slicer.app.commandOptions().noMainWindow:
            slicer.app.connect("startupCompleted()", registerSampleData)
            slicer.app.connect("startupCompleted()", registerSubjectHierarchyPlugin)


def registerSampleData():
    """Offer a head MR that the bundled model can segment in the module Sample Data."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DeepSegment",
        sampleName="DeepSegmentHeadMR",
        uris="https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/"
        "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93",
        fileNames="MRHead.nrrd",
        checksums="SHA256:cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93",
        nodeNames="MRHead",
    )


def registerSubjectHierarchyPlugin():
    """Add "Segment with DeepSegment" to the menu of volumes."""
    import DeepSegmentSubjectHierarchyPlugin  # noqa: F401 - registers itself


class DeepSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's widget: makes the panel and tells it what happens to the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self):
        """Make the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        from DeepSegmentGui.panel import Panel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DeepSegment.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = DeepSegmentLogic()
        self.panel = Panel(
            slicer.util.childWidgetVariables(uiWidget),
            slicer.mrmlScene,
            uiWidget,
            self.resourcePath("requirements.txt"),
        )
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()

    def cleanup(self):
        """Called when the module widget is destroyed or reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
            self.panel = None

    def enter(self):
        """Called when the user opens the module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self):
        """Called when the user opens another module."""
        self.panel.exit()

    def onReload(self):
        """Reload everything: the panel and the library, too."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("DeepSegmentGui", "DeepSegmentLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, _caller, _event):
        """The scene goes: so do the run and the settings."""
        self._observeParameters(None)
        self.panel.sceneClosing()

    def onSceneEndClose(self, _caller, _event):
        """A new or loaded scene has settings of its own."""
        if self.panel is not None:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeRemoved(self, _caller, _event, node):
        """A node goes; what needs it stops."""
        self.panel.nodeRemoved(node)

    def initializeParameterNode(self):
        """Connect the panel with the settings in the scene."""
        parameters = self.logic.getParameters()
        self._observeParameters(parameters)
        self.panel.setParameters(parameters)

    def _observeParameters(self, parameters):
        for node in [node for node, *_rest in self.Observations if node.IsA("vtkMRMLScriptedModuleNode")]:
            self.removeObserver(node, vtk.vtkCommand.ModifiedEvent, self.panel.refresh)
        if parameters is not None:
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self.panel.refresh)


class DeepSegmentLogic(ScriptedLoadableModuleLogic):
    """Where the settings of the scene are; everything else is in DeepSegmentLib, usable without Slicer."""

    def getParameters(self):
        """The settings in the scene, made if need be."""
        from DeepSegmentGui.parameters import Parameters

        return Parameters(ScriptedLoadableModuleLogic.getParameterNode(self))


class DeepSegmentTest(ScriptedLoadableModuleTest):
    """Runs inside Slicer, from Reload and Test and from ctest."""

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self):
        """Run as few or as many tests as needed here."""
        self.setUp()
        self.test_segmentSampleVolume()

    def test_segmentSampleVolume(self):
        """Segment a synthetic volume through the panel, as a click does."""
        from DeepSegmentTests import segmentThroughPanel

        self.delayDisplay("Segmenting")
        segmentThroughPanel(self)
        self.delayDisplay("Test passed")
