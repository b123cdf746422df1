"""Corrections of one labelmap, one after the other, with undo and redo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Box, LabelMap, LabelUpdate
from DeepSegmentLib.errors import InvalidInputError

from .correct import Correction, correct, preview, suggest_radius
from .packed_changes import Change, pack, put, unpack
from .settings import CorrectionSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Prompt, Segment, Volume

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LabelCanvas:
    """One segment of a labelmap, as the engine sees it.

    Attributes:
        volume: The image, on the labelmap's grid.
        labels: The segment's layer (k, j, i), as it is now.
        value: The segment's label value.
        taken: Label values whose voxels are not given to the segment.
        allowed: Voxels (k, j, i) that may change, or None for all.
        intensity_range: Lowest and highest intensity (first channel) of voxels that may change, or None for all.
        network: Probability of the segment (k, j, i), in [0, 1], or None.
    """

    volume: Volume
    labels: NDArray[Any]
    value: int
    taken: tuple[int, ...] = ()
    allowed: Mask | None = None
    intensity_range: tuple[float, float] | None = None
    network: NDArray[Any] | None = None

    @property
    def geometry(self) -> Geometry:
        """The grid."""
        return self.volume.geometry

    def intensities(self, box: Box) -> NDArray[np.float32]:
        """Intensities (channel, k, j, i) of a block."""
        return self.volume.voxels[(slice(None), *box.to_slices())].astype(np.float32)

    def segment(self, box: Box) -> Mask:
        """The segment's mask (k, j, i) in a block."""
        return np.asarray(self.labels[box.to_slices()] == self.value)

    def editable(self, box: Box) -> Mask:
        """Which voxels (k, j, i) of a block may change."""
        part = box.to_slices()
        free = ~np.isin(self.labels[part], self.taken)
        if self.allowed is not None:
            free &= self.allowed[part]
        if self.intensity_range is not None:
            low, high = self.intensity_range
            values = self.volume.voxels[(0, *part)]
            free &= (values >= low) & (values <= high)
        return np.asarray(free)

    def probability(self, box: Box) -> NDArray[np.float32] | None:
        """What a network gives the segment (k, j, i) in a block."""
        return None if self.network is None else self.network[box.to_slices()].astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Step:
    change: Change
    prompt: Prompt | None


class CorrectionSession:
    """Corrects the segments of a labelmap by prompts.

    The session owns one writable copy of the labels; everything else is views. Each change is handed out as a
    `LabelUpdate` of a small box and kept, packed, for undo.

    Attributes:
        volume: The image.
        segments: The segments that can be corrected.

    Example:
        >>> import numpy as np
        >>> from DeepSegmentLib.data import Geometry, LabelMap, Point, Segment, Volume
        >>> grid = Geometry.from_spacing((9, 9, 9), (1, 1, 1))
        >>> image = Volume(np.pad(np.full((1, 5, 5, 5), 100, np.int16), ((0, 0), (2, 2), (2, 2), (2, 2))), grid)
        >>> empty = LabelMap(np.zeros((1, 9, 9, 9), np.uint8), grid, (Segment("Cyst", 1),))
        >>> session = CorrectionSession(image, empty)
        >>> update = session.apply(Point("Cyst", True, grid.index_to_ras((4, 4, 4))), CorrectionSettings(radius_mm=4))
        >>> bool(session.labels.layers[0, 4, 4, 4])
        True
        >>> session.undo() is not None and bool(session.labels.layers.any())
        False
        >>> session
        CorrectionSession(segments: 1, changes: 0, undone: 1, history: 0.0 MB)
    """

    def __init__(
        self,
        volume: Volume,
        labels: LabelMap,
        *,
        locked: Collection[str] = (),
        editable: Mask | None = None,
        intensity_range: tuple[float, float] | None = None,
        probabilities: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Begin with labels as they are.

        Args:
            volume: The image; on the labels' grid.
            labels: What to correct; it is copied.
            locked: Names of segments that must not change.
            editable: Voxels (k, j, i) that may change; all if None.
            intensity_range: Lowest and highest intensity, of the first channel, of voxels that may change.
            probabilities: What a network gives segments, by name: arrays (k, j, i) in [0, 1].

        Raises:
            InvalidInputError: The grids differ, a name is unknown, or no intensity lies in the range.
        """
        if not hasattr(volume, "voxels") or not hasattr(labels, "layers"):
            raise InvalidInputError(
                f"a session takes a Volume and a LabelMap, got {type(volume).__name__} and {type(labels).__name__}; "
                "take read_volume(...) and read_segmentation(...).label_map"
            )
        if not volume.geometry.is_close(labels.geometry):
            raise InvalidInputError(
                f"the volume has {volume.geometry.shape} voxels and the labels {labels.geometry.shape}, or they lie "
                "elsewhere; resample one to the other's grid"
            )
        if editable is not None and editable.dtype != np.bool_:
            raise InvalidInputError(f"editable: expected booleans, got {editable.dtype}; compare it with 0")
        for name in (*locked, *(probabilities or ())):
            labels.segment(name)
        arrays = {"editable": editable, **(probabilities or {})}
        for name, array in arrays.items():
            if array is not None and array.shape != labels.geometry.shape:
                raise InvalidInputError(f"{name}: expected shape {labels.geometry.shape}, got {array.shape}")
        if intensity_range is not None and not intensity_range[0] <= intensity_range[1]:
            raise InvalidInputError(f"the intensity range must go from low to high, got {intensity_range}")
        self.volume = volume
        self.segments = labels.segments
        self._layers = labels.layers.copy()
        self._locked = frozenset(locked)
        self._editable, self._intensity_range = editable, intensity_range
        self._probabilities = dict(probabilities or {})
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    def __repr__(self) -> str:
        counts = f"segments: {len(self.segments)}, changes: {len(self._done)}, undone: {len(self._undone)}"
        return f"CorrectionSession({counts}, history: {self.history_bytes / 1e6:.1f} MB)"

    @property
    def labels(self) -> LabelMap:
        """A copy of the labels as they are now."""
        return LabelMap(self._layers.copy(), self.volume.geometry, self.segments)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts that were applied and not undone, the oldest first."""
        return tuple(step.prompt for step in self._done if step.prompt is not None)

    @property
    def history_bytes(self) -> int:
        """What undo and redo keep in memory."""
        return sum(step.change.size_bytes for step in (*self._done, *self._undone))

    def preview(self, prompt: Prompt, settings: CorrectionSettings | None = None) -> LabelUpdate:
        """What `apply` would nearly do; nothing changes.

        Raises:
            InvalidInputError: As `apply`.
        """
        return self._update(self._segment_of(prompt), preview(*self._question(prompt, settings)))

    def apply(self, prompt: Prompt, settings: CorrectionSettings | None = None) -> LabelUpdate:
        """Make a prompt true.

        Args:
            prompt: For a segment of the labelmap.
            settings: How to understand it.

        Returns:
            What changed; a box in which nothing changes where nothing could.

        Raises:
            InvalidInputError: The prompt's segment is unknown or locked, or the prompt lies outside the volume.
        """
        update = self._update(self._segment_of(prompt), correct(*self._question(prompt, settings)))
        self._do(_Step(pack(update), prompt), update)
        return update

    def edit(self, update: LabelUpdate, prompt: Prompt | None = None) -> None:
        """Take over an edit that was made by other means; it can be undone like a correction.

        Args:
            update: What changes.
            prompt: Of a correction that was made earlier: it holds from now on.

        Raises:
            InvalidInputError: The edit does not fit the labels, or they are no longer those that it was made for.
        """
        inside = Box.of_shape(self.volume.geometry.shape).contains(update.box)
        if not inside or update.layer >= len(self._layers) or update.after.dtype != self._layers.dtype:
            raise InvalidInputError(
                f"the edit of layer {update.layer}, {update.box}, {update.after.dtype} does not fit the "
                f"{len(self._layers)} layers of shape {self.volume.geometry.shape}, {self._layers.dtype}"
            )
        place = (update.layer, *update.box.to_slices())
        if not np.array_equal(self._layers[place], update.before):
            raise InvalidInputError(f"the labels in box {update.box} changed since this edit was made; make it anew")
        self._do(_Step(pack(update), prompt), update)

    def replay(self, change: Change, prompt: Prompt | None = None) -> None:
        """As `edit`, by a change that was recorded earlier for the labels as they are now; nothing is handed out."""
        put(change, self._layers[change.layer])
        self._done.append(_Step(change, prompt))
        self._undone.clear()

    def undo(self) -> LabelUpdate | None:
        """Take back the last change; None where there is none."""
        return self._move(self._done, self._undone, backward=True)

    def redo(self) -> LabelUpdate | None:
        """Do again what was undone last; None where there is none."""
        return self._move(self._undone, self._done, backward=False)

    def suggest_radius(self, prompt: Prompt) -> float:
        """The edit radius, in mm, that fits the error at a prompt: see `correction.suggest_radius`."""
        return suggest_radius(self._question(prompt, None)[0], prompt)

    def _segment_of(self, prompt: Prompt) -> Segment:
        for segment in self.segments:
            if segment.name == prompt.segment:
                if segment.name in self._locked:
                    raise InvalidInputError(f"segment {segment.name!r} is locked; unlock it to correct it")
                return segment
        known = ", ".join(segment.name for segment in self.segments) or "none"
        raise InvalidInputError(f"no segment named {prompt.segment!r}; there are: {known}")

    def _question(
        self, prompt: Prompt, settings: CorrectionSettings | None
    ) -> tuple[LabelCanvas, Prompt, CorrectionSettings, list[Prompt]]:
        segment, settings = self._segment_of(prompt), settings or CorrectionSettings()
        others = [other for other in self.segments if other.layer == segment.layer and other is not segment]
        taken = tuple(other.value for other in others if not settings.overwrite or other.name in self._locked)
        canvas = LabelCanvas(
            self.volume, self._layers[segment.layer], segment.value, taken, self._editable, self._intensity_range,
            self._probabilities.get(segment.name),
        )  # fmt: skip
        earlier = [old for old in self.prompts if old.segment == prompt.segment]
        return canvas, prompt, settings, earlier

    def _update(self, segment: Segment, correction: Correction) -> LabelUpdate:
        before = self._layers[(segment.layer, *correction.box.to_slices())].copy()
        after = before.copy()
        after[correction.changed] = np.where(correction.after[correction.changed], segment.value, 0)
        return LabelUpdate(correction.box, before, after, segment.layer)

    def _do(self, step: _Step, update: LabelUpdate) -> None:
        self._layers[(update.layer, *update.box.to_slices())] = update.after
        self._done.append(step)
        self._undone.clear()

    def _move(self, source: list[_Step], target: list[_Step], *, backward: bool) -> LabelUpdate | None:
        if not source:
            return None
        step = source.pop()
        update = unpack(step.change, self._layers[step.change.layer], backward=backward)
        self._layers[(update.layer, *update.box.to_slices())] = update.after
        target.append(step)
        return update
