"""One run: volume nodes to the worker, its result to the scene."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from DeepSegmentGui.correction.scene_corrector import segmentEditorOf


@dataclass(frozen=True)
class Destination:
    """Where a result goes. Node IDs, as nodes may be gone when it comes.

    Attributes:
        volumeIDs: The segmented volumes, one a channel.
        segmentationID: The target, or "" for a new segmentation.
        policy: Value of `MergePolicy`.
        roiID: The region, or "".
    """

    volumeIDs: tuple[str, ...]
    segmentationID: str = ""
    policy: str = "new"
    roiID: str = ""

    def uses(self, node):
        """Whether the run cannot go on without this node."""
        return node.GetID() in self.volumeIDs


def settingsOf(parameters, roi, subset=None):
    """The parameters as `PredictSettings`.

    Args:
        parameters: The settings.
        roi: The region is the box around it, in the space of the volume; None for all of the volume.
        subset: Names of the segments to make; None for all.
    """
    from DeepSegmentLib.hosts.mrml.volumes import region_of
    from DeepSegmentLib.segmentation.outputs import PredictSettings

    return PredictSettings(
        overlap=None if parameters.modelOverlap else parameters.overlap,
        mirror=parameters.mirror,
        region_ras=None if roi is None else region_of(roi, parameters.volume),
        uncertainty=parameters.uncertainty,
        clean_up=parameters.cleanUp,
        any_spacing=parameters.anySpacing,
        subset=subset,
    )


def jobOf(parameters, model, subset, channels, policy):
    """The worker's job and where its result goes.

    Args:
        parameters: The settings.
        model: Name of the model that runs.
        subset: Names of the segments to make; None for all.
        channels: Volume nodes of the further channels.
        policy: What the user agreed to; "new" also where the settings name a segmentation.

    Raises:
        InvalidInputError: The volumes do not fit together, or are transformed in a way that cannot be followed.
    """
    import DeepSegmentLib.hosts.mrml.segmentations.writing  # noqa: F401 - now, and not when the result waits for it
    from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
    from DeepSegmentLib.hosts.worker.jobs_and_events import SegmentJob

    nodes = [parameters.volume, *channels]
    target = parameters.segmentation if policy != "new" else None
    destination = Destination(
        volumeIDs=tuple(node.GetID() for node in nodes),
        segmentationID=target.GetID() if target else "",
        policy=policy if target else "new",
        roiID=parameters.roi.GetID() if parameters.roi else "",
    )
    job = SegmentJob(
        volume=volume_from_nodes(nodes),
        model=model,
        device=parameters.device,
        settings=settingsOf(parameters, parameters.roi, subset),
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
        self._last, self._voxels = None, ()

    def write(self, result, destination):
        """Write labels and uncertainty.

        Returns:
            What was written, as `Written`.

        Raises:
            InvalidInputError: The volume is gone.
        """
        from DeepSegmentLib.errors import InvalidInputError
        from DeepSegmentLib.hosts.mrml.segmentations.sizes import voxel_times
        from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, make_editor, write_label_map
        from DeepSegmentLib.hosts.mrml.volumes import region_of

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
            region_ras=None if roi is None else region_of(roi, volumeNode),
            provenance=result.provenance,
            editor=self._editor,
            before_change=saveStateOfSegmentEditor,
        )
        self._last = (written, target is None, self._writeUncertainty(result.uncertainty, written.node, volumeNode))
        self._voxels = voxel_times(written.node)
        return written

    def _writeUncertainty(self, uncertainty, segmentation, volumeNode):
        """Write the map of a result, in place of the one that the segmentation has of this volume.

        Returns:
            The node of the map and its former voxels; None and None where there is no map, None where the node is new.
        """
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import keep_uncertainty, uncertainty_of, volume_of
        from DeepSegmentLib.hosts.mrml.volumes import write_volume_node

        if uncertainty is None:
            return None, None
        there = uncertainty_of(segmentation) if volume_of(segmentation) is volumeNode else None
        voxels = there and there.GetImageData()
        name, color = _("{volume} uncertainty").format(volume=volumeNode.GetName()), overlayColor(self._scene)
        node = write_volume_node(self._scene, uncertainty, volumeNode, name, color=color, node=there)
        keep_uncertainty(segmentation, node)
        return node, voxels

    @property
    def canUndo(self):
        """Whether the last result can be taken back."""
        if self._last is None:
            return False
        written, isNew, _map = self._last
        return self._scene.IsNodePresent(written.node) and (isNew or self._editor.CanUndo())

    @property
    def isChanged(self):
        """Whether anybody has changed the segments since the last result was written."""
        from DeepSegmentLib.hosts.mrml.segmentations.sizes import voxel_times

        return self.canUndo and voxel_times(self._last[0].node) != self._voxels

    def undo(self):
        """Take the last result back: a new node goes, an older one gets its former segments and map."""
        from DeepSegmentLib.hosts.mrml.segmentations.writing import take_back

        if self.canUndo:
            written, isNew, (uncertainty, voxels) = self._last
            take_back(self._scene, written, None if isNew else self._editor)
            if voxels is not None:
                uncertainty.SetAndObserveImageData(voxels)
            elif uncertainty is not None and self._scene.IsNodePresent(uncertainty):
                self._scene.RemoveNode(uncertainty)
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
