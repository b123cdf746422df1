"""DeepSegment in 3D Slicer: the module, its widget, its logic and its tests; the panel is in `DeepSegmentGui`."""

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
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", registerSubjectHierarchyPlugin)
        slicer.app.connect("startupCompleted()", registerEffect)
        slicer.app.connect("startupCompleted()", self.loadTerminology)

    def loadTerminology(self):
        """Let the terminology selector offer the structures of the bundled models."""
        name = "SegmentationCategoryTypeModifier-DeepSegment.term.json"
        slicer.modules.terminologies.logic().LoadTerminologyFromFile(self.resourcePath(name))


def registerSampleData():
    """Offer volumes in the module Sample Data."""
    from DeepSegmentGui import sample_data

    sample_data.register()


def registerSubjectHierarchyPlugin():
    """Add "Segment with DeepSegment" to the menu of volumes."""
    path = Path(__file__).resolve().parent / "DeepSegmentGui" / "DeepSegmentSubjectHierarchyPlugin.py"
    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    plugin.setPythonSource(path.as_posix())


def registerEffect():
    """Add DeepSegment: Fix to the effects of the Segment Editor."""
    path = Path(__file__).resolve().parent / "DeepSegmentEffects" / "DeepSegmentFixEffect.py"
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(path.as_posix())
    effect.self().register()


class DeepSegmentWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's widget: makes the panel and tells it what happens to the scene."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None
        self._uiWidget = None

    def setup(self):
        """Make the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        from DeepSegmentGui.panel import Panel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/DeepSegment.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self._uiWidget = uiWidget
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
        self.addObserver(scene, scene.NodeAddedEvent, self.onNodeAdded)
        self.addObserver(scene, scene.EndBatchProcessEvent, self.onNodesAdded)
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
        """Reload everything, the library and the parts of the effect too; corrections go on from their journals."""
        journaled = self._release()
        for name in [name for name in sys.modules if name.split(".")[0] in ("DeepSegmentGui", "DeepSegmentLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)
        self._takeUp(journaled)

    def _release(self):
        """Let nothing that was made of the old classes stay in use; what is being corrected, as pairs of nodes."""
        from DeepSegmentGui.correction.scene_corrector import closeCorrector

        if "DeepSegmentEffects" in sys.modules:
            sys.modules["DeepSegmentEffects"].DeepSegmentFixEffect.dropAllParts()
        journaled = closeCorrector(slicer.mrmlScene)
        self.cleanup()
        self._uiWidget.setMRMLScene(None)  # Slicer only hides the widgets: they would go on answering
        self._uiWidget.deleteLater()
        return journaled

    def _takeUp(self, journaled):
        """Go on with the classes that are loaded now."""
        from DeepSegmentGui.correction.scene_corrector import correctorOf
        from DeepSegmentGui.correction.target import Target

        for segmentation, volume in journaled:
            segmentID = segmentation.GetSegmentation().GetNthSegmentID(0)
            correctorOf(slicer.mrmlScene).prepare(Target(volume, segmentation, segmentID))
        if "DeepSegmentEffects" in sys.modules:
            sys.modules["DeepSegmentEffects"].DeepSegmentFixEffect.makeAllParts()

    def onSceneStartClose(self, _caller, _event):
        """The scene goes: so do the run and the settings."""
        self._observeParameters(None)
        self.panel.sceneClosing()

    def onSceneEndClose(self, _caller, _event):
        """A new or loaded scene has settings of its own."""
        if self.panel is not None:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAdded(self, _caller, _event, node):
        """A node comes; a volume is offered."""
        self.panel.nodeAdded(node)

    def onNodesAdded(self, _caller, _event):
        """Many nodes have come at once."""
        self.panel.nodesAdded()

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
    """Runs inside Slicer: Reload and Test, and ctest."""

    def setUp(self):
        """Start with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run all tests."""
        self.setUp()
        self.test_segmentThroughPanel()

    def test_segmentThroughPanel(self):
        """Choose a volume, click Segment, wait for the segments."""
        import numpy as np

        slicer.util.selectModule("DeepSegment")
        panel = slicer.modules.DeepSegmentWidget.panel
        k, j, i = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
        voxels = 100.0 * (k**2 + j**2 + i**2 < 0.6)
        volume = slicer.util.addVolumeFromArray(voxels, ijkToRAS=np.diag([4.0, 4.0, 4.0, 1.0]))
        panel.ui.volumeSelector.setCurrentNode(volume)
        self.assertEqual(panel.reasonNotToSegment(), "")
        panel.segmentOrCancel()
        for _step in range(600):
            if not panel.jobs.busy:
                break
            self.delayDisplay("Segmenting", 100)
        segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0].GetSegmentation()
        self.assertEqual(segmentation.GetNumberOfSegments(), len(panel.models.spec.segments))
        panel.undo()
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 0)
        self.delayDisplay("Test passed")
