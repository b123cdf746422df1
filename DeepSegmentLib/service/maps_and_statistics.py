"""What lies beside a segmentation: maps of probability and uncertainty, tables of what was measured of its segments."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data.name_lookup import EVERYTHING, known_names
from DeepSegmentLib.evaluation.measurements import measure, measurement_rows, rows_to_csv
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.safe_names import file_words
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_channels, volume_stem, write_volume

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.segmentation.outputs import Prediction, PredictSettings

STATISTICS_SUFFIXES = (".csv", ".json")
"""What a table can be written as."""


def chosen_maps(wishes: Sequence[str], subset: tuple[str, ...] | None, spec: ModelSpec) -> tuple[str, ...]:
    """The segments whose probability maps are meant; "all" stands for those that are kept.

    Raises:
        InvalidInputError: One is unknown.
    """
    if not wishes:
        return ()
    names = [segment.name for segment in spec.segments]
    everything = [name.casefold() for name in wishes] == [EVERYTHING]
    known = list(subset or names) if everything else names
    return known_names(wishes, known, f"model {spec.name} has no segment")


def map_paths(target: Path, settings: PredictSettings, spec: ModelSpec) -> dict[str, Path]:
    """Files of probabilities, by the name of the segment, and of uncertainty, by the empty name.

    Args:
        target: The segmentation that they lie beside.
        settings: Which are wanted.
        spec: The model.
    """
    words = file_words(segment.name for segment in spec.segments)
    endings = {name: f"{words[name]}_probability" for name in settings.probabilities if name in words}
    if settings.uncertainty:
        endings[""] = "uncertainty"
    return {name: target.parent / f"{volume_stem(target)}_{ending}.nii.gz" for name, ending in endings.items()}


def map_sizes(paths: Mapping[str, Path], voxels: int) -> dict[Path, int]:
    """About how many bytes maps take on the disk: as they grow, and again as files, which hardly get smaller."""
    files = list(paths.values())
    return {path.with_name(f".{n}"): 4 * voxels for n, path in enumerate(files)} | dict.fromkeys(files, 4 * voxels)


def write_maps(prediction: Prediction, paths: Mapping[str, Path]) -> dict[str, str]:
    """Write the maps of a prediction.

    Returns:
        The files, by what people call them.

    Raises:
        VolumeFileError: One cannot be written.
    """
    maps = prediction.probabilities | ({} if prediction.uncertainty is None else {"": prediction.uncertainty})
    for name, volume in maps.items():
        write_volume(volume, paths[name])
    return {f"probability of {name}" if name else "uncertainty": str(paths[name]) for name in maps}


def statistics_of(label_map: LabelMap, volume: Volume) -> list[dict[str, Any]]:
    """A row a segment, see `measurement_rows`; what is no number is None, as JSON has no other word for it."""
    rows = measurement_rows(measure(label_map, volume))
    return [{key: _known(value) for key, value in row.items()} for row in rows]


def statistics_of_files(
    source: Path, channels: Sequence[Path], series: str | None, segmentation: Path
) -> list[dict[str, Any]]:
    """The same of an input and its segmentation on disk.

    Raises:
        InvalidInputError: They are on different grids.
        VolumeFileError: One cannot be read.
    """
    volume = read_channels(source, channels, series)
    return statistics_of(match_grid(read_labelmap(segmentation), volume.geometry), volume)


def write_statistics(path: Path, cases: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Write the rows of all cases as one table: CSV, or JSON as a list of rows, by the ending.

    Args:
        path: Where; ends with one of `STATISTICS_SUFFIXES`.
        cases: Name and rows of each.

    Raises:
        VolumeFileError: It cannot be written.
    """
    rows = [{"case": name} | dict(row) for name, of_case in cases for row in of_case]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if path.name.lower().endswith(".json"):
        text = json.dumps(rows, indent=2, allow_nan=False) + "\n"
    else:
        full = [{key: row.get(key) for key in columns} for row in rows]
        text = rows_to_csv([{key: math.nan if value is None else value for key, value in row.items()} for row in full])
        text = text if rows else f'"case",{text}'  # of a batch that was stopped before its first case
    write_text(path, text)


def _known(value: str | float) -> str | int | float | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
