"""What a model needs and gives, without knowing where it came from. Torch-free; JSON both ways."""

# ruff: noqa: TC001, TC003 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from DeepSegmentLib.data import Index, Segment
from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.imaging.intensity import Normalization

from .expectations import Expectations
from .unet_spec import UNetSpec

FORMAT_VERSION = 1
"""Of the JSON; one more whenever an older reader would misunderstand it."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,62}[A-Za-z0-9])?", re.ASCII)
# Device names that Windows reserves, with any extension ("Naming Files, Paths, and Namespaces").
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?", re.IGNORECASE)
# Finer and coarser than the grid of any network; larger than any patch (1024 cubed).
_FINEST_MM, _COARSEST_MM = 1e-3, 1e3
_LARGEST_PATCH = 1 << 30
_MOST_SHOWN = 200
_AXIS_OF_LETTER = str.maketrans("LPI", "RAS")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Cleanup:
    """Post-processing of one segment, applied in the order of the fields.

    Attributes:
        segment: Name of the segment.
        keep_largest: Keep only the largest connected component.
        minimum_ml: Remove components smaller than this many millilitres.
        fill_holes: Fill background that the segment encloses in 3D.
    """

    segment: str
    keep_largest: bool = False
    minimum_ml: float = 0.0
    fill_holes: bool = False

    def __post_init__(self) -> None:
        if not self.minimum_ml >= 0:
            raise InvalidInputError(f"{self.segment}: minimum size must be 0 ml or more, got {self.minimum_ml}")


@dataclass(frozen=True)
class Channel:
    """One input channel of a model.

    Attributes:
        name: What the user reads, such as "T1w".
        modality: DICOM modality, such as "MR" or "CT".
        normalization: How its intensities are brought to the network's scale.
    """

    name: str
    modality: str
    normalization: Normalization


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to run a model, apart from its weights.

    Output "labels": network channel 0 is background and channel n is `segments[n - 1]`; the largest wins. Output
    "regions": network channel n is `segments[n]`, present where its logit is above 0; regions may overlap, each gets
    a layer of its own.

    Attributes:
        name: Letters, digits and `. _ + -`, at most 64; names the model's folder too.
        version: Likewise.
        description: One sentence for people.
        license: Of the weights; an SPDX identifier where there is one.
        channels: The inputs, in the order of the network's channels.
        segments: The outputs; their layers are 0 here, see `output_segments`.
        spacing_mm: Voxel size (k, j, i) of the network's input; None keeps the volume's own.
        orientation: Where the axes (i, j, k) of the network's input point, such as "RAS".
        patch_shape: What the network was trained on, (k, j, i) in voxels; k is 1 for a 2D network.
        network: The network's topology.
        output: "labels" or "regions".
        mirror_axes: Array axes (0 to 2: k, j, i) along which test-time mirroring is sound; empty where sides matter.
        cleanups: Post-processing, at most one a segment.
        citation: What users are asked to cite.
        provenance: Training data, date, command and the like; shown, never interpreted.
        weights_sha256: Hexadecimal digest of the weights file; empty until it is written.
        expectations: What the segments were like in training, to doubt results by; None where nobody measured it.
        format_version: Of the JSON.
    """

    name: str
    version: str
    description: str
    license: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    spacing_mm: tuple[float, float, float] | None
    orientation: str
    patch_shape: Index
    network: UNetSpec
    output: Literal["labels", "regions"] = "labels"
    mirror_axes: tuple[int, ...] = ()
    cleanups: tuple[Cleanup, ...] = ()
    citation: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict, hash=False)
    weights_sha256: str = ""
    expectations: Expectations | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_shape", as_index(self.patch_shape))
        object.__setattr__(self, "provenance", dict(self.provenance))
        self._check_words()
        self._check_grid()
        self._check_channels()
        self._check_segments()
        self._check_expectations()

    @property
    def output_segments(self) -> tuple[Segment, ...]:
        """The segments in the layers they are written to: one layer for all labels, one for each region."""
        if self.output == "labels":
            return self.segments
        return tuple(replace(segment, layer=n) for n, segment in enumerate(self.segments))

    def _check_words(self) -> None:
        for what, text in (("name", self.name), ("version", self.version)):
            if not _NAME.fullmatch(text) or _RESERVED.fullmatch(text):
                raise InvalidInputError(
                    f"{what} must be 1 to 64 letters, digits and . _ + - (first and last a letter or digit) "
                    f"and no device name of Windows, got {text!r}"
                )
        if self.weights_sha256 and not _SHA256.fullmatch(self.weights_sha256):
            raise InvalidInputError(
                f"weights_sha256 must be 64 lower-case hexadecimal digits, got {self.weights_sha256!r}"
            )
        if self.format_version != FORMAT_VERSION:
            raise InvalidInputError(f"format_version must be {FORMAT_VERSION}, got {self.format_version}")

    def _check_grid(self) -> None:
        if len(self.orientation) != 3 or {*self.orientation.translate(_AXIS_OF_LETTER)} != {*"RAS"}:
            raise InvalidInputError(
                f'orientation must name one of R/L, A/P and S/I each, like "RAS"; got {self.orientation!r}'
            )
        spacing = self.spacing_mm
        if spacing is not None and [_FINEST_MM <= step <= _COARSEST_MM for step in spacing] != [True] * 3:
            raise InvalidInputError(
                f"spacing_mm must be three lengths from {_FINEST_MM} to {_COARSEST_MM:g} mm, or none; got {spacing}"
            )
        if min(self.patch_shape) < 1 or (self.network.dimensions == 2 and self.patch_shape[0] != 1):
            raise InvalidInputError(
                f"patch_shape must be at least 1 along each axis, and 1 along the first for a 2D network; "
                f"got {self.patch_shape} for {self.network.dimensions}D"
            )
        if math.prod(self.patch_shape) > _LARGEST_PATCH:
            raise InvalidInputError(
                f"patch_shape may have at most {_LARGEST_PATCH} voxels in all, got {self.patch_shape}"
            )
        axes = self.mirror_axes
        if list(axes) != sorted({*axes} & {0, 1, 2}):
            raise InvalidInputError(f"mirror_axes must be among 0, 1, 2, each once and in order, got {axes}")

    def _check_channels(self) -> None:
        if len(self.channels) != self.network.in_channels:
            raise InvalidInputError(
                f"the network takes {self.network.in_channels} channels, but {len(self.channels)} are described"
            )
        _check_distinct("channels", (channel.name for channel in self.channels))

    def _check_segments(self) -> None:
        if self.output not in ("labels", "regions"):
            raise InvalidInputError(f"output must be labels or regions, got {self.output!r}")
        expected = len(self.segments) + (self.output == "labels")
        if not self.segments or self.network.out_channels != expected:
            raise InvalidInputError(
                f"{len(self.segments)} segments as {self.output} need a network of {expected} output channels "
                f"(and at least one segment), it has {self.network.out_channels}"
            )
        _check_distinct("segments", (segment.name for segment in self.segments))
        if self.output == "labels":
            _check_distinct("segments", (segment.value for segment in self.segments))
        layers = [segment.name for segment in self.segments if segment.layer != 0]
        if layers:
            raise InvalidInputError(f"segment {layers[0]!r}: layer must be 0, the output decides where it goes")
        self._check_known("clean-up", [cleanup.segment for cleanup in self.cleanups])

    def _check_expectations(self) -> None:
        if self.expectations is None:
            return
        self._check_known("expectation", [each.segment for each in self.expectations.segments])

    def _check_known(self, what: str, named: Sequence[str]) -> None:
        """Refuse what names a segment that is not there, or one twice."""
        names = {segment.name: None for segment in self.segments}
        strangers = [name for name in named if name not in names]
        if strangers:
            known = ", ".join(list(names)[:_MOST_SHOWN])
            raise InvalidInputError(f"{what} of unknown segment {strangers[0]!r}; there are: {known}")
        _check_distinct(f"{what}s", named)


def _check_distinct(what: str, keys: Iterable[Any]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise InvalidInputError(f"two {what} share {twice[0]!r}")


def spec_to_json(spec: ModelSpec) -> dict[str, Any]:
    """The spec as what `json.dump` takes; every field is written, defaults too."""
    document: dict[str, Any] = to_json(spec)
    return document


def spec_from_json(document: Any) -> ModelSpec:
    """The inverse of `spec_to_json`.

    Raises:
        ModelError: The document is of a newer format, a key without a default is missing, one is unknown, or a value
            has the wrong type or size; the message names the key.
    """
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(document, dict) and "format_version" not in document:
        raise ModelError("model: the key 'format_version' is missing; without it nobody knows how to read the others")
    if type(version) is int and version > FORMAT_VERSION:
        raise ModelError(
            f"model format {version} is newer than {FORMAT_VERSION}, the newest known here; update DeepSegment"
        )
    spec: ModelSpec = from_json(ModelSpec, document, "model")
    return spec
