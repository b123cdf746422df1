"""What is corrected: a segment of a node of the scene, over a volume."""

from dataclasses import dataclass
from typing import Any

import slicer


@dataclass(frozen=True)
class Target:
    """What is corrected.

    Attributes:
        volume: The volume that shows the structure, or None.
        segmentation: The segmentation node, or None.
        segmentID: The segment.
        editor: The vtkMRMLSegmentEditorNode whose masks hold, or None.
    """

    volume: Any
    segmentation: Any
    segmentID: str
    editor: Any = None

    @property
    def segment(self):
        """The vtkSegment, or None."""
        return None if self.segmentation is None else self.segmentation.GetSegmentation().GetSegment(self.segmentID)

    @property
    def name(self):
        """The segment's name, or an empty text."""
        return "" if self.segment is None else self.segment.GetName()

    def canvas(self, overwrite):
        """The target as a `NodeCanvas`.

        Raises:
            InvalidInputError: Something is missing, or the nodes do not fit together.
        """
        from DeepSegmentLib.hosts.mrml.correction.node_canvas import canvas_of

        return canvas_of(self.volume, self.segmentation, self.segmentID, editor=self.editor, overwrite=overwrite)


def segmentEditorOf(segmentationNode):
    """The widget of the Segment Editor module when it edits this segmentation, or None."""
    widget = getattr(slicer.modules, "SegmentEditorWidget", None)  # there once the user has opened that module
    editor = getattr(widget, "editor", None)
    return editor if editor is not None and editor.segmentationNode() is segmentationNode else None
