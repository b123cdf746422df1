"""One pass of a network over a volume as plain data: the grid, the intensities, the tiles, the network. Torch-free."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from typing import Literal

from DeepSegmentLib.data import Index
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.intensity import LARGEST_INTENSITY, Normalization

from .graph_spec import GraphSpec
from .network_spec import NetworkSpec

# Finer and coarser than the grid of any network; larger than any patch (1024 cubed).
_FINEST_MM, _COARSEST_MM = 1e-3, 1e3
_LARGEST_PATCH = 1 << 30
_HIGHEST_ORDER = 5
_MOST_OVERLAP = 0.95
_AXIS_OF_LETTER = str.maketrans("LPI", "RAS")
_SAME_MM = 1e-3
"""By which MONAI's tolerance is larger (AFFINE_TOL)."""
_WIDEST_MARGIN = 1 << 16
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WEIGHTS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}\.(safetensors|ts|onnx)", re.ASCII)
NO_AXIS_CHANGE = (0, 1, 2)

Spacing = tuple[float | None, float | None, float | None]


def is_weights_name(name: str) -> bool:
    """Whether a weights file may be called so."""
    return _WEIGHTS_NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class WeightsFile:
    """A file of the model folder that holds the weights of one member.

    Attributes:
        file: Its name, such as "weights.safetensors"; plain, in the model's folder.
        sha256: Its hexadecimal digest; empty until it is written.
    """

    file: str
    sha256: str = ""

    def __post_init__(self) -> None:
        if not is_weights_name(self.file):
            raise InvalidInputError(
                "a weights file must be named by letters, digits and . _ - and end in .safetensors, .ts or .onnx; "
                f"got {self.file!r}"
            )
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise InvalidInputError(f"sha256 must be 64 lower-case hexadecimal digits, got {self.sha256!r}")


@dataclass(frozen=True)
class Resampling:
    """How volumes are brought to the network's grid, and its logits back to that of the volume.

    Attributes:
        volume_order: Order of the spline for volumes, 0 (nearest) to 5; values never leave the range of the volume.
        logits_order: Likewise for logits on their way back.
        antialias: Whether shrinking averages (triangle filter; only with `volume_order` 1) instead of sampling.
        keep_extent: Whether the network's grid covers exactly what the volume covers, so that its voxels differ from
            the spacing asked for by a fraction of one voxel over the whole axis; otherwise they have just that spacing.
        keep_corners: With `keep_extent`: whether the first and last voxels of both grids lie at the same places, as in
            SciPy's zoom, instead of the borders of these voxels.
        thick_axis_from: Where the largest spacing of a volume, or else of the network's grid, is more than so many
            times the smallest, planes are resampled by themselves and that axis with the orders below; None for never.
        thick_volume_order: Order along the thick axis for volumes.
        thick_logits_order: Order along the thick axis for logits.
        keep_first: Whether the first voxel of the network's grid lies where the volume's does (MONAI's Spacing);
            otherwise the grid is centred on the volume.
        back: Whether "logits" are brought back (nnU-Net), or "probabilities" (MONAI).

    References:
        Isensee et al., nnU-Net, Nat Methods 2021, "resampling" (separate treatment of the thick axis).
    """

    volume_order: int = 1
    logits_order: int = 1
    antialias: bool = True
    keep_extent: bool = False
    keep_corners: bool = False
    thick_axis_from: float | None = None
    thick_volume_order: int = 0
    thick_logits_order: int = 0
    keep_first: bool = False
    back: Literal["logits", "probabilities"] = "logits"

    def __post_init__(self) -> None:
        orders = (self.volume_order, self.logits_order, self.thick_volume_order, self.thick_logits_order)
        if not all(0 <= order <= _HIGHEST_ORDER for order in orders):
            raise InvalidInputError(f"orders of resampling must be from 0 to {_HIGHEST_ORDER}, got {orders}")
        if self.back not in ("logits", "probabilities"):
            raise InvalidInputError(f"back must be logits or probabilities, got {self.back!r}")
        if self.antialias and self.volume_order != 1:
            raise InvalidInputError(f"antialias needs volume_order 1, got {self.volume_order}")
        if self.keep_corners and not self.keep_extent:
            raise InvalidInputError("keep_corners needs keep_extent")
        if self.keep_extent and self.keep_first:
            raise InvalidInputError("a grid keeps the extent of the volume or its first voxel, not both")
        if self.thick_axis_from is not None and not self.thick_axis_from >= 1:
            raise InvalidInputError(f"thick_axis_from must be 1 or more, got {self.thick_axis_from}")


@dataclass(frozen=True)
class Tiling:
    """Where tiles lie unless a run asks for another overlap, and how they are blended.

    Attributes:
        overlap: Least shared fraction of neighbouring tiles, from 0 to 0.95.
        last_tile: "spread": tiles are spread evenly (nnU-Net); "at_border": all steps are the same and the last tile is
            moved back to the border (MONAI).
        importance: "gaussian": highest in the tile's middle, floor 1e-3 (MONAI); "truncated_gaussian": cut off at four
            standard deviations round voxel n // 2 and filled up with its least value (nnU-Net); "uniform".
    """

    overlap: float = 0.5
    last_tile: Literal["spread", "at_border"] = "spread"
    importance: Literal["gaussian", "truncated_gaussian", "uniform"] = "gaussian"

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= _MOST_OVERLAP:
            raise InvalidInputError(f"overlap must be from 0 to {_MOST_OVERLAP}, got {self.overlap}")


@dataclass(frozen=True)
class StageSpec:
    """What one pass of a network over a volume needs.

    The volume is brought to `orientation`, its axes (k, j, i) are reordered by `axes`; spacing, patch and mirror axes
    are those of the network after that. Of several members the logits are averaged, before softmax or sigmoid.

    Attributes:
        patch_shape: What the network was trained on, (k, j, i) in voxels; k is 1 for a 2D network.
        network: Its architecture.
        normalizations: How each of the model's channels is brought to the network's scale, in their order.
        weights: A file for each member (fold) of the ensemble.
        spacing_mm: Voxel size (k, j, i) of the network's input; an axis that is None keeps the volume's own spacing,
            and None for all keeps it along all.
        spacing_tolerance: By what fraction of `spacing_mm` an axis may differ from it and keep its own spacing.
        orientation: Where the axes (i, j, k) point, such as "RAS"; None for the volume as it is stored.
        axes: Axis n of the network is axis `axes[n]` of (k, j, i).
        crop: What is left out at the borders: "content": planes that hold nothing but the value of the corners;
            "nonzero": planes of nothing but zeros; "above": planes where nothing is above `crop_above`; "none".
        crop_above: Intensity of the volume, for "above".
        crop_margin: Voxels of the volume that "above" leaves round the rest.
        normalize: "before" or "after" resampling.
        resampling: How volumes get to the network's grid.
        tiling: Where tiles lie.
        mirror_axes: Array axes (0 to 2: k, j, i) along which test-time mirroring is sound; empty where sides matter.
    """

    patch_shape: Index
    network: NetworkSpec
    normalizations: tuple[Normalization, ...]
    weights: tuple[WeightsFile, ...] = (WeightsFile("weights.safetensors"),)
    spacing_mm: Spacing | None = None
    spacing_tolerance: float = 0.0
    orientation: str | None = "RAS"
    axes: tuple[int, int, int] = NO_AXIS_CHANGE
    crop: Literal["content", "nonzero", "above", "none"] = "content"
    crop_above: float = 0.0
    crop_margin: int = 0
    normalize: Literal["before", "after"] = "before"
    resampling: Resampling = field(default_factory=Resampling)
    tiling: Tiling = field(default_factory=Tiling)
    mirror_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_shape", as_index(self.patch_shape))
        self._check_axes()
        self._check_grid()
        files = [each.file for each in self.weights]
        if not files or len({*files}) < len(files):
            raise InvalidInputError(f"a stage needs one weights file or more, each once; got {files}")

    def _check_axes(self) -> None:
        words = self.orientation
        if words is not None and (len(words) != 3 or {*words.translate(_AXIS_OF_LETTER)} != {*"RAS"}):
            raise InvalidInputError(f'orientation must name one of R/L, A/P and S/I each, like "RAS"; got {words!r}')
        if sorted(self.axes) != [0, 1, 2]:
            raise InvalidInputError(f"axes must hold 0, 1 and 2 in some order, got {self.axes}")
        mirrored = self.mirror_axes
        if list(mirrored) != sorted({*mirrored} & {0, 1, 2}):
            raise InvalidInputError(f"mirror_axes must be among 0, 1, 2, each once and in order, got {mirrored}")

    def _check_grid(self) -> None:
        lengths = [step for step in self.spacing_mm or () if step is not None]
        right_count = self.spacing_mm is None or len(self.spacing_mm) == 3
        if not right_count or not all(_FINEST_MM <= step <= _COARSEST_MM for step in lengths):
            raise InvalidInputError(
                f"spacing_mm must be three lengths from {_FINEST_MM} to {_COARSEST_MM:g} mm, or none; "
                f"got {self.spacing_mm}"
            )
        if not (0 <= self.spacing_tolerance < 1 and 0 <= self.crop_margin <= _WIDEST_MARGIN):
            raise InvalidInputError(
                f"spacing_tolerance must be in 0..1 and crop_margin from 0 to {_WIDEST_MARGIN}, got "
                f"{self.spacing_tolerance} and {self.crop_margin}"
            )
        if not abs(self.crop_above) <= LARGEST_INTENSITY:
            raise InvalidInputError(f"crop_above must be an intensity, got {self.crop_above}")
        shape = self.patch_shape
        if min(shape) < 1 or (self.network.dimensions == 2 and shape[0] != 1):
            raise InvalidInputError(
                f"patch_shape must be at least 1 along each axis, and 1 along the first for a 2D network; "
                f"got {shape} for {self.network.dimensions}D"
            )
        if math.prod(shape) > _LARGEST_PATCH:
            raise InvalidInputError(f"patch_shape may have at most {_LARGEST_PATCH} voxels in all, got {shape}")

    @property
    def weights_sha256(self) -> str:
        """One digest for all members: that of a single file, or that of all of theirs in a row; empty before."""
        return joined_digest([each.sha256 for each in self.weights])

    def orientation_of(self, stored: str) -> str:
        """Where the axes (i, j, k) of the network's input point for a volume that is stored so, such as "RAS"."""
        kji = (self.orientation or stored)[::-1]
        return "".join(kji[axis] for axis in self.axes)[::-1]

    def spacing_of(self, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """The network's spacing (k, j, i) for an oriented volume of this one."""
        kept = self.spacing_tolerance > 0
        k, j, i = (
            own if wanted is None or abs(own - wanted) <= self.spacing_tolerance * wanted + _SAME_MM * kept else wanted
            for own, wanted in zip(spacing_mm, self.spacing_mm or (None,) * 3, strict=True)
        )
        return k, j, i


def with_halved_patch(stage: StageSpec, times: int) -> StageSpec:
    """The stage with each axis of its patch halved so often; never less than twice what the network shrinks it by.

    The network sees less around each voxel then, and labels differ a little. Networks whose patch is built in, and
    graphs, of which nobody knows, keep theirs.
    """
    network = stage.network
    if isinstance(network, GraphSpec) or getattr(network, "fixed_shape", None) is not None:
        return stage
    steps = (1, *network.divisor)[-3:]
    extents = zip(stage.patch_shape, steps, strict=True)
    halved = [min(n, max(2 * step, -(-(n >> times) // step) * step)) for n, step in extents]
    return replace(stage, patch_shape=as_index(halved))


def joined_digest(digests: list[str]) -> str:
    """The digest itself where there is one; otherwise the SHA-256 of all, empty where one of them is."""
    if len(digests) == 1 or not all(digests):
        return digests[0] if len(digests) == 1 else ""
    return hashlib.sha256("".join(digests).encode("ascii")).hexdigest()
