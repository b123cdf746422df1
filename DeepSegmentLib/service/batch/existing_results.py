"""What is a result and not an input, and whether one is still what a run would give."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError
from DeepSegmentLib.files.input_stamp import input_stamp
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.opening import open_file, read_json
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance, segmentation_outputs
from DeepSegmentLib.files.segmentations.one_file_per_segment import SEGMENTS_FILE, listed_files, segment_files
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, read_volume, volume_stem
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.maps_and_statistics import map_paths
from DeepSegmentLib.service.preview import is_preview
from DeepSegmentLib.service.run_report import parameters
from DeepSegmentLib.service.segment import kept_segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.service.segment import SegmentRequest

_TABLE = ".labels.json"
_MAP = re.compile(r"(.+)_(?:uncertainty|probability)\.nii\.gz", re.DOTALL)
_LARGEST_JSON = 16 << 20  # bytes; tables and reports have some kilobytes
_BEGIN_OF_TABLE = 64  # bytes
_PNG_END = b"IEND\xaeB`\x82"


def results_among(folder: Path, names: Sequence[str]) -> frozenset[str]:
    """Those of the volume files in a folder that are results: segmentations, and the maps of a model's segmentations.

    A segmentation is a `.seg.nrrd`, an image with its table of labels, a file that `segments.json` lists, or an image
    in the folder of labels of an nnU-Net dataset. A map belongs to a segmentation of its name that says which model
    made it.

    Args:
        folder: Where they are.
        names: All files in it.
    """
    volumes = [name for name in names if name.lower().endswith(VOLUME_SUFFIXES)]
    if folder.name.startswith("labels") and (folder.parent / "dataset.json").is_file():
        return frozenset(volumes)
    tables = {name.removesuffix(_TABLE) for name in names if name.endswith(_TABLE) and _is_table(folder / name)}
    segmentations = {name for name in volumes if name.lower().endswith(".seg.nrrd")}
    for stem in tables:
        segmentations |= _with_table(folder, [name for name in volumes if volume_stem(folder / name) == stem])
    maps = [name for name in volumes if _MAP.fullmatch(name)]
    if SEGMENTS_FILE in names:
        segmentations |= _of_segments(folder / SEGMENTS_FILE) & {*names}
    made = {volume_stem(folder / name) for name in segmentations if maps and _is_made_by_model(folder / name)}
    return frozenset(
        (segmentations & {*volumes}) | {name for name in maps if any(name.startswith(f"{stem}_") for stem in made)}
    )


def _is_table(path: Path) -> bool:
    try:
        document = read_json(path, largest=_LARGEST_JSON)
    except DeepSegmentError:
        return False
    return isinstance(document, dict) and isinstance(document.get("segments"), list)


def _with_table(folder: Path, names: list[str]) -> set[str]:
    """Whose table it is, where several images have its name: of those that hold nothing but its labels."""
    return set(names) if len(names) == 1 else {name for name in names if _is_labelmap(folder / name)}


def _of_segments(table: Path) -> set[str]:
    """A table of one file a segment, and these; none where it is something else."""
    try:
        return listed_files(table)
    except DeepSegmentError:
        return set()


def _is_labelmap(path: Path) -> bool:
    try:
        read_labelmap(path)
    except DeepSegmentError:
        return False
    return True


def _is_made_by_model(path: Path) -> bool:
    """Also where it cannot be told: better a map too few is segmented than one."""
    try:
        return "model" in read_provenance(path)
    except DeepSegmentError:
        return True


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of an existing result.

    Attributes:
        kind: "complete" where a run would give the same; "old" where it would give another, or the result is damaged;
            "corrected" where somebody's work is in it; "foreign" where no model made it.
        reason: The same in words.
        volumes_ml: Of its segments, where it is complete.
    """

    kind: Literal["complete", "old", "corrected", "foreign"]
    reason: str
    volumes_ml: dict[str, float] = field(default_factory=dict)


def judge(request: SegmentRequest) -> Verdict:
    """Compare what a request would give with what is there.

    A complete result has the same model (name, version, checksum), parameters and input, and can be read to the end, as
    can everything else that the request asks for.

    Raises:
        ModelError: The model is not there or damaged.
        VolumeFileError: The input is not there.
    """
    try:
        words = read_provenance(request.target)
        labels = read_labelmap(request.target)
    except DeepSegmentError as error:
        return Verdict("old", f"its result is damaged: {error}")
    if "model" not in words:
        return Verdict("foreign", f"{request.target} has the name of its result and is not from a model")
    # Slicer keeps the words of each segment when it saves, and drops those of the file, the parameters among them.
    if "corrected" in words or "parameters" not in words:
        return Verdict("corrected", "its result was corrected since")
    reason = _difference(request, words) or _missing(request)
    if reason:
        return Verdict("old", reason)
    volumes = {name: round(ml, 3) for name, ml in labels.volumes_ml().items()}
    return Verdict("complete", "its result is complete", volumes)


def _difference(request: SegmentRequest, words: dict[str, str]) -> str:
    """In what the run that made a result differs from the one asked for; empty for nothing."""
    spec = read_spec(find_model(request.model).path)
    model = {"model": spec.name, "model_version": spec.version, "model_sha256": spec.weights_sha256}
    if any(words.get(key) != value for key, value in model.items()):
        made = f"{words['model']} {words.get('model_version', '')}"
        asked = f"{spec.name} {spec.version}"
        return f"its result is of the model {made}" + (", with other weights" if made == asked else f", not {asked}")
    if _parsed(words["parameters"]) != json.loads(json.dumps(parameters(request.settings, spec, request.subset))):
        return "its result was made with other parameters"
    if words.get("input") != input_stamp((request.source, *request.channels), request.series):
        return "its input has changed since"
    return ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _missing(request: SegmentRequest) -> str:
    """What else was asked for and is not there or damaged; empty for nothing."""
    for path in _companions(request):
        if not os.path.lexists(path):
            return f"{path.name} is missing"
        try:
            _check_whole(path)
        except DeepSegmentError as error:
            return f"{path.name} is damaged: {error}"
    return ""


def strange_companion(request: SegmentRequest) -> Path | None:
    """A file beside a result that is there already and that no run of ours wrote; None where there is none.

    Asked where there is no segmentation: beside one of a model, its companions are of the same run.
    """
    spec = read_spec(find_model(request.model).path)
    if request.target.name == SEGMENTS_FILE:  # its table would be there, were they of a run
        files = segment_files(request.target, kept_segments(request, spec)).values()
        if strange := next((path for path in files if os.path.lexists(path)), None):
            return strange
    kinds = ((request.report, _is_report), (request.preview, is_preview), (request.statistics, is_table_of_ours))
    return next((path for path, is_ours in kinds if path and os.path.lexists(path) and not is_ours(path)), None)


def is_table_of_ours(path: Path) -> bool:
    """Whether a file is a table of statistics, or none is there."""
    try:
        with open_file(path) as file:
            begin = file.read(_BEGIN_OF_TABLE)
    except DeepSegmentError:
        return not os.path.lexists(path)
    return b"".join(begin.split()).startswith((b'"case","segment"', b'[{"case":', b"[]"))


def _is_report(path: Path) -> bool:
    try:
        document = read_json(path, largest=_LARGEST_JSON)
    except DeepSegmentError:
        return False
    return isinstance(document, dict) and str(document.get("library", "")).startswith("DeepSegment ")


def _companions(request: SegmentRequest) -> list[Path]:
    """What belongs to a result beside the segmentation itself."""
    spec = read_spec(find_model(request.model).path)
    tables = [output.path for output in segmentation_outputs(request.target, kept_segments(request, spec))[1:]]
    maps = map_paths(request.target, request.settings, spec).values()
    return [*tables, *maps, *(path for path in (request.report, request.preview) if path is not None)]


def _check_whole(path: Path) -> None:
    """Check that a file can be read to its end.

    Raises:
        VolumeFileError: It cannot.
    """
    if path.name.lower().endswith(VOLUME_SUFFIXES):
        read_volume(path)
    elif path.suffix == ".json":
        read_json(path, largest=_LARGEST_JSON)
    elif path.suffix == ".png":
        with open_file(path) as file:
            if not file.read().endswith(_PNG_END):
                raise VolumeFileError(f"{path} is cut off; remove it")
