"""What a model needs and gives, without knowing where it came from. Torch-free; its JSON is in `model_json`."""

# ruff: noqa: TC001, TC003 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError

from .expectations import Expectations
from .stage_spec import StageSpec, WeightsFile, joined_digest, with_halved_patch

FORMAT_VERSION = 2
"""Of the JSON; one more whenever an older reader would misunderstand it."""

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,62}[A-Za-z0-9])?", re.ASCII)
# Device names that Windows reserves, with any extension ("Naming Files, Paths, and Namespaces").
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])(\..*)?", re.IGNORECASE)
_MOST_SHOWN = 200
_MOST_MARGIN_MM = 1000.0


@dataclass(frozen=True)
class Cleanup:
    """Post-processing of a segment, applied in the order of the fields.

    Attributes:
        segment: Name of the segment.
        keep_largest: Keep only the largest connected component.
        minimum_ml: Remove components smaller than this many millilitres.
        fill_holes: Fill background that the segment encloses in 3D.
        together_with: Further segments, as one with which the components are looked for.
        neighbours: Of a voxel that are connected with it: 6, 18 or 26. Of holes, the background's.
        everywhere: Whether what is removed becomes background in all segments that overlap there (nnU-Net's regions).
    """

    segment: str
    keep_largest: bool = False
    minimum_ml: float = 0.0
    fill_holes: bool = False
    together_with: tuple[str, ...] = ()
    neighbours: int = 6
    everywhere: bool = False

    def __post_init__(self) -> None:
        if not self.minimum_ml >= 0:
            raise InvalidInputError(f"{self.segment}: minimum size must be 0 ml or more, got {self.minimum_ml}")
        if self.neighbours not in (6, 18, 26):
            raise InvalidInputError(f"{self.segment}: neighbours must be 6, 18 or 26, got {self.neighbours}")
        if self.fill_holes and self.together_with:
            raise InvalidInputError(f"{self.segment}: holes are filled with one segment, not with several together")

    @property
    def segments(self) -> tuple[str, ...]:
        """Names of all segments that are looked at."""
        return (self.segment, *self.together_with)


@dataclass(frozen=True)
class Focus:
    """Round what a model looks, which another one finds before: TotalSegmentator's smaller tasks are made so.

    Attributes:
        model: Name of the other one.
        segments: Of the other one.
        margin_mm: How far it looks round all of them.
    """

    model: str
    segments: tuple[str, ...]
    margin_mm: float = 0.0

    def __post_init__(self) -> None:
        check_name("the model of a focus", self.model)
        if not self.segments:
            raise InvalidInputError("a focus needs at least one segment")
        _check_distinct("segments of a focus", self.segments)
        if not 0 <= self.margin_mm <= _MOST_MARGIN_MM:
            raise InvalidInputError(f"margin_mm must be from 0 to {_MOST_MARGIN_MM:g}, got {self.margin_mm}")


@dataclass(frozen=True)
class Channel:
    """One input channel of a model.

    Attributes:
        name: What the user reads, such as "T1w".
        modality: DICOM modality, such as "MR" or "CT"; empty where it is not known.
    """

    name: str
    modality: str


@dataclass(frozen=True)
class Part:
    """Some of a model's segments, and the stages that find them.

    Attributes:
        segments: Names, in the order of the network's output channels (after background, for labels).
        stages: One, or a cascade: each stage after the first gets, beside the model's channels, the labels of the one
            before as channels of 0 and 1, one a segment, on its own grid. All stages have the same outputs; the last
            one's count.
    """

    segments: tuple[str, ...]
    stages: tuple[StageSpec, ...]

    def __post_init__(self) -> None:
        if not self.segments or not self.stages:
            raise InvalidInputError("a part needs at least one segment and one stage")
        _check_distinct("segments of a part", self.segments)


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to run a model, apart from its weights.

    Output "labels": of each part, network channel 0 is background and channel n is its segment n - 1; the largest wins.
    Where parts overlap, the later one wins. Output "regions": network channel n is segment n, present where its logit
    is above 0; regions may overlap, each gets a layer of its own, and where they are flattened the later one wins.

    Attributes:
        name: Letters, digits and `. _ + -`, at most 64; names the model's folder too.
        version: Likewise.
        description: One sentence for people.
        license: Of the weights; an SPDX identifier where there is one.
        channels: The inputs, in the order of the networks' channels.
        segments: The outputs; their layers are 0 here, see `output_segments`.
        parts: Who finds which of them.
        output: "labels" or "regions".
        cleanups: Post-processing, in this order; segments that are looked at together are found by the same parts.
        coarse_model: Name of a faster, coarser model of the same segments; empty where there is none.
        focus: Round what it looks where no region is asked for; None for everywhere.
        citation: What users are asked to cite.
        provenance: Where it came from, training data, date, command and the like; shown, never interpreted.
        expectations: What the segments were like in training, to doubt results by; None where nobody measured it.
        format_version: Of the JSON.
    """

    name: str
    version: str
    description: str
    license: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...]
    parts: tuple[Part, ...]
    output: Literal["labels", "regions"] = "labels"
    cleanups: tuple[Cleanup, ...] = ()
    coarse_model: str = ""
    focus: Focus | None = None
    citation: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict, hash=False)
    expectations: Expectations | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", dict(self.provenance))
        self._check_words()
        _check_distinct("channels", (channel.name for channel in self.channels))
        self._check_segments()
        self._check_parts()
        if self.expectations is not None:
            self._check_known("expectation", [each.segment for each in self.expectations.segments])

    @property
    def stages(self) -> tuple[StageSpec, ...]:
        """The stages of all parts, in the order they run."""
        return tuple(stage for part in self.parts for stage in part.stages)

    @property
    def weights(self) -> tuple[WeightsFile, ...]:
        """The weights files of all members of all stages."""
        return tuple(file for stage in self.stages for file in stage.weights)

    @property
    def weights_sha256(self) -> str:
        """One digest for all weights: that of a single file, or that of all of theirs in a row; empty before."""
        return joined_digest([file.sha256 for file in self.weights])

    @property
    def output_segments(self) -> tuple[Segment, ...]:
        """The segments in the layers they are written to: one layer for all labels, one for each region."""
        if self.output == "labels":
            return self.segments
        return tuple(replace(segment, layer=n) for n, segment in enumerate(self.segments))

    def _check_words(self) -> None:
        for what, text in (("name", self.name), ("version", self.version)):
            check_name(what, text)
        if self.coarse_model:
            check_name("coarse_model", self.coarse_model)
        if self.format_version != FORMAT_VERSION:
            raise InvalidInputError(f"format_version must be {FORMAT_VERSION}, got {self.format_version}")

    def _check_segments(self) -> None:
        if self.output not in ("labels", "regions"):
            raise InvalidInputError(f"output must be labels or regions, got {self.output!r}")
        if not self.segments:
            raise InvalidInputError("a model needs at least one segment")
        _check_distinct("segments", (segment.name for segment in self.segments))
        if self.output == "labels":
            _check_distinct("segments", (segment.value for segment in self.segments))
        layers = [segment.name for segment in self.segments if segment.layer != 0]
        if layers:
            raise InvalidInputError(f"segment {layers[0]!r}: layer must be 0, the output decides where it goes")
        for cleanup in self.cleanups:
            self._check_known("clean-up", cleanup.segments)

    def _check_parts(self) -> None:
        self._check_known("part", [name for part in self.parts for name in part.segments])
        found = {name for part in self.parts for name in part.segments}
        missing = [segment.name for segment in self.segments if segment.name not in found]
        if missing:
            raise InvalidInputError(f"segment {missing[0]!r} is found by no part")
        for part in self.parts:
            for cleanup in self.cleanups:
                if 0 < len({*cleanup.segments} & {*part.segments}) < len(cleanup.segments):
                    raise InvalidInputError(
                        f"clean-up of {', '.join(cleanup.segments)}: a part finds some of them and others not"
                    )
            for n, stage in enumerate(part.stages):
                self._check_stage(part, stage, earlier=n > 0)

    def _check_stage(self, part: Part, stage: StageSpec, *, earlier: bool) -> None:
        outputs = len(part.segments) + (self.output == "labels")
        if stage.network.out_channels != outputs:
            raise InvalidInputError(
                f"{len(part.segments)} segments as {self.output} need a network of {outputs} output channels, "
                f"it has {stage.network.out_channels}"
            )
        inputs = len(self.channels) + (len(part.segments) if earlier else 0)
        if stage.network.in_channels != inputs:
            raise InvalidInputError(
                f"the network takes {stage.network.in_channels} channels, but {inputs} are described"
            )
        if len(stage.normalizations) != len(self.channels):
            raise InvalidInputError(
                f"{len(self.channels)} channels need as many normalizations, got {len(stage.normalizations)}"
            )

    def _check_known(self, what: str, named: Sequence[str]) -> None:
        """Refuse what names a segment that is not there, or one twice."""
        names = {segment.name: None for segment in self.segments}
        strangers = [name for name in named if name not in names]
        if strangers:
            known = ", ".join(list(names)[:_MOST_SHOWN])
            raise InvalidInputError(f"{what} of unknown segment {strangers[0]!r}; there are: {known}")
        _check_distinct(f"{what}s", named)


def check_name(what: str, text: str) -> None:
    """Refuse what cannot name a model's folder on every system.

    Raises:
        InvalidInputError: It holds other characters, is too long, or is a device name of Windows.
    """
    if not _NAME.fullmatch(text) or _RESERVED.fullmatch(text):
        raise InvalidInputError(
            f"{what} must be 1 to 64 letters, digits and . _ + - (first and last a letter or digit) "
            f"and no device name of Windows, got {text!r}"
        )


def with_weights(spec: ModelSpec, digests: Iterator[str]) -> ModelSpec:
    """The spec with the SHA-256 of its weights files, in the order of `ModelSpec.weights`."""
    return _with_stages(spec, partial(_stamped, digests=digests))


def with_halved_patches(spec: ModelSpec, times: int) -> ModelSpec:
    """The spec with the patches of all stages halved so often, see `stage_spec.with_halved_patch`."""
    return _with_stages(spec, partial(with_halved_patch, times=times))


def _with_stages(spec: ModelSpec, change: Callable[[StageSpec], StageSpec]) -> ModelSpec:
    parts = (replace(part, stages=tuple(change(stage) for stage in part.stages)) for part in spec.parts)
    return replace(spec, parts=tuple(parts))


def _stamped(stage: StageSpec, digests: Iterator[str]) -> StageSpec:
    return replace(stage, weights=tuple(replace(file, sha256=next(digests)) for file in stage.weights))


def _check_distinct(what: str, keys: Iterable[Any]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise InvalidInputError(f"two {what} share {twice[0]!r}")
