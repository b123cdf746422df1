"""Measure, in the section Results: the numbers of every segment as a table in the layout, to copy."""

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import countedSegments


class MeasureSection:
    """Measures the segmentation on show, in the worker, as every voxel is read.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker and the place to say things.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._tableID = ""
        ui.measureButton.connect("clicked()", self.measure)
        ui.copyTableButton.connect("clicked()", self.copy)

    @property
    def table(self):
        """The table node of the last measurement, or None."""
        return self._scene.GetNodeByID(self._tableID) if self._tableID else None

    def measure(self):
        """Measure every segment and show the numbers."""
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node
        from DeepSegmentLib.hosts.mrml.volumes import local_volume
        from DeepSegmentLib.hosts.worker.jobs_and_events import MeasureJob

        node = self._panel.results.segmentation
        volume = self._volumeOf(node)
        if node is None or volume is None:
            self._panel.say(_("Choose the volume that the segments show."), self._ui.resultsMessageLabel)
            return
        self._panel.runJob(
            lambda: MeasureJob(local_volume(volume), label_map_from_node(node, volume)),
            self._measured,
            self._ui.resultsMessageLabel,
        )

    def copy(self):
        """Put the table on the clipboard, as spreadsheets take it."""
        from DeepSegmentLib.hosts.mrml.tables import tab_separated

        text = _("The table is no longer in the scene.")
        if self.table is not None:
            slicer.app.clipboard().setText(tab_separated(self.table))
            text = _("The table is on the clipboard.")
        self._panel.say(text, self._ui.resultsMessageLabel)
        self.refresh()

    def refresh(self):
        """Bring the widgets in line with what is there."""
        self._ui.copyTableButton.enabled = self.table is not None

    def _volumeOf(self, node):
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import volume_of

        own = None if node is None else volume_of(node)
        return own or (self._panel.parameters and self._panel.parameters.volume)

    def _measured(self, result):
        from DeepSegmentLib.hosts.mrml.tables import write_table

        node = write_table(self._scene, _("Segments"), result.rows, self.table)
        self._tableID = node.GetID()
        showTable(node)
        return _("{segments} measured: table {name}.").format(
            segments=countedSegments(len(result.rows)), name=node.GetName()
        )


def showTable(node):
    """Change to a layout with a table, as Segment Statistics does, and show this one there."""
    layouts = slicer.app.layoutManager()
    layouts.setLayout(slicer.modules.tables.logic().GetLayoutWithTable(layouts.layout))
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveTableID(node.GetID())
    logic.PropagateTableSelection()
