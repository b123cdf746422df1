"""What a correction must never do, computed without the engine: for tests and for the long run in the benchmarks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import BoxPrompt, Geometry, LabelMap, Lasso, Point, Scribble, Segment, Volume
from DeepSegmentLib.refinement.session import RefinementSession
from DeepSegmentLib.refinement.settings import RefineSettings
from DeepSegmentLib.refinement.strokes import marked_voxels

SEGMENTS = (Segment("a", 1), Segment("b", 2), Segment("locked", 3), Segment("over", 1, layer=1))


@dataclass(frozen=True)
class Scene:
    """A session and what it may touch."""

    session: RefinementSession
    editable: np.ndarray
    intensity_range: tuple[float, float] | None


def random_scene(rng: np.random.Generator, shape: tuple[int, int, int] | None = None) -> Scene:
    """Blobs in noise on any grid, with a locked and an overlapping segment, a mask and perhaps an intensity range."""
    shape = shape or tuple(int(n) for n in rng.integers(1, 22, 3))
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = rotation * rng.uniform(0.5, 4, 3)
    affine[:3, 3] = rng.uniform(-50, 50, 3)
    geometry = Geometry(shape, affine)
    layers = np.stack([_blobs(rng, shape, 4), _blobs(rng, shape, 2)])
    image = 40 * ndimage.gaussian_filter(layers[0].astype(float), 0.5) + rng.normal(0, 10, shape)
    volume = Volume(image[None].astype(rng.choice([np.float32, np.int16])), geometry)
    editable = rng.random(shape) < 0.95
    limits = (float(np.percentile(image, 5)), float(np.percentile(image, 95))) if rng.random() < 0.3 else None
    probabilities = {"b": rng.random(shape).astype(np.float32)} if rng.random() < 0.5 else None
    session = RefinementSession(
        volume,
        LabelMap(layers, geometry, SEGMENTS),
        locked=["locked"],
        editable=editable,
        intensity_range=limits,
        probabilities=probabilities,
    )
    return Scene(session, editable, limits)


def _blobs(rng: np.random.Generator, shape: tuple[int, int, int], values: int) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    edges = np.quantile(smooth, np.linspace(0, 1, values + 1)[1:-1])
    return np.digitize(smooth, edges).astype(np.uint8)


def random_prompt(rng: np.random.Generator, geometry: Geometry):
    """Any prompt that touches the grid, for a segment that is not locked."""
    name = str(rng.choice(["a", "b", "over"]))
    positive = bool(rng.random() < 0.5)
    kind = rng.choice(["point", "scribble", "box", "lasso"], p=[0.5, 0.3, 0.1, 0.1])
    first = rng.uniform(-0.4, np.array(geometry.shape) - 0.6)
    spread = rng.uniform(0.5, 5)
    points = geometry.index_to_ras(np.vstack([first, first + rng.normal(0, spread, (3, 3))]))
    if kind == "point":
        return Point(name, positive, points[0])
    if kind == "scribble":
        return Scribble(name, positive, points[: rng.integers(1, 4)], float(rng.choice([0, 2])))
    if kind == "box":
        return BoxPrompt(name, positive, points[[0, 0]] + [[-3], [3]])
    return Lasso(name, positive, points[0] + np.array([[-3, -3, 0], [4, -2, 0], [0, 5, 0]]), 2.0)


def random_settings(rng: np.random.Generator) -> RefineSettings:
    """Any radius, aggressiveness, mode and overwriting."""
    return RefineSettings(
        radius_mm=float(np.exp(rng.uniform(np.log(0.5), np.log(40)))),
        aggressiveness=float(rng.choice([0, 0.5, 1, rng.random()])),
        mode=str(rng.choice(["fix", "grow"], p=[0.8, 0.2])),
        overwrite=bool(rng.random() < 0.3),
    )


def allowed(scene: Scene, prompt, settings: RefineSettings, before: np.ndarray, earlier: list) -> np.ndarray:
    """Voxels (layer, k, j, i) that a correction may change, by brute force."""
    segment = next(segment for segment in SEGMENTS if segment.name == prompt.segment)
    layer, geometry = before[segment.layer], scene.session.volume.geometry
    at = geometry.index_to_ras(np.argwhere(np.ones(geometry.shape, bool)))
    positives = [old for old in earlier if old.positive]
    grows = settings.mode == "grow" and (prompt.positive or bool(positives))
    if grows:
        drawn = [old for old in (prompt, *earlier) if old.positive]
        near = np.any([_near(old, geometry, at, settings.radius_mm) for old in drawn], axis=0)
    else:
        near = _near(prompt, geometry, at, settings.radius_mm, own_region=True)
    may = near.reshape(geometry.shape) & scene.editable
    if scene.intensity_range is not None:
        values = scene.session.volume.voxels[0]
        may &= (values >= scene.intensity_range[0]) & (values <= scene.intensity_range[1])
    others = [s for s in SEGMENTS if s.layer == segment.layer and s is not segment]
    for other in others:
        if not settings.overwrite or other.name == "locked":
            may &= layer != other.value
    if not grows:
        may &= (layer == segment.value) != prompt.positive
    found = np.zeros(before.shape, bool)
    found[segment.layer] = may
    return found


def _near(prompt, geometry: Geometry, at: np.ndarray, radius_mm: float, *, own_region: bool = False) -> np.ndarray:
    marks = marked_voxels(prompt, geometry)
    if own_region and marks.region is not None:
        mask = np.zeros(geometry.shape, bool)
        mask[tuple(marks.region.T)] = True
        return mask.ravel()
    voxels = marks.stroke if len(marks.stroke) else marks.region
    spacing = np.array(geometry.spacing_mm)
    index = geometry.ras_to_index(at) * spacing
    nearest = np.full(len(at), np.inf)
    for voxel in voxels * spacing:
        nearest = np.minimum(nearest, np.linalg.norm(index - voxel, axis=1))
    return nearest <= radius_mm * (1 + 1e-5)


def held(prompts: list, layers: np.ndarray, geometry: Geometry) -> list[np.ndarray]:
    """For each prompt, flat indices of its stroke on which it is true."""
    truths = []
    for prompt in prompts:
        segment = next(segment for segment in SEGMENTS if segment.name == prompt.segment)
        stroke = marked_voxels(prompt, geometry).stroke
        on = layers[(segment.layer, *stroke.T)] == segment.value
        truths.append(stroke[on == prompt.positive])
    return truths
