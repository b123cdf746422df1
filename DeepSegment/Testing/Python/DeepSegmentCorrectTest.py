"""Runs in Slicer by ctest: corrections with the real Segment Editor."""

import unittest

import numpy as np
import slicer


class DeepSegmentCorrectTest(unittest.TestCase):
    """The effect and the panel's section on a ball with a bite."""

    def setUp(self):
        """A volume, and a segmentation of it that lacks a corner."""
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("DeepSegment")
        self.panel = slicer.modules.DeepSegmentWidget.panel
        k, j, i = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij")
        self.ball = k**2 + j**2 + i**2 < 0.5
        self.volume = slicer.util.addVolumeFromArray(100.0 * self.ball, ijkToRAS=np.eye(4))
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.node.CreateDefaultDisplayNodes()
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(self.volume)
        self.segment = self.node.GetSegmentation().AddEmptySegment("ball", "ball")
        bite = self.ball & (i > 0.3)
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            (self.ball & ~bite).astype(np.uint8), self.node, self.segment, self.volume
        )
        self.place = np.argwhere(bite).mean(axis=0).round()[::-1]

    def tearDown(self):
        """Leave nothing behind."""
        slicer.mrmlScene.Clear(0)

    def voxels(self):
        """How many voxels the segment has."""
        return int(slicer.util.arrayFromSegmentBinaryLabelmap(self.node, self.segment, self.volume).sum())

    def test_effect_is_registered(self):
        """Every editor offers it."""
        editor = slicer.qMRMLSegmentEditorWidget()
        editor.setMRMLScene(slicer.mrmlScene)
        self.assertIn("DeepSegment Fix", editor.availableEffectNames())

    def test_point_corrects_and_is_undone(self):
        """As a point that is placed in a view."""
        from DeepSegmentGui.correction.target import Target

        from DeepSegmentLib.correction.settings import CorrectionSettings
        from DeepSegmentLib.data import Point

        before = self.voxels()
        corrector = self.panel.correct.corrector
        target = Target(self.volume, self.node, self.segment)
        corrector.apply(target, Point("ball", True, self.place), CorrectionSettings(radius_mm=12))
        self.assertGreater(self.voxels(), before)
        corrector.undo()
        self.assertEqual(self.voxels(), before)
