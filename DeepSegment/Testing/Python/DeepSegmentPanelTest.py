"""Runs in Slicer by ctest: the panel with its real widgets."""

import unittest

import slicer


class DeepSegmentPanelTest(unittest.TestCase):
    """What only the desktop can show."""

    def setUp(self):
        """An empty scene, the module open."""
        slicer.mrmlScene.Clear(0)
        slicer.util.selectModule("DeepSegment")
        self.panel = slicer.modules.DeepSegmentWidget.panel

    def test_widgets_of_the_ui_file_are_there(self):
        """Every widget that the panel uses has come out of the .ui file as the class it names."""
        for name in ("volumeSelector", "modelTable", "segmentButton", "segmentsTable", "batchVolumesSelector"):
            self.assertTrue(hasattr(self.panel.ui, name), name)

    def test_button_says_why_it_is_disabled(self):
        """There is no volume."""
        self.panel.refresh()
        self.assertFalse(self.panel.ui.segmentButton.enabled)
        self.assertIn("volume", self.panel.ui.segmentButton.toolTip)

    def test_reload(self):
        """The module can be reloaded and works again."""
        slicer.modules.DeepSegmentWidget.onReload()
        self.assertIsNotNone(slicer.modules.DeepSegmentWidget.panel)

    def test_scene_close(self):
        """Closing the scene leaves a working panel."""
        slicer.mrmlScene.Clear(0)
        self.assertEqual(self.panel.results.segmentation, None)
