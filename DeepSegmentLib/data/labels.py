"""Labels with their place in the patient, and the changes made to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

from .geometry import Box
from .name_lookup import known_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from .geometry import Geometry

_MOST_SHOWN = 20
"""Segments that a labelmap shows of itself."""


@dataclass(frozen=True)
class Code:
    """A coded concept: the triplet of DICOM PS3.3 section 8.

    Attributes:
        scheme: Coding scheme designator, "SCT" for SNOMED CT.
        value: Code value.
        meaning: Text for people.
    """

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Terminology:
    """What a segment is, in standard codes.

    Attributes:
        category: Property category, such as Anatomical Structure.
        type: Property type, such as Thalamus.
        modifier: Laterality or another modifier of the type.
    """

    category: Code
    type: Code
    modifier: Code | None = None


@dataclass(frozen=True)
class Segment:
    """A named structure: the voxels of one layer that carry one value.

    Attributes:
        name: What the user reads.
        value: Label value in the layer, at least 1.
        color: Red, green and blue, each 0 to 255.
        terminology: Standard codes, if known.
        layer: Which layer of the labelmap holds it.

    Example:
        >>> Segment("Thalamus", 4, color=(0, 118, 14)).name
        'Thalamus'
    """

    name: str
    value: int
    color: tuple[int, int, int] = (128, 174, 128)
    terminology: Terminology | None = None
    layer: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.value <= 65535:
            raise InvalidInputError(f"segment {self.name!r}: label value must be 1 to 65535, got {self.value}")
        if [0 <= part <= 255 for part in self.color] != [True] * 3:
            raise InvalidInputError(f"segment {self.name!r}: colour must be three numbers 0 to 255, got {self.color}")
        if self.layer < 0:
            raise InvalidInputError(f"segment {self.name!r}: layer must not be negative, got {self.layer}")


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Segments on a grid; segments that overlap live in different layers.

    Attributes:
        layers: Array (layer, k, j, i) of uint8 or uint16; 0 is background; made read-only.
        geometry: Where the voxels are.
        segments: The table of segments; (layer, value) is unique. Values in `layers` without a segment are allowed
            (foreign files have them) and belong to nobody.

    Example:
        >>> from DeepSegmentLib.data import Geometry
        >>> labels = np.zeros((1, 40, 30, 20), np.uint8)
        >>> labels[0, 10:20, 10:20, :5] = 2
        >>> segments = (Segment("Thalamus", 1), Segment("Putamen", 2))
        >>> LabelMap(labels, Geometry.from_spacing((40, 30, 20), (2, 1, 1)), segments)
        LabelMap(2 segments, 40 x 30 x 20 voxels (k, j, i) of 2 x 1 x 1 mm, RAS)
          Thalamus         0.000 ml
          Putamen          1.000 ml
    """

    layers: NDArray[Any]
    geometry: Geometry
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        if self.layers.ndim != 4 or self.layers.shape[0] < 1 or self.layers.shape[1:] != self.geometry.shape:
            raise InvalidInputError(
                f"layers must have shape (layer, {', '.join(map(str, self.geometry.shape))}), got {self.layers.shape}"
            )
        if self.layers.dtype not in (np.uint8, np.uint16):
            raise InvalidInputError(f"labels must be uint8 or uint16, got {self.layers.dtype}")
        self._check_segments()
        view = self.layers.view()
        view.flags.writeable = False
        object.__setattr__(self, "layers", view)
        object.__setattr__(self, "segments", tuple(self.segments))

    def __repr__(self) -> str:
        count = "1 segment" if len(self.segments) == 1 else f"{len(self.segments)} segments"
        layers = f" in {len(self.layers)} layers" if len(self.layers) > 1 else ""
        return "\n".join([f"LabelMap({count}{layers}, {self.geometry})", *self._volume_lines()])

    def _volume_lines(self) -> list[str]:
        """Names and volumes of the first segments; letters that act on a terminal are spelled out."""
        volumes = {repr(name)[1:-1]: ml for name, ml in self.volumes_ml().items()}
        shown = list(volumes)[:_MOST_SHOWN]
        width = max(map(len, shown), default=0)
        more = [f"  and {len(volumes) - _MOST_SHOWN} more"] if len(volumes) > _MOST_SHOWN else []
        return [*(f"  {name:{width}} {volumes[name]:13.3f} ml" for name in shown), *more]

    def _check_segments(self) -> None:
        for segment in self.segments:
            if segment.layer >= len(self.layers) or segment.value > np.iinfo(self.layers.dtype).max:
                raise InvalidInputError(
                    f"segment {segment.name!r} has layer {segment.layer} and value {segment.value}, "
                    f"but there are {len(self.layers)} layers of {self.layers.dtype}"
                )
        places = Counter((segment.layer, segment.value) for segment in self.segments)
        twice = [place for place, count in places.items() if count > 1]
        if twice:
            raise InvalidInputError(f"two segments share the layer and value {twice[0]}")

    def segment(self, name: str) -> Segment:
        """The first segment of this name.

        Raises:
            InvalidInputError: There is none.
        """
        for segment in self.segments:
            if segment.name == name:
                return segment
        known = ", ".join(segment.name for segment in self.segments) or "none"
        raise InvalidInputError(f"no segment named {name!r}; there are: {known}")

    def mask(self, segment: Segment) -> NDArray[np.bool_]:
        """Boolean array (k, j, i) of one segment."""
        return np.asarray(self.layers[segment.layer] == segment.value)

    @property
    def masks(self) -> Mapping[str, NDArray[np.bool_]]:
        """Boolean arrays (k, j, i) by the names of the segments, each made when it is asked for.

        Segments of one name are taken together.

        Example:
            >>> from DeepSegmentLib.data import Geometry
            >>> labels = np.array([[[[0, 1, 1]]]], np.uint8)
            >>> LabelMap(labels, Geometry.from_spacing((1, 1, 3), (1, 1, 1)), (Segment("Cyst", 1),)).masks["Cyst"]
            array([[[False,  True,  True]]])
        """
        return _Masks(self)

    def only(self, names: Iterable[str]) -> LabelMap:
        """A labelmap of some of the segments: label values stay, all other voxels become 0.

        Layers that no segment is left in go.

        Args:
            names: Of the segments to keep, in letters of any case; see `known_names`. They keep their order.

        Raises:
            InvalidInputError: A name is unknown, or there is none.
        """
        wishes = [names] if isinstance(names, str) else names
        known = known_names(wishes, list(self.masks), "no segment named")
        kept = [segment for segment in self.segments if segment.name in known]
        used = sorted({segment.layer for segment in kept})
        layers = np.zeros((len(used), *self.geometry.shape), self.layers.dtype)
        for layer, n in zip(layers, used, strict=True):
            values = np.zeros(np.iinfo(layers.dtype).max + 1, layers.dtype)
            own = [segment.value for segment in kept if segment.layer == n]
            values[own] = own
            for plane, before in zip(layer, self.layers[n], strict=True):
                plane[...] = values[before]
        moved = tuple(replace(segment, layer=used.index(segment.layer)) for segment in kept)
        return LabelMap(layers, self.geometry, moved)

    def volumes_ml(self) -> dict[str, float]:
        """Volume of each segment in millilitres, by name; segments of one name are summed."""
        ml = self.geometry.voxel_volume_mm3 / 1000
        counts = [_count_labels(layer) for layer in self.layers]
        volumes: dict[str, float] = {}
        for segment in self.segments:
            volumes[segment.name] = volumes.get(segment.name, 0.0) + ml * int(counts[segment.layer][segment.value])
        return volumes

    def apply(self, update: LabelUpdate) -> LabelMap:
        """A labelmap with the update's box replaced.

        Raises:
            InvalidInputError: The update is for other layers, another grid or another label type, or the labels in
                the box are not those it was made for.
        """
        place = (update.layer, *update.box.to_slices())
        self._check_fit(update)
        if not np.array_equal(self.layers[place], update.before):
            raise InvalidInputError(f"the labels in box {update.box} changed since this update was made; make it anew")
        layers = self.layers.copy()
        layers[place] = update.after
        return LabelMap(layers, self.geometry, self.segments)

    def _check_fit(self, update: LabelUpdate) -> None:
        inside = Box.of_shape(self.geometry.shape).contains(update.box)
        if not inside or update.layer >= len(self.layers) or update.after.dtype != self.layers.dtype:
            raise InvalidInputError(
                f"the update of layer {update.layer}, {update.box}, {update.after.dtype} does not fit a labelmap of "
                f"{len(self.layers)} layers, shape {self.geometry.shape}, {self.layers.dtype}"
            )


class _Masks(Mapping[str, "NDArray[np.bool_]"]):
    """The masks of a labelmap by name."""

    def __init__(self, label_map: LabelMap) -> None:
        self._label_map = label_map

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        named = [segment for segment in self._label_map.segments if segment.name == name]
        if not named:
            raise KeyError(f"{name}; there are: {', '.join(self) or 'none'}")
        mask = self._label_map.mask(named[0])
        for segment in named[1:]:
            mask |= self._label_map.mask(segment)
        return mask

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(segment.name for segment in self._label_map.segments))

    def __len__(self) -> int:
        return len({segment.name for segment in self._label_map.segments})

    def __repr__(self) -> str:
        return f"masks of {', '.join(self) or 'no segment'}"


def _count_labels(layer: NDArray[Any]) -> NDArray[np.int64]:
    """How many voxels carry each value; plane by plane, as `bincount` copies what it reads to 64 bits."""
    counts = np.zeros(65536, dtype=np.int64)
    for plane in layer:
        counts += np.bincount(plane.ravel(), minlength=65536)
    return counts


@dataclass(frozen=True, eq=False)
class LabelUpdate:
    """New labels for a box of one layer. All edits travel as updates; undo is their inverse.

    Attributes:
        box: Which voxels.
        before: Labels (k, j, i) of the box that the update was made for; made read-only.
        after: Labels (k, j, i) that replace them; made read-only.
        layer: Which layer of the labelmap.

    Example:
        >>> LabelUpdate(Box((0, 0, 0), (1, 1, 3)), np.array([[[0, 0, 1]]]), np.array([[[1, 0, 1]]]))
        LabelUpdate(changes 1 of 3 voxels from (0, 0, 0) to (1, 1, 3) in layer 0)
    """

    box: Box
    before: NDArray[Any]
    after: NDArray[Any]
    layer: int = 0

    def __post_init__(self) -> None:
        if self.before.shape != self.box.shape or self.after.shape != self.box.shape:
            raise InvalidInputError(
                f"labels must have the box's shape {self.box.shape}, got {self.before.shape} and {self.after.shape}"
            )
        if self.before.dtype != self.after.dtype:
            raise InvalidInputError(f"labels must be of one type, got {self.before.dtype} and {self.after.dtype}")
        if self.layer < 0:
            raise InvalidInputError(f"layer must not be negative, got {self.layer}")
        for name in ("before", "after"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __repr__(self) -> str:
        place = f"from {self.box.start} to {self.box.stop} in layer {self.layer}"
        return f"LabelUpdate(changes {np.count_nonzero(self.changed)} of {self.box.size} voxels {place})"

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Which voxels of the box get another label."""
        return np.asarray(self.before != self.after)

    def inverse(self) -> LabelUpdate:
        """The update that takes this one back."""
        return LabelUpdate(self.box, self.after, self.before, self.layer)
