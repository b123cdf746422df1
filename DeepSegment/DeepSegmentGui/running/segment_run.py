"""One run: volume nodes to the worker, its result to the scene."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from DeepSegmentGui.correction.corrector import segmentEditorOf


@dataclass(frozen=True)
class Destination:
    """Where a result goes. Node IDs, as nodes may be gone when it comes.

    Attributes:
        volumeIDs: The segmented volumes, one a channel.
        segmentationID: The target, or "" for a new segmentation.
        policy: Value of `MergePolicy`.
        replace: Names of the segments to replace.
        roiID: The region, or "".
    """

    volumeIDs: tuple[str, ...]
    segmentationID: str = ""
    policy: str = "new"
    replace: tuple[str, ...] = ()
    roiID: str = ""

    def uses(self, node):
        """Whether the run cannot go on without this node."""
        return node.GetID() in self.volumeIDs


def settingsOf(parameters, roi):
    """The parameters as `PredictSettings`; the region is the box around the ROI, in the space of the volume."""
    from DeepSegmentLib.hosts.mrml.volumes import region_of
    from DeepSegmentLib.segmentation.outputs import PredictSettings

    return PredictSettings(
        overlap=parameters.overlap,
        mirror=parameters.mirror,
        region_ras=None if roi is None else region_of(roi, parameters.volume),
        uncertainty=parameters.uncertainty,
        clean_up=parameters.cleanUp,
        any_spacing=parameters.anySpacing,
    )


def jobOf(parameters, channels):
    """The worker's job and where its result goes.

    Raises:
        InvalidInputError: The volumes do not fit together, or are transformed in a way that cannot be followed.
    """
    import DeepSegmentLib.hosts.mrml.segmentations.writing  # noqa: F401 - now, and not when the result waits for it
    from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
    from DeepSegmentLib.hosts.worker.messages import SegmentJob

    nodes = [parameters.volume, *channels]
    target = parameters.segmentation
    destination = Destination(
        volumeIDs=tuple(node.GetID() for node in nodes),
        segmentationID=target.GetID() if target else "",
        policy=parameters.policy if target else "new",
        replace=tuple(parameters.replace),
        roiID=parameters.roi.GetID() if parameters.roi else "",
    )
    job = SegmentJob(
        volume=volume_from_nodes(nodes),
        model=parameters.model,
        device=parameters.device,
        settings=settingsOf(parameters, parameters.roi),
    )
    return job, destination


def notesText(notes):
    """What the status line says before all else: the first note of a run, and where the others are; a line, or none."""
    more = [_("({count} more in the log)").format(count=len(notes) - 1)] if len(notes) > 1 else []
    return " ".join([*notes[:1], *more]) + "\n" if notes else ""


class ResultWriter:
    """Writes results into the scene and takes the last one back.

    Args:
        scene: Where the nodes are.
    """

    def __init__(self, scene):
        self._scene = scene
        self._editor = None
        self._last = None

    def write(self, result, destination):
        """Write labels and uncertainty.

        Returns:
            What was written (`Written`) and the node of the uncertainty map, or None.

        Raises:
            InvalidInputError: The volume is gone.
        """
        from DeepSegmentLib.errors import InvalidInputError
        from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, make_editor, write_label_map
        from DeepSegmentLib.hosts.mrml.volumes import region_of, write_volume_node

        volumeNode = self._scene.GetNodeByID(destination.volumeIDs[0])
        if volumeNode is None:
            raise InvalidInputError(_("The volume was removed while it was segmented; the result has no place."))
        if self._editor is None:
            self._editor = make_editor(self._scene)
        target = self._scene.GetNodeByID(destination.segmentationID) if destination.segmentationID else None
        roi = self._scene.GetNodeByID(destination.roiID) if destination.roiID else None
        written = write_label_map(
            self._scene,
            result.label_map,
            volumeNode,
            policy=MergePolicy(destination.policy if target else "new"),
            target=target,
            segments=destination.replace,
            region_ras=None if roi is None else region_of(roi, volumeNode),
            provenance=result.provenance,
            editor=self._editor,
            before_change=saveStateOfSegmentEditor,
        )
        uncertainty = None
        if result.uncertainty is not None:
            name = _("{volume} uncertainty").format(volume=volumeNode.GetName())
            uncertainty = write_volume_node(
                self._scene, result.uncertainty, volumeNode, name, color=overlayColor(self._scene)
            )
        self._last = (written, [node for node in (target is None and written.node, uncertainty) if node])
        return written, uncertainty

    @property
    def canUndo(self):
        """Whether the last result can be taken back."""
        if self._last is None:
            return False
        written, made = self._last
        return self._scene.IsNodePresent(written.node) and (written.node in made or self._editor.CanUndo())

    def undo(self):
        """Take the last result back: a new node goes, an older one gets its former segments."""
        from DeepSegmentLib.hosts.mrml.segmentations.writing import take_back

        if self.canUndo:
            written, made = self._last
            take_back(self._scene, written, None if written.node in made else self._editor)
            for node in made:
                if self._scene.IsNodePresent(node):
                    self._scene.RemoveNode(node)
        self._last = None

    def forget(self):
        """Drop references to nodes, as when the scene closes."""
        self._editor = self._last = None


def overlayColor(scene):
    """ID of a colour table that reads well over grey; empty where the scene has none."""
    names = ("vtkMRMLColorTableNodeFileInferno.txt", "vtkMRMLColorTableNodeRainbow")
    return next((name for name in names if scene.GetNodeByID(name) is not None), "")


def saveStateOfSegmentEditor(segmentationNode):
    """Let Undo of the Segment Editor module take the coming change back, when it edits this segmentation."""
    editor = segmentEditorOf(segmentationNode)
    if editor is not None:
        editor.saveStateForUndo()
