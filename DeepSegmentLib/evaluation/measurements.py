"""What can be said in numbers about each segment: size, shape, place and intensities."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.surfaces.measures import largest_diameter_mm, surface_area_mm2

from .spreadsheet_cells import text_cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap, Segment, Volume

    Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Intensities:
    """Statistics of one channel in a segment, in the channel's unit (Hounsfield units for CT).

    Attributes:
        mean: Mean.
        sd: Standard deviation of the sample (n - 1); 0 for a single voxel.
        min: Smallest value.
        max: Largest value.
        median: Middle value; the mean of the two middle ones where there are two.
    """

    mean: float
    sd: float
    min: float
    max: float
    median: float


@dataclass(frozen=True)
class Measurement:
    """The numbers of one segment.

    Attributes:
        segment: Its name.
        voxels: How many voxels it has.
        volume_ml: Volume, in millilitres.
        surface_area_mm2: Area of the mesh around it (`surface_area_mm2`), in square millimetres.
        largest_diameter_mm: Largest distance of two points of that mesh (`largest_diameter_mm`), in mm.
        centroid_ras: Mean place of its voxels, in RAS mm; None for an empty segment.
        channels: Intensities of each channel; none for an empty segment or without a volume.
    """

    segment: str
    voxels: int
    volume_ml: float
    surface_area_mm2: float
    largest_diameter_mm: float
    centroid_ras: tuple[float, float, float] | None
    channels: tuple[Intensities, ...]


def measure(label_map: LabelMap, volume: Volume | None = None) -> tuple[Measurement, ...]:
    """Measure each segment, in the order of the table of segments.

    Args:
        label_map: Segments; those of one name are measured one by one.
        volume: Intensities on the same grid, or None to leave them out.

    Raises:
        InvalidInputError: The grids differ.
    """
    if volume is not None and not volume.geometry.is_close(label_map.geometry):
        raise InvalidInputError(
            f"volume and labels must be on one grid, got shapes {volume.geometry.shape} and "
            f"{label_map.geometry.shape}; resample the labels onto the volume first"
        )
    boxes = [ndimage.find_objects(layer) for layer in label_map.layers]
    measurements = []
    for segment in label_map.segments:
        found = boxes[segment.layer]
        place = found[segment.value - 1] if segment.value <= len(found) else None
        measurements.append(_measure(label_map, volume, segment, place))
    return tuple(measurements)


def measurement_rows(measurements: Sequence[Measurement]) -> list[Row]:
    """One row a segment, with units in the names of the columns; what an empty segment lacks is NaN.

    Returns:
        Dicts with the same keys: "segment", "voxels", "volume [ml]", "surface area [mm2]", "largest diameter [mm]",
        "centroid R [mm]", "centroid A [mm]", "centroid S [mm]", then "channel 1 mean", "channel 1 sd",
        "channel 1 min", "channel 1 max" and "channel 1 median", likewise for further channels.
    """
    channels = max((len(each.channels) for each in measurements), default=0)
    return [_row(each, channels) for each in measurements]


def rows_to_csv(rows: Sequence[Row]) -> str:
    """The rows as a table: a header, texts quoted and no formulas, NaN an empty cell, seven digits.

    Lines end with a line feed.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(rows[0] if rows else _row(Measurement("", 0, 0, 0, 0, None, ()), 0))
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return text.getvalue()


def _measure(
    label_map: LabelMap, volume: Volume | None, segment: Segment, place: tuple[slice, ...] | None
) -> Measurement:
    if place is None:
        return Measurement(segment.name, 0, 0.0, 0.0, 0.0, None, ())
    box = Box(as_index([span.start for span in place]), as_index([span.stop for span in place]))
    grid = label_map.geometry.crop(box)
    mask = np.asarray(label_map.layers[segment.layer][box.to_slices()] == segment.value)
    voxels = int(np.count_nonzero(mask))
    r, a, s = grid.index_to_ras([_mean_index(mask, axis) for axis in range(3)]).tolist()
    channels = () if volume is None else tuple(_intensities(each[mask]) for each in volume.crop(box).voxels)
    return Measurement(
        segment=segment.name,
        voxels=voxels,
        volume_ml=voxels * grid.voxel_volume_mm3 / 1000,
        surface_area_mm2=surface_area_mm2(mask, grid),
        largest_diameter_mm=largest_diameter_mm(mask, grid),
        centroid_ras=(r, a, s),
        channels=channels,
    )


def _mean_index(mask: NDArray[np.bool_], axis: int) -> float:
    counts = np.count_nonzero(mask, axis=tuple(n for n in range(3) if n != axis))
    return float(counts @ np.arange(len(counts)) / counts.sum())


def _intensities(values: NDArray[Any]) -> Intensities:
    numbers = values.astype(np.float64)
    return Intensities(
        mean=float(numbers.mean()),
        sd=float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        min=float(numbers.min()),
        max=float(numbers.max()),
        median=float(np.median(numbers)),
    )


def _row(measurement: Measurement, channels: int) -> Row:
    row: Row = {
        "segment": measurement.segment,
        "voxels": measurement.voxels,
        "volume [ml]": measurement.volume_ml,
        "surface area [mm2]": measurement.surface_area_mm2,
        "largest diameter [mm]": measurement.largest_diameter_mm,
    }
    centroid = measurement.centroid_ras or (math.nan,) * 3
    row |= {f"centroid {axis} [mm]": value for axis, value in zip("RAS", centroid, strict=True)}
    for n in range(channels):
        found = asdict(measurement.channels[n]) if measurement.channels else {}
        row |= {f"channel {n + 1} {each.name}": found.get(each.name, math.nan) for each in fields(Intensities)}
    return row


def _cell(value: str | float) -> str | int | float:
    if isinstance(value, str):
        return text_cell(value)
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else float(f"{value:.7g}")
