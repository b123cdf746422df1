"""What property tests draw from: shapes, spacings, geometries, volumes, labelmaps, boxes, masks, updates, prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from DeepSegmentLib.data import (
    Box,
    BoxPrompt,
    Geometry,
    Index,
    LabelMap,
    LabelUpdate,
    Lasso,
    Point,
    Prompt,
    Scribble,
    Segment,
    Volume,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

AXES = ("RL", "AP", "SI")


def shapes(longest: int = 7, shortest: int = 1) -> st.SearchStrategy[Index]:
    """Extents (k, j, i), one-voxel axes included."""
    extent = st.integers(shortest, longest)
    return st.tuples(extent, extent, extent)


def spacings(low: float = 0.1, high: float = 10.0) -> st.SearchStrategy[tuple[float, float, float]]:
    """Anisotropic voxel sizes in mm, rounded to micrometres as files have them."""
    step = st.floats(low, high).map(lambda value: round(value, 3))
    return st.tuples(step, step, step)


@st.composite
def directions(draw: st.DrawFn) -> NDArray[np.float64]:
    """Orthonormal 3x3 matrices: any rotation (often none), any order and sense of the axes, det of both signs."""
    quaternion = np.array(draw(st.tuples(*[st.integers(-9, 9)] * 3, st.integers(1, 30))), dtype=float)
    x, y, z, w = quaternion / np.linalg.norm(quaternion)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + 2 * (w * skew + skew @ skew)
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
    tilted = draw(st.booleans())
    return np.asarray((rotation if tilted else np.eye(3)) @ np.eye(3)[:, order] * np.array(signs))


@st.composite
def geometries(
    draw: st.DrawFn, shape: st.SearchStrategy[Index] | None = None, spacing: st.SearchStrategy[Any] | None = None
) -> Geometry:
    """Grids anywhere in the patient: oblique, flipped, anisotropic, thin."""
    affine = np.eye(4)
    affine[:3, :3] = draw(directions()) * np.array(draw(spacings() if spacing is None else spacing))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500).map(lambda value: round(value, 3))] * 3))
    return Geometry(draw(shapes() if shape is None else shape), affine)


@st.composite
def volumes(draw: st.DrawFn, geometry: st.SearchStrategy[Geometry] | None = None, most_channels: int = 3) -> Volume:
    """Volumes of integers or floats, all finite."""
    place = draw(geometries() if geometry is None else geometry)
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.float32]))
    seed = draw(st.integers(0, 2**32 - 1))
    values = np.random.default_rng(seed).normal(100, 50, (draw(st.integers(1, most_channels)), *place.shape))
    return Volume(np.clip(values, 0, 255).astype(dtype), place)


@st.composite
def label_maps(draw: st.DrawFn, geometry: st.SearchStrategy[Geometry] | None = None, most_layers: int = 3) -> LabelMap:
    """Labelmaps of one or more layers; some values have no segment, some segments no voxel."""
    place = draw(geometries() if geometry is None else geometry)
    dtype = draw(st.sampled_from([np.uint8, np.uint16]))
    layers = draw(arrays.arrays(dtype, (draw(st.integers(1, most_layers)), *place.shape), elements=st.integers(0, 4)))
    spots = [(layer, value) for layer in range(len(layers)) for value in range(1, 6)]
    chosen = draw(st.lists(st.sampled_from(spots), unique=True, max_size=6))
    segments = tuple(Segment(f"segment {layer}.{value}", value, layer=layer) for layer, value in chosen)
    return LabelMap(layers, place, segments)


@st.composite
def boxes(draw: st.DrawFn, low: int = -6, high: int = 12) -> Box:
    """Boxes anywhere, empty ones included."""
    spans = [sorted(draw(st.tuples(st.integers(low, high), st.integers(low, high)))) for _ in range(3)]
    (k, kk), (j, jj), (i, ii) = spans
    return Box((k, j, i), (kk, jj, ii))


@st.composite
def inner_boxes(draw: st.DrawFn, shape: Index) -> Box:
    """Boxes of at least one voxel inside an array of this shape."""
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    stops = [draw(st.integers(start + 1, n)) for start, n in zip(starts, shape, strict=True)]
    return Box((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))


@st.composite
def masks(draw: st.DrawFn, shape: Index | None = None, *, filled: bool = False) -> NDArray[np.bool_]:
    """Boolean arrays (k, j, i), from empty to full; `filled` ones have at least one voxel."""
    extent = shape or draw(shapes())
    mask = np.array(draw(arrays.arrays(np.bool_, extent)))
    if filled:
        mask.flat[draw(st.integers(0, mask.size - 1))] = True
    return mask


@st.composite
def updates(draw: st.DrawFn, label_map: LabelMap) -> LabelUpdate:
    """Updates that fit the labelmap as it is."""
    box = draw(inner_boxes(label_map.geometry.shape))
    layer = draw(st.integers(0, len(label_map.layers) - 1))
    before = label_map.layers[(layer, *box.to_slices())].copy()
    after = draw(arrays.arrays(before.dtype, box.shape, elements=st.integers(0, 5)))
    return LabelUpdate(box, before, after, layer)


def orientations() -> st.SearchStrategy[str]:
    """All 48 orientation codes such as "RAS" or "PIL"."""
    letters = st.tuples(*[st.sampled_from(pair) for pair in AXES])
    return letters.flatmap(st.permutations).map("".join)


@st.composite
def prompts(draw: st.DrawFn, segment: str = "Cyst") -> Prompt:
    """Prompts of every kind, anywhere, with coordinates that no decimal number hits."""
    number = st.floats(-1e4, 1e4)
    count, positive, size = draw(st.integers(3, 6)), draw(st.booleans()), draw(st.floats(0, 50))
    points = np.array(draw(st.lists(st.tuples(number, number, number), min_size=count, max_size=count)))
    every = [
        Point(segment, positive, points[0]),
        Scribble(segment, positive, points, size),
        BoxPrompt(segment, positive, points[:2]),
        Lasso(segment, positive, points, size),
    ]
    return draw(st.sampled_from(every))
