"""Corrections on nodes: one segment on one volume as a `Canvas`, of which only blocks around prompts are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.correction.rules.marked_voxels import marked_voxels
from DeepSegmentLib.correction.suspicious_places.places import suspicious_places
from DeepSegmentLib.data import Box, BoxPrompt, Geometry, Point
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.geometry import check_same_transform, lattice_of, local_geometry, to_world
from DeepSegmentLib.hosts.mrml.segmentations.label_images import box_of, check_source
from DeepSegmentLib.hosts.mrml.segmentations.layers import home_of, image_of, sharing, value_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected
from DeepSegmentLib.hosts.mrml.volumes import voxels_of

from .blocks import hull_of, read_labels, sample
from .masking import EditRules, rules_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.correction.suspicious_places.places import Place
    from DeepSegmentLib.data import Prompt

    Mask = NDArray[np.bool_]
    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NodeCanvas:
    """One segment of a node on the grid of its labels; see `correction.canvas.Canvas`.

    Attributes:
        segmentation: vtkMRMLSegmentationNode.
        segment_id: The segment.
        image: The label image that the segment's voxels are in or shall be in, see `home_of`; None where there is none.
        lattice: 4x4 matrix from indices of that image to the node's own space.
        geometry: The grid of all arrays, in the node's own space; `point` brings places of the scene there.
        rules: What may be edited.
        start: Index of the grid's first voxel in the lattice of the label image.
        channels: Voxels (channel, k, j, i) of the volume, shared with it.
        step: 4x4 matrix from indices of the lattice to those of the volume.
        locked: Whether the segment is locked or finished.
    """

    segmentation: Any
    segment_id: str
    image: Any
    lattice: Matrix
    geometry: Geometry
    rules: EditRules
    start: tuple[int, int, int]
    channels: NDArray[Any]
    step: Matrix
    locked: bool

    def intensities(self, box: Box) -> NDArray[np.float32]:
        """Intensities (channel, k, j, i) of a block."""
        return sample(self.channels, box.shift(self.start), self.step)

    def segment(self, box: Box) -> Mask:
        """The segment's mask (k, j, i) in a block."""
        return self.mask_of(self.segment_id, box)

    def mask_of(self, segment_id: str, box: Box) -> Mask:
        """The voxels (k, j, i) of any segment in a block."""
        image = image_of(self.segmentation, segment_id)
        if image is None:
            return np.zeros(box.shape, dtype=bool)
        return np.asarray(self._labels(image, box) == value_of(self.segmentation, segment_id))

    def _labels(self, image: Any, box: Box) -> NDArray[Any]:
        """Labels of an image in a block of the grid, the nearest voxel's where the image is on another lattice."""
        if image is self.image:
            return read_labels(image, box.shift(self.start))
        step = np.linalg.solve(lattice_of(image), self.lattice)
        if np.allclose(step, np.eye(4), atol=1e-3):
            return read_labels(image, box.shift(self.start))
        places = np.indices(box.shape).reshape(3, -1).T + np.asarray(box.shift(self.start).start)
        nearest = np.floor(places @ step[:3, :3].T + step[:3, 3] + 0.5).astype(int)
        around = Box(as_index(nearest.min(axis=0)), as_index(nearest.max(axis=0) + 1))
        block = read_labels(image, around)
        return np.asarray(block[tuple((nearest - around.start).T)].reshape(box.shape))

    def editable(self, box: Box) -> Mask:
        """Which voxels (k, j, i) of a block may change."""
        if self.locked:
            return np.zeros(box.shape, dtype=bool)
        allowed = self.rules.allowed(self.intensities(box), lambda segment_id: self.mask_of(segment_id, box))
        return allowed & ~self.others(box)

    def others(self, box: Box) -> Mask:
        """Voxels (k, j, i) of a block that belong to segments of the same image and must stay theirs."""
        if self.image is None:
            return np.zeros(box.shape, dtype=bool)
        labels = read_labels(self.image, box.shift(self.start))
        yielding = (self.segment_id, *self.rules.takes_from)
        free = [value for name, value in sharing(self.segmentation, self.image) if name in yielding]
        return np.isin(labels, [0, *free], invert=True)

    def probability(self, box: Box) -> NDArray[np.float32] | None:
        """None: segmentation nodes carry no probabilities."""
        return None

    def point(self, point_ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """A point of the scene, in RAS mm, in the space of the grid: that of the node, whatever it is under."""
        return self._moved(point_ras, "GetTransformFromWorld")

    def in_scene(self, point_ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """A point in the space of the grid, in RAS mm, in the scene."""
        return self._moved(point_ras, "GetTransformToWorld")

    def prompt(self, prompt: Prompt) -> Prompt:
        """A prompt of the scene in the space of the grid; a box becomes the smallest one around it."""
        if self.segmentation.GetParentTransformNode() is None:
            return prompt
        if isinstance(prompt, Point):
            return replace(prompt, point_ras=self.point(prompt.point_ras))
        if isinstance(prompt, BoxPrompt):
            corners = np.stack(np.meshgrid(*prompt.corners_ras.T, indexing="ij"), axis=-1).reshape(-1, 3)
            moved = np.array([self.point(corner) for corner in corners])
            return replace(prompt, corners_ras=np.stack([moved.min(axis=0), moved.max(axis=0)]))
        return replace(prompt, points_ras=np.array([self.point(place) for place in prompt.points_ras]))

    def _moved(self, point_ras: NDArray[np.float64], way: str) -> NDArray[np.float64]:
        transform = self.segmentation.GetParentTransformNode()
        if transform is None:
            return point_ras
        import vtk

        general = vtk.vtkGeneralTransform()
        getattr(transform, way)(general)
        return np.array(general.TransformPoint(np.asarray(point_ras).tolist()))


def canvas_of(
    volume: Any, segmentation: Any, segment_id: str, *, editor: Any = None, overwrite: bool = False
) -> NodeCanvas:
    """The canvas of a segment.

    Args:
        volume: vtkMRMLScalarVolumeNode that shows what the segment should be.
        segmentation: vtkMRMLSegmentationNode.
        segment_id: Which of its segments.
        editor: vtkMRMLSegmentEditorNode whose masks hold, or None.
        overwrite: Whether voxels may be taken from other segments of the same image that are not locked.

    Raises:
        InvalidInputError: A node or the segment is missing or has no voxels, or the two cannot be laid over each other.
    """
    if volume is None:
        raise InvalidInputError("the source volume is missing; choose the volume that shows the structure")
    segment = None if segmentation is None else segmentation.GetSegmentation().GetSegment(segment_id)
    if segment is None:
        raise InvalidInputError(f"there is no segment {segment_id!r}; choose the segment to correct")
    check_source(segmentation)
    image, _value = home_of(segmentation, segment_id)
    lattice, box = _grid(volume, segmentation, image)
    return NodeCanvas(
        segmentation,
        segment_id,
        image,
        lattice,
        Geometry(box.shape, _moved(lattice, box.start)),
        rules_of(segmentation, editor, overwrite=overwrite),
        box.start,
        voxels_of(volume),
        _step(volume, segmentation, lattice),
        is_protected(segment),
    )


def _grid(volume: Any, segmentation: Any, image: Any) -> tuple[Matrix, Box]:
    """The lattice of the labels, and the box of it that the volume and the labels cover."""
    if image is None:
        return reference_grid(segmentation, volume)
    lattice = lattice_of(image)
    grid = local_geometry(volume)
    step = np.linalg.inv(_step(volume, segmentation, lattice))
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T @ step[:3, :3].T + step[:3, 3]
    low, high = np.floor(corners.min(axis=0) + 0.499), np.ceil(corners.max(axis=0) - 0.499) + 1
    return lattice, hull_of(Box(as_index(low), as_index(np.maximum(high, low))), box_of(image))


def reference_grid(segmentation: Any, volume: Any) -> tuple[Matrix, Box]:
    """The lattice that segments without voxels are drawn on, and its box: what Slicer's editor would take."""
    import slicer

    text = segmentation.GetSegmentation().GetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    )
    image = slicer.vtkOrientedImageData()
    if slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False) and not image.IsEmpty():
        return lattice_of(image), box_of(image)
    check_same_transform(segmentation, volume)
    grid = local_geometry(volume)
    return grid.affine, Box.of_shape(grid.shape)


def _step(volume: Any, segmentation: Any, lattice: Matrix) -> Matrix:
    """From indices of the lattice to those of the volume."""
    affine = local_geometry(volume).affine
    if volume.GetTransformNodeID() == segmentation.GetTransformNodeID():
        return np.asarray(np.linalg.solve(affine, lattice))
    for node in (volume, segmentation):
        transform = node.GetParentTransformNode()
        if transform is not None and not transform.IsTransformToWorldLinear():
            check_same_transform(segmentation, volume)
    return np.asarray(np.linalg.solve(to_world(volume) @ affine, to_world(segmentation) @ lattice))


def _moved(lattice: Matrix, start: tuple[int, int, int]) -> Matrix:
    moved = lattice.copy()
    moved[:3, 3] += lattice[:3, :3] @ np.asarray(start)
    return moved


def suspicious_in(canvas: NodeCanvas, accepted: Sequence[Place] = ()) -> tuple[Place, ...]:
    """Where the segment is probably wrong, the worst first; see `correction.suspicious_places`.

    Args:
        canvas: The segment.
        accepted: Places that the user found right.

    Returns:
        Places in the space of the grid.
    """
    whole = Box.of_shape(canvas.geometry.shape)
    name = str(canvas.segmentation.GetSegmentation().GetSegment(canvas.segment_id).GetName())
    same_grid = canvas.channels.shape[1:] == whole.shape and np.allclose(canvas.step, np.eye(4), atol=1e-3)
    image = canvas.channels[0] if same_grid and canvas.start == (0, 0, 0) else canvas.intensities(whole)[0]
    return suspicious_places(canvas.segment(whole), canvas.geometry, name, intensities=image, accepted=accepted)


def is_true(canvas: NodeCanvas, prompt: Prompt) -> bool:
    """Whether the voxels that a prompt decided are still on its side."""
    stroke = marked_voxels(prompt, canvas.geometry).stroke
    if not len(stroke):
        return True
    box = Box(as_index(stroke.min(axis=0)), as_index(stroke.max(axis=0) + 1))
    return bool((canvas.segment(box)[tuple((stroke - box.start).T)] == prompt.positive).all())


def why_nothing_changes(canvas: NodeCanvas, prompt: Prompt) -> str:
    """What to tell the user when a prompt changes nothing.

    Args:
        canvas: The segment.
        prompt: What the user pointed at, inside the grid.
    """
    name = canvas.segmentation.GetSegmentation().GetSegment(canvas.segment_id).GetName()
    if canvas.locked:
        return f"{name} is locked or finished; unlock it to correct it."
    marks = marked_voxels(prompt, canvas.geometry)
    places = marks.stroke if len(marks.stroke) or marks.region is None else marks.region
    box = Box(as_index(places.min(axis=0)), as_index(places.max(axis=0) + 1))
    there = tuple((places - box.start).T)
    if (canvas.segment(box)[there] == prompt.positive).all():
        return f"{name} is already as you say here; point at what is wrong."
    if canvas.editable(box)[there].any():
        return "Nothing around looks like this place; enlarge the radius or be more aggressive."
    if canvas.others(box)[there].any():
        return "Other segments are here; allow overwriting to take their voxels, unless they are locked."
    return "This place is outside the editable area; see Masking in the Segment Editor."
