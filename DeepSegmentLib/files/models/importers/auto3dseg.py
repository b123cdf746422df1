"""Auto3DSeg checkpoints, as SlicerMONAIAuto3DSeg's models are: `model.pt` with its configuration, and `labels.csv`.

References:
    lassoan/SlicerMONAIAuto3DSeg, Scripts/auto3dseg_segresnet_inference.py, which says how the keys are used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.models.zip_members import ZIP_ERRORS, ShortReads
from DeepSegmentLib.files.opening import is_folder, open_file
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import Tiling

from .door import check_no_choice
from .monai.configuration import Configuration
from .monai.convert import Plan, measured, stage_of, weights_for, written
from .monai.labels_csv import Label, read_labels
from .monai.networks import network_spec
from .monai.postprocessing import Windows
from .monai.preprocessing import Preparation
from .nnunet.model_card import NO_LICENSE, as_name
from .palette import color_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .door import Words

_CHECKPOINT, _LABELS = "model.pt", "labels.csv"
_SIGN = b"normalize_mode"
_PEEKED = 4 << 20
_MARGIN = 10
"""Voxels that the script leaves round what is above 0."""
_TOLERANCE = 0.25
_OVERLAP = 0.625
_VALUES = {"kits23": (1, 3, 2), "brats23": (2, 1, 3)}
"""Label values of regions that the script flattens, later ones over earlier ones, by the challenge."""
_MODALITIES = {"ct": "CT", "mri": "MR", "mr": "MR", "pet": "PT"}


class _Auto3DSeg:
    """See `door.Importer`."""

    kind = "MONAI Auto3DSeg model"
    signs = "model.pt with its configuration inside, mostly beside labels.csv"

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether there is a checkpoint with the configuration of Auto3DSeg in it."""
        return any(_checkpoints(sources))

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """See `door.Importer.convert`."""
        from DeepSegmentLib.files.models.checkpoints import read_checkpoint

        check_no_choice(words, "a MONAI Auto3DSeg model")
        checkpoints = list(_checkpoints(sources))
        if len(checkpoints) != 1:
            raise ModelError(f"one checkpoint at a time can be added, there are {len(checkpoints)}")
        path = checkpoints[0]
        checkpoint = read_checkpoint(path)
        config, state = checkpoint.get("config"), checkpoint.get("state_dict")
        if not isinstance(config, dict) or not isinstance(state, dict):
            raise ModelError(f"{path} holds no config and state_dict, as checkpoints of Auto3DSeg do")
        stage = _stage(Configuration(config, str(path)))
        weights = weights_for(stage.network, state)  # type: ignore[arg-type]
        stage = replace(stage, network=measured(stage.network, stage.patch_shape))  # type: ignore[arg-type]
        labels = read_labels(path.parent / _LABELS) if (path.parent / _LABELS).is_file() else {}
        spec = _model(path, config, stage, labels, words)
        return written(folder, spec, weights, card=_card(spec), licence="")


IMPORTER = _Auto3DSeg()


def _checkpoints(sources: Sequence[Path]) -> Iterator[Path]:
    """Checkpoints of Auto3DSeg among the sources, in them, or one level down."""
    for source in sources:
        below = [source, *sorted(source.iterdir())] if is_folder(source) else []
        candidates = [each / _CHECKPOINT for each in below if is_folder(each)] or [source]
        yield from (path for path in candidates if path.is_file() and _is_auto3dseg(path))


def _is_auto3dseg(path: Path) -> bool:
    """Whether the pickle in a checkpoint speaks of intensities as Auto3DSeg does; it is not run."""
    try:
        with open_file(path) as file, ZipFile(ShortReads(file)) as archive:
            pickles = [info for info in archive.infolist() if _is_pickle(info)]
            if len(pickles) != 1:
                return False
            with archive.open(pickles[0]) as pickle:
                return _SIGN in pickle.read(_PEEKED)
    except (*ZIP_ERRORS, VolumeFileError):
        return False


def _is_pickle(info: ZipInfo) -> bool:
    return info.filename.endswith("data.pkl") and info.filename.count("/") < 2 and info.compress_type == ZIP_STORED


def _stage(config: Configuration) -> StageSpec:
    """The stage that the script makes of a configuration.

    Raises:
        ModelError: Something in it is not supported.
    """
    network = network_spec(config.component(config.find("network")))
    try:
        patch = tuple(int(edge) for edge in config.resolve(config.find("roi_size")))
        preparation = _preparation(config)
    except (TypeError, ValueError, InvalidInputError, OverflowError) as error:
        raise ModelError(f"{config.where}: {error}") from error
    windows = Windows(patch, None, Tiling(_OVERLAP, "at_border", "gaussian"))
    try:
        return stage_of(Plan(preparation, windows, 1, "probabilities"), network, patch)
    except ModelError as error:
        raise ModelError(f"{config.where}: {error}") from error


def _preparation(config: Configuration) -> Preparation:
    spacing = config.resolve(config.find("resample_resolution"))
    crops = config.resolve(config.document.get("crop_foreground", True))
    return Preparation(
        orientation="RAS" if config.find("orientation_ras") else None,
        spacing_mm=_spacing(spacing, config),
        tolerance=_TOLERANCE if spacing is not None else 0.0,
        crop_above=0.0 if crops else None,
        crop_margin=_MARGIN if crops else 0,
        intensity=_intensity(config),
        resampled_first=spacing is not None,
    )


def _spacing(spacing: Any, config: Configuration) -> tuple[float, float, float] | None:
    if spacing is None:
        return None
    if not isinstance(spacing, (list, tuple)) or len(spacing) != 3:
        raise ModelError(f"{config.where}: resample_resolution must be three lengths, got {str(spacing)[:80]}")
    i, j, k = (float(step) for step in spacing)
    return i, j, k


def _intensity(config: Configuration) -> Normalization:
    mode = config.resolve(config.find("normalize_mode"))
    if mode in ("range", "ct"):
        low, high = (float(bound) for bound in config.resolve(config.find("intensity_bounds")))
        # The bounds become -1 and 1, and the sigmoid is taken of that.
        return Normalization("sigmoid", mean=(low + high) / 2, std=(high - low) / 2)
    if mode in ("meanstd", "mri"):
        return Normalization("zscore", over="nonzero")
    if mode == "none":
        return Normalization("none")
    raise ModelError(f"{config.where}: normalize_mode={str(mode)[:60]!r} is not supported")


def _model(
    path: Path, config: Mapping[str, Any], stage: StageSpec, labels: Mapping[int, Label], words: Words
) -> ModelSpec:
    regions = bool(config.get("sigmoid", False))
    count = stage.network.out_channels - (not regions)
    segments = _segments(_values(config, count), config.get("class_names"), labels)
    folder_name = path.parent.name if path.name == _CHECKPOINT else path.stem
    name, _, version = folder_name.rpartition("-v")
    modality = str(config.get("modality", ""))
    try:
        return ModelSpec(
            name=words.name or as_name(name or folder_name),
            version=words.version or as_name((version if name else "") or "1.0"),
            description=f"Auto3DSeg model: {', '.join(segment.name for segment in segments)}"[:500] + ".",
            license=words.license or NO_LICENSE,
            channels=_channels(config, stage.network.in_channels, modality),
            segments=segments,
            parts=(Part(tuple(segment.name for segment in segments), (stage,)),),
            output="regions" if regions else "labels",
            provenance={"kind": _Auto3DSeg.kind, "file": plain(path.name), "modality": plain(modality)},
        )
    except InvalidInputError as error:
        raise ModelError(f"{path} is no complete model: {error}") from error


def _values(config: Mapping[str, Any], count: int) -> Sequence[int]:
    """The label values of the outputs; of the regions of some challenges they are not in a row."""
    root = str(config.get("bundle_root", ""))
    known = [values for challenge, values in _VALUES.items() if challenge in root and len(values) == count]
    return known[0] if known and config.get("sigmoid", False) else range(1, count + 1)


def _segments(values: Sequence[int], class_names: Any, labels: Mapping[int, Label]) -> tuple[Segment, ...]:
    """The outputs: named by the table, or else by the configuration, or else by their value."""
    said = class_names if isinstance(class_names, (list, tuple)) and len(class_names) == len(values) else ()
    usual = [plain(name)[:100] if isinstance(name, str) else "" for name in said] or [""] * len(values)
    names = [labels[v].name if v in labels else usual[n] or f"label {v}" for n, v in enumerate(values)]
    if len({*names}) < len(names):
        names = [f"{name} ({value})" for name, value in zip(names, values, strict=True)]
    return tuple(
        Segment(name, value, color_of(n), labels[value].terminology if value in labels else None)
        for n, (name, value) in enumerate(zip(names, values, strict=True))
    )


def _channels(config: Mapping[str, Any], count: int, modality: str) -> tuple[Channel, ...]:
    """The main volume, and those that the configuration calls extra modalities."""
    extra = config.get("extra_modalities")
    others = [plain(str(each))[:60] for each in extra.values()] if isinstance(extra, dict) else []
    words = [modality, *others][:count]
    words += [""] * (count - len(words))
    names = [word or f"channel {n}" for n, word in enumerate(words, start=1)]
    if len({*names}) < count:
        names = [f"{name} ({n})" for n, name in enumerate(names, start=1)]
    codes = [_MODALITIES.get(word.lower(), "") for word in words]
    return tuple(Channel(plain(name), code) for name, code in zip(names, codes, strict=True))


def _card(spec: ModelSpec) -> str:
    names = ", ".join(segment.name for segment in spec.segments)
    return (
        f"# {spec.name}\n\n{spec.description}\n\nA model of MONAI's Auto3DSeg, converted when it was added; it runs "
        f"without MONAI.\n\nLicence of the weights: {spec.license}.\n\n## Segments\n\n{names}\n"
    )
