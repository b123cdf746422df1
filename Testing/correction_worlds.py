"""Random volumes, labels and prompts, and what a correction may do to them, worked out without the engine.

A prompt's voxels are found by brute force over all voxels of the volume. Where rounding could decide either way, they
are left open: `sure` holds the voxels that are marked beyond doubt, `maybe` also the doubtful ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from DeepSegmentLib.correction.rules.domain import Domain, distance_mm
from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import BoxPrompt, Geometry, LabelMap, LabelUpdate, Lasso, Point, Prompt, Scribble, Segment
from DeepSegmentLib.data import Volume as Image
from DeepSegmentLib.errors import InvalidInputError

KINDS = ("point", "scribble", "box", "lasso")
SLACK_MM = 1e-3
FOREIGN = 9
SAMPLES = 96


@dataclass(frozen=True, eq=False)
class World:
    """What a session starts from."""

    volume: Image
    labels: LabelMap
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def geometry(self):
        return self.volume.geometry

    @property
    def free_names(self):
        locked = self.options.get("locked", ())
        return [segment.name for segment in self.labels.segments if segment.name not in locked]

    def session(self):
        return CorrectionSession(self.volume, self.labels, **self.options)

    def permitted(self):
        """Voxels that the editable mask and the intensity range leave."""
        allowed = self.options.get("editable")
        permitted = np.ones(self.geometry.shape, dtype=bool) if allowed is None else allowed.copy()
        if self.options.get("intensity_range") is not None:
            low, high = self.options["intensity_range"]
            permitted &= (self.volume.voxels[0] >= low) & (self.volume.voxels[0] <= high)
        return permitted


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt and the voxels that it marks: its stroke, and its region where it has one."""

    prompt: Prompt
    sure: np.ndarray
    maybe: np.ndarray
    region: np.ndarray | None = None


def blobs(rng, shape, share=0.4):
    """A mask of smooth pieces; `share` is about how much they fill."""
    noise = ndimage.gaussian_filter(rng.normal(size=shape), [min(1.5, n / 4) for n in shape])
    return noise >= np.quantile(noise, 1 - share)


def random_geometry(rng, longest=11):
    """Grids anywhere: cubes and slabs, one-voxel axes, oblique, flipped, exchanged axes."""
    shape = tuple(int(n) for n in rng.integers(1 if rng.random() < 0.3 else 4, longest + 1, 3))
    spacing = np.full(3, rng.uniform(0.3, 3)) if rng.random() < 0.4 else rng.uniform(0.3, 4, 3)
    axes = np.eye(3)[:, rng.permutation(3)] * rng.choice([-1, 1], 3)
    if rng.random() < 0.5:
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ axes
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * spacing, rng.uniform(-300, 300, 3)
    return Geometry(shape, affine)


def random_world(rng, longest=11, geometry=None):
    """Two segments and a foreign value in one layer, one that overlaps them in another; locks, masks, ranges."""
    geometry = geometry or random_geometry(rng, longest)
    shape = geometry.shape
    dtype = rng.choice([np.uint8, np.int16, np.float32])
    values = 60 + 80 * blobs(rng, shape) + rng.normal(0, 15, (int(rng.integers(1, 3)), *shape))
    layers = np.zeros((2, *shape), dtype=rng.choice([np.uint8, np.uint16]))
    layers[0][blobs(rng, shape, 0.3)] = 1
    layers[0][blobs(rng, shape, 0.3)] = 2
    layers[0][blobs(rng, shape, 0.05)] = FOREIGN
    layers[1][blobs(rng, shape, rng.choice([0, 0.4, 1]))] = 1
    segments = (Segment("first", 1), Segment("second", 2), Segment("other layer", 1, layer=1))
    options = {}
    if rng.random() < 0.4:
        options["locked"] = tuple(
            rng.choice(["first", "second", "other layer"], int(rng.integers(1, 3)), replace=False)
        )
    if rng.random() < 0.4:
        options["editable"] = blobs(rng, shape, 0.8)
    if rng.random() < 0.3:
        options["intensity_range"] = (float(rng.uniform(0, 80)), float(rng.uniform(90, 200)))
    if rng.random() < 0.4:
        options["probabilities"] = {"first": rng.random(shape).astype(np.float32)}
    return World(Image(np.clip(values, 0, 255).astype(dtype), geometry), LabelMap(layers, geometry, segments), options)


def random_domain(seed, shape, spacing_mm=(1, 1, 1), *, radius_mm=3.0):
    """A domain whose masks agree with each other as those of a task do."""
    rng = np.random.default_rng(seed)
    target, near, editable = (rng.random(shape) < share for share in (0.4, 0.7, 0.9))
    source = np.zeros(shape, dtype=bool)
    source.flat[rng.integers(0, source.size, 3)] = True
    against = (rng.random(shape) < 0.05) & ~source
    free = near & editable & ~target & ~against
    return Domain(
        rng.normal(100, 30, (2, *shape)).astype(np.float32), spacing_mm, free & ~source, free & source, source, target,
        against, distance_mm(source, spacing_mm), radius_mm, rng.random(shape, dtype=np.float32),
    )  # fmt: skip


def random_settings(rng, geometry):
    """All modes, radii from below a voxel to beyond the volume."""
    size = np.linalg.norm(np.multiply(geometry.shape, geometry.spacing_mm))
    return CorrectionSettings(
        radius_mm=float(np.exp(rng.uniform(np.log(0.2 * min(geometry.spacing_mm)), np.log(2 * size)))),
        aggressiveness=float(rng.choice([0, 0.5, 1, rng.random()])),
        mode="grow" if rng.random() < 0.35 else "fix",
        overwrite=bool(rng.random() < 0.4),
    )


def random_prompt(rng, world, kind, positive=None, name=None):
    """A prompt of a kind at a random place, with its voxels."""
    sign = bool(rng.random() < 0.5) if positive is None else positive
    return MAKERS[kind](rng, world.geometry, name or str(rng.choice(world.free_names)), sign)


def _places(geometry):
    """Centers of all voxels in RAS mm (voxel, 3), and their indices, in raster order."""
    index = np.indices(geometry.shape).reshape(3, -1).T
    return index @ geometry.affine[:3, :3].T + geometry.affine[:3, 3], index


def _random_index(rng, geometry, count):
    return rng.uniform(-0.499, np.asarray(geometry.shape) - 0.501, (count, 3))


def _ras(geometry, index):
    return np.asarray(index) @ geometry.affine[:3, :3].T + geometry.affine[:3, 3]


def point(rng, geometry, name, positive):
    """A click and the voxel around it."""
    place = _random_index(rng, geometry, 1)[0]
    off = np.abs(_places(geometry)[1] - place).max(axis=1).reshape(geometry.shape)
    return Asked(Point(name, positive, _ras(geometry, place)), off < 0.5 - 1e-9, off <= 0.5 + 1e-9)


def scribble(rng, geometry, name, positive):
    """A line of 1 to 4 corners, thin or thick."""
    corners = _random_index(rng, geometry, int(rng.integers(1, 5)))
    radius_mm = float(rng.choice([0, rng.uniform(0, 2.5 * max(geometry.spacing_mm))]))
    line = Scribble(name, positive, _ras(geometry, corners), radius_mm)
    return Asked(line, *line_voxels(line, geometry))


def line_voxels(line, geometry):
    """Voxels of a scribble, sure and maybe: those that samples of the line are in, or are within its radius of."""
    places, index = _places(geometry)
    steps = np.linspace(0, 1, SAMPLES)[:, None]
    ends = line.points_ras[1:] if len(line.points_ras) > 1 else line.points_ras
    samples = np.concatenate([a + (b - a) * steps for a, b in zip(line.points_ras, ends, strict=False)])
    inverse = np.linalg.inv(geometry.affine)
    off = cKDTree(samples @ inverse[:3, :3].T + inverse[:3, 3]).query(index, p=np.inf)[0]
    gap = max((np.linalg.norm(b - a) for a, b in zip(line.points_ras, ends, strict=False)), default=0) / (SAMPLES - 1)
    index_gap = gap / min(geometry.spacing_mm)
    # The engine samples each quarter voxel: a voxel whose middle the line passes nearer than 3/8 cannot be missed.
    sure, maybe = off <= 0.374, off <= 0.5 + index_gap / 2 + 1e-9
    if line.radius_mm > 0:
        away = cKDTree(samples).query(places)[0]
        sure, maybe = sure | (away <= line.radius_mm - 1e-6), maybe | (away <= line.radius_mm + gap / 2 + 1e-6)
    return sure.reshape(geometry.shape), maybe.reshape(geometry.shape)


def box(rng, geometry, name, positive):
    """A block along the patient axes between two places in the volume."""
    corners = _ras(geometry, _random_index(rng, geometry, 2))
    places = _places(geometry)[0].reshape(*geometry.shape, 3)
    depth = np.minimum(places - corners.min(axis=0), corners.max(axis=0) - places).min(axis=-1)
    sure, maybe = depth > 1e-5, depth >= -1e-5
    nothing = np.zeros_like(sure)
    prompt = BoxPrompt(name, positive, corners)
    return Asked(prompt, nothing, nothing, maybe) if positive else Asked(prompt, sure, maybe, maybe)


def lasso(rng, geometry, name, positive):
    """A star-shaped outline in a plane along the grid or across it."""
    tilt = np.linalg.qr(rng.normal(size=(3, 3)))[0] if rng.random() < 0.5 else geometry.direction
    across, right, up = tilt[:, rng.permutation(3)].T
    size = float(rng.uniform(0.5, 0.7 * max(geometry.shape) + 1)) * max(geometry.spacing_mm)
    count = int(rng.integers(4, 9))
    angles = 2 * np.pi * (np.arange(count) + rng.uniform(0, 0.6, count)) / count
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(0.4 * size, size, (count, 1))
    middle = _ras(geometry, _random_index(rng, geometry, 1)[0])
    depth_mm = float(rng.choice([0, rng.uniform(0, size)]))
    prompt = Lasso(name, positive, middle + outline[:, :1] * right + outline[:, 1:] * up, depth_mm)
    offsets = _places(geometry)[0] - middle
    inside, edge = _inside_outline(offsets @ np.stack([right, up], axis=1), outline)
    height = np.abs(offsets @ across)
    half = 0.5 * np.abs(across @ geometry.affine[:3, :3]).sum()
    masks = (
        inside & ~edge & (height < half - 1e-4),
        (inside | edge) & (height <= half + 1e-4),
        (inside | edge) & (height <= max(half, depth_mm) + 1e-4),
    )
    return Asked(prompt, *(mask.reshape(geometry.shape) for mask in masks))


def _inside_outline(places, outline):
    """Whether the outline turns around each place, and whether a place is on the outline."""
    turned, edge = np.zeros(len(places)), np.zeros(len(places), dtype=bool)
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        u, v = a - places, b - places
        turned += np.arctan2(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], (u * v).sum(axis=1))
        part = np.clip(-(u @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        edge |= np.linalg.norm(u + part[:, None] * (b - a), axis=1) < 1e-6
    return np.abs(turned) > np.pi, edge


MAKERS = {"point": point, "scribble": scribble, "box": box, "lasso": lasso}


@dataclass
class Referee:
    """Judges updates of a world by the contract of corrections; holds the prompts so far, as a session does."""

    world: World
    asked: list[Asked] = field(default_factory=list)

    def judge(self, asked, settings, update: LabelUpdate, layers):
        """Fail if an update for labels (layer, k, j, i) breaks the contract; the labels that it makes."""
        prompt = asked.prompt
        segment = self.world.labels.segment(prompt.segment)
        after = layers.copy()
        place = (segment.layer, *update.box.to_slices())
        assert update.layer == segment.layer
        assert np.array_equal(layers[place], update.before)
        after[place] = update.after
        was, now = layers[segment.layer], after[segment.layer]
        changed = was != now
        assert np.isin(now[changed], [0, segment.value]).all(), "a voxel got another segment's value"
        assert not (changed & ~self._open(segment, settings, was)).any(), "a voxel changed that must not"
        earlier = [old for old in self.asked if old.prompt.segment == prompt.segment]
        grows = settings.mode == "grow" and any(one.prompt.positive for one in (*earlier, asked))
        self._judge_reach([*earlier, asked] if grows else [asked], asked, settings, changed)
        self._judge_prompts(asked, earlier, (was == segment.value, now == segment.value), grows=grows)
        decided = asked.sure & self._open(segment, settings, was) & ~self._contradicted(asked, earlier, grows=grows)
        assert ((now == segment.value) == prompt.positive)[decided].all(), "the prompt is not true"
        return after

    def _open(self, segment, settings, labels):
        """Voxels that locks, masks and other segments leave."""
        locked = self.world.options.get("locked", ())
        others = [
            other.value
            for other in self.world.labels.segments
            if other.layer == segment.layer and other.name != segment.name
            if other.name in locked or not settings.overwrite
        ]
        return self.world.permitted() & ~np.isin(labels, others)

    def _judge_reach(self, sources, newest, settings, changed):
        """All changes are within the edit radius of the prompts, or in their boxes and lassos."""
        geometry = self.world.geometry
        near = newest.maybe.copy()
        for one in sources:
            if one.region is not None and (one.prompt.positive or one is newest):
                near |= one.region
        strokes = [one.maybe for one in sources if one.region is None and (one.prompt.positive or len(sources) == 1)]
        left = np.argwhere(changed & ~near)
        if len(left):
            assert strokes, "a voxel outside the box or lasso changed"
            tree = cKDTree(_ras(geometry, np.argwhere(np.any(strokes, axis=0))))
            farthest = tree.query(_ras(geometry, left))[0].max()
            assert farthest <= settings.radius_mm * (1 + 1e-5) + SLACK_MM, "a voxel beyond the edit radius changed"

    def _judge_prompts(self, asked, earlier, masks, *, grows):
        """No voxel leaves the side on which older prompts hold it."""
        was, now = masks
        if not grows:
            assert (now == asked.prompt.positive)[was != now].all(), "a voxel changed to the side not asked for"
            for old in earlier:
                if old.prompt.positive != asked.prompt.positive:
                    assert not (was != now)[old.sure].any(), "a voxel of an older opposite prompt changed"
        held = holders(earlier, was.shape)
        assert not (was & ~now & (held == 1)).any(), "an older positive prompt is no longer true"
        assert not (~was & now & (held == -1)).any(), "an older negative prompt is no longer true"

    @staticmethod
    def _contradicted(asked, earlier, *, grows):
        """Voxels on which older prompts may say the opposite."""
        if grows:
            return ~np.isin(holders(earlier, asked.sure.shape), [0, 1 if asked.prompt.positive else -1])
        opposite = [old.maybe for old in earlier if old.prompt.positive != asked.prompt.positive]
        return np.any([np.zeros_like(asked.sure), *opposite], axis=0)


def holders(asked, shape):
    """For each voxel the sign of the oldest prompt that marks it; 0 for none, 2 where rounding decides."""
    held = np.zeros(shape, dtype=np.int8)
    for one in asked:
        held[one.maybe & ~one.sure & (held == 0)] = 2
        held[one.sure & (held == 0)] = 1 if one.prompt.positive else -1
    return held


def interact(rng, session, referee, *, kind=None, preview=True):
    """One prompt, previewed and applied and judged; whether it marks voxels."""
    world = referee.world
    asked = random_prompt(rng, world, kind or str(rng.choice(KINDS)))
    settings = random_settings(rng, world.geometry)
    layers = session.labels.layers
    refusal = ""
    try:
        update = session.apply(asked.prompt, settings)
    except InvalidInputError as error:
        refusal = str(error)
    if refusal:
        assert "marks no voxel" in refusal
        assert not asked.sure.any(), "a prompt inside the volume was refused"
        assert np.array_equal(session.labels.layers, layers), "a refused prompt changed the labels"
        return False
    marked = asked.maybe if asked.region is None else asked.region
    assert marked.any(), "a prompt that marks nothing was taken"
    expected = referee.judge(asked, settings, update, layers)
    assert np.array_equal(session.labels.layers, expected), "the update is not what changed"
    if preview:
        session.undo()
        assert np.array_equal(session.labels.layers, layers), "undo is not exact"
        referee.judge(asked, settings, session.preview(asked.prompt, settings), layers)
        assert np.array_equal(session.labels.layers, layers), "the preview changed the labels"
        session.redo()
        assert np.array_equal(session.labels.layers, expected), "redo is not exact"
    referee.asked.append(asked)
    return True
