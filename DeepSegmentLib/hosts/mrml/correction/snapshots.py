"""What a segmentation node is like at a moment: where its segments have their voxels, and a copy of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Segment
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.geometry import lattice_of, local_geometry
from DeepSegmentLib.hosts.mrml.segmentations.label_images import box_of
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of, sharing
from DeepSegmentLib.hosts.mrml.segmentations.nodes import to_noun
from DeepSegmentLib.hosts.mrml.segmentations.segments import segment_ids

from .blocks import hull_of, read_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .edits import Edit


@dataclass(frozen=True)
class Layout:
    """Where the segments of a node have their voxels.

    Attributes:
        lattice: Rows of the 4x4 matrix from indices of the images to the node's space, one after the other.
        box: The part of the lattice that is journaled.
        places: For each segment with an image its ID, the number of the image, and its label there.
    """

    lattice: tuple[float, ...]
    box: Box
    places: tuple[tuple[str, int, int], ...]

    @property
    def offset(self) -> tuple[int, int, int]:
        """From indices of the lattice to those of the box."""
        k, j, i = self.box.start
        return -k, -j, -i


def layout_of(node: Any, volume: Any) -> Layout:
    """The layout of a node as it is now.

    Raises:
        InvalidInputError: Its segments lie on several lattices.
    """
    images = label_images(node)
    grid = local_geometry(volume)
    lattice = lattice_of(images[0]) if images else grid.affine
    if any(not np.allclose(lattice_of(image), lattice, atol=1e-6) for image in images):
        raise InvalidInputError(
            f"the segments of {node.GetName()!r} lie on several grids, which a journal cannot hold; "
            "bring them onto one (Segment Editor, Specify geometry)"
        )
    box = hull_of(*[box_of(image) for image in images], *_grid_box(grid, lattice))
    places = [(name, n, value) for n, image in enumerate(images) for name, value in sharing(node, image)]
    return Layout(tuple(lattice.ravel().tolist()), box, tuple(places))


def _grid_box(grid: Geometry, lattice: NDArray[np.float64]) -> list[Box]:
    """The volume's box, where it lies on the lattice."""
    return [Box.of_shape(grid.shape)] if np.allclose(grid.affine, lattice, atol=1e-3) else []


def label_images(node: Any) -> list[Any]:
    """The label images of a node that have voxels, in the order of the segments."""
    found: list[Any] = []
    for segment_id in segment_ids(node):
        image = image_of(node, segment_id)
        if image is not None and all(image is not other for other in found):
            found.append(image)
    return found


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A node as it was.

    Attributes:
        layout: Of the node.
        layers: Labels (layer, k, j, i) of the layout's box; `take` changes them in place.
        nouns: The segments by ID.
    """

    layout: Layout
    layers: NDArray[Any]
    nouns: dict[str, Segment]

    @classmethod
    def of(cls, node: Any, volume: Any) -> Self:
        """A node as it is now.

        Raises:
            InvalidInputError: Its segments lie on several grids.
        """
        layout, images, segments = layout_of(node, volume), label_images(node), node.GetSegmentation()
        nouns = {name: to_noun(segments.GetSegment(name), value, n) for name, n, value in layout.places}
        kind = np.uint8 if all(noun.value < 256 for noun in nouns.values()) else np.uint16
        layers = np.zeros((max(1, len(images)), *layout.box.shape), kind)
        for layer, image in zip(layers, images, strict=False):
            part = box_of(image)
            layer[part.shift(layout.offset).to_slices()] = read_labels(image, part)
        return cls(layout, layers, nouns)

    def label_map(self) -> LabelMap:
        """The labels as a labelmap; its arrays are shared."""
        affine = np.array(self.layout.lattice).reshape(4, 4)
        affine[:3, 3] += affine[:3, :3] @ np.asarray(self.layout.box.start)
        return LabelMap(self.layers, Geometry(self.layout.box.shape, affine), tuple(self.nouns.values()))

    def update_of(self, edit: Edit) -> LabelUpdate:
        """An edit as the update of the labelmap."""
        update, kind = edit.update, self.layers.dtype
        return LabelUpdate(
            update.box.shift(self.layout.offset),
            update.before.astype(kind),
            update.after.astype(kind),
            self.nouns[edit.segment_id].layer,
        )

    def take(self, update: LabelUpdate) -> None:
        """Note that an update was recorded."""
        self.layers[(update.layer, *update.box.to_slices())] = update.after

    def differences(self, node: Any) -> list[LabelUpdate]:
        """What a node of the same layout has otherwise, one update for each layer that differs."""
        found = []
        for n, image in enumerate(label_images(node)):
            labels = read_labels(image, self.layout.box).astype(self.layers.dtype)
            update = _difference(self.layers[n], labels, n)
            if update is not None:
                found.append(update)
        return found


def _difference(before: NDArray[Any], after: NDArray[Any], layer: int) -> LabelUpdate | None:
    """The update of the smallest box; plane by plane, as most planes are the same."""
    planes = [k for k, plane in enumerate(after) if not np.array_equal(plane, before[k])]
    if not planes:
        return None
    slab = slice(planes[0], planes[-1] + 1)
    box = bounding_box(before[slab] != after[slab]).shift((planes[0], 0, 0))
    part = box.to_slices()
    return LabelUpdate(box, before[part].copy(), after[part], layer)
