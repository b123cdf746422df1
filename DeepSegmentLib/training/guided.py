"""Train the network that guides corrections: what a prompt means, learned from mistakes in drawn scenes.

The network learns what to add to the log-odds that the refinement engine's evidence gives. Scenes, mistakes and prompts
are all drawn from chance, so that it learns "the tissue meant by this prompt" and no organ.

References:
    Sofiiuk et al., Reviving iterative training with mask guidance for interactive segmentation, ICIP 2022 (the previous
    mask as input, prompts simulated one after the other); Wang et al., DeepIGeoS, TPAMI 2019 (geodesic maps as input).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from DeepSegmentLib.networks.architecture import UNetSpec
from DeepSegmentLib.refinement.correction import preview
from DeepSegmentLib.refinement.energy import belief
from DeepSegmentLib.refinement.evidence import gather
from DeepSegmentLib.refinement.guided import CHANNELS, LEAST_EXTENT, channels_of, lattice_of
from DeepSegmentLib.refinement.settings import RefineSettings
from DeepSegmentLib.refinement.task import look

from .annotator import next_prompt
from .mistakes import mistaken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Box, Geometry, Prompt
    from DeepSegmentLib.refinement.domain import Domain
    from DeepSegmentLib.refinement.task import Task

    from .scenes import Scene

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]

BLOCK = 48
"""Samples that are drawn together and then shuffled: neighbors would be of the same scene."""

_TURNS = 3
"""In how many positions each sample is seen: to draw one costs twice as much as to learn from it."""

_MASKS, _PROMPTS = 3, 5
"""Mistaken masks for each scene, and prompts for each of them."""

_RIGHT = 0.5
"""How often the next prompt meets a mask that was corrected rightly, and not as the engine did it."""

_FEWEST_FREE = 8

_DICE = 0.3
"""Weight of the Dice loss beside the cross-entropy."""


def guide_network() -> UNetSpec:
    """The network: few features where points are many, three resolutions; 0.1 s for a click on one processor."""
    cube, half = (3, 3, 3), (2, 2, 2)
    return UNetSpec(
        in_channels=len(CHANNELS), out_channels=1, features=(8, 32, 64), kernel_sizes=(cube,) * 3,
        strides=((1, 1, 1), half, half), encoder_blocks=(1, 2, 2), decoder_blocks=(1, 1), encoder="residual",
        norm="batch",
    )  # fmt: skip


class SceneCanvas:
    """A scene and a mask to correct, as the refinement engine sees them."""

    def __init__(self, scene: Scene, mask: Mask) -> None:
        """Look at these."""
        self._scene, self._mask = scene, mask

    @property
    def geometry(self) -> Geometry:
        """The scene's."""
        return self._scene.geometry

    def intensities(self, box: Box) -> Floats:
        """The image of a block, as one channel."""
        return self._scene.image[box.to_slices()][None]

    def segment(self, box: Box) -> Mask:
        """The mask in a block."""
        return self._mask[box.to_slices()].copy()

    def editable(self, box: Box) -> Mask:
        """All of it."""
        return np.ones(box.shape, dtype=bool)

    def probability(self, box: Box) -> None:
        """There is none."""
        return


class GuidedSource:
    """The training sample of an iteration.

    Samples are drawn block by block; only the newest block is kept, so iterations should be asked for in order.
    """

    def __init__(self, draw: Callable[[Generator], Scene], seed: int) -> None:
        """Take scenes from a function, such as `draw_scene` with its label maps."""
        self._draw, self._seed = draw, seed
        self._block: tuple[int, list[Floats]] = (-1, [])

    def __call__(self, iteration: int) -> tuple[Tensor, Tensor]:
        """What the network sees (channel, k, j, i), and what it shall learn (3, k, j, i), see `guided_loss`."""
        number, place = divmod(iteration, BLOCK * _TURNS)
        if self._block[0] != number:
            self._block = number, draw_block(self._draw, np.random.default_rng((self._seed, number)))
        sample = torch.from_numpy(self._block[1][place])
        return sample[: len(CHANNELS)], sample[len(CHANNELS) :]


def draw_block(draw: Callable[[Generator], Scene], rng: Generator) -> list[Floats]:
    """Samples (channel + 3, k, j, i) of several scenes, shuffled, each in several positions."""
    samples: list[Floats] = []
    while len(samples) < BLOCK:
        scene = draw(rng)
        for _ in range(_MASKS):
            samples += _samples(scene, mistaken(scene, rng), rng)
    chosen = rng.permutation(len(samples))[:BLOCK]
    return [_turned(samples[n], rng) for _ in range(_TURNS) for n in rng.permutation(chosen)]


def _samples(scene: Scene, mask: Mask, rng: Generator) -> Iterator[Floats]:
    """One sample for each of several prompts, which correct the mask one after the other."""
    earlier: list[Prompt] = []
    for _ in range(_PROMPTS):
        asked = next_prompt(scene.truth, mask, scene.geometry, rng)
        if asked is None:
            return
        settings, canvas = RefineSettings(radius_mm=asked[1]), SceneCanvas(scene, mask)
        task = look(canvas, asked[0], settings, earlier)
        block, wanted = task.box.to_slices(), scene.truth[task.box.to_slices()] == task.side
        if task.domain.free.sum() >= _FEWEST_FREE:
            yield _window(sample_of(task.domain, wanted), rng)
        right = rng.random() < _RIGHT
        after = _rightly(task, wanted) if right else preview(canvas, asked[0], settings, earlier).after
        mask = mask.copy()
        mask[block] = after
        earlier.append(asked[0])


def _rightly(task: Task, wanted: Mask) -> Mask:
    """The block as it should become."""
    taken = (task.domain.free & wanted) | task.domain.must
    return np.where(taken, task.side, task.before)


def sample_of(domain: Domain, wanted: Mask) -> Floats:
    """What the network sees of a domain, and what it shall learn: (channel + 3, k, j, i).

    Args:
        domain: The block around a prompt.
        wanted: Which of its voxels truly belong to the wanted side.
    """
    evidence, lattice = gather(domain), lattice_of(domain)
    seen = channels_of(domain, evidence, belief(evidence, domain), lattice)
    free = domain.free.astype(np.float32)
    learned = lattice.sample(np.stack([free, free * wanted]))
    return np.concatenate([seen, learned, seen[[CHANNELS.index("log_odds")]]])


def _window(sample: Floats, rng: Generator) -> Floats:
    """A cube of the lattice: all of it for a click, a part for a long line."""
    starts = [int(rng.integers(max(0, n - LEAST_EXTENT) + 1)) for n in sample.shape[1:]]
    return sample[(slice(None), *(slice(start, start + LEAST_EXTENT) for start in starts))]


def _turned(sample: Floats, rng: Generator) -> Floats:
    """The sample in one of the 48 positions of a cube: nothing in the task knows up from down."""
    turned = sample.transpose(0, *(1 + rng.permutation(3)))
    flipped = tuple(axis for axis in (1, 2, 3) if rng.random() < 0.5)
    return np.ascontiguousarray(np.flip(turned, flipped))


def guided_loss(outputs: Sequence[Tensor], target: Tensor) -> Tensor:
    """Cross-entropy of the corrected log-odds plus soft Dice, over the voxels that may change.

    A large domain counts more than a small one, but not by its volume.

    Args:
        outputs: What the network gives (batch, 1, k, j, i), to be added to the evidence; the first is used.
        target: (batch, 3, k, j, i): share of each point that may change, share that may and should, log-odds of the
            evidence.
    """
    free, wanted, log_odds_before = target.unbind(dim=1)
    logits = log_odds_before + outputs[0][:, 0]
    points = free.sum((1, 2, 3)).clamp(min=1)
    entropy = (free * functional.softplus(logits) - wanted * logits).sum((1, 2, 3))
    chance = torch.sigmoid(logits)
    dice = (2 * (chance * wanted).sum() + 1) / ((chance * free).sum() + wanted.sum() + 1)
    return (entropy * points.rsqrt()).sum() / points.sqrt().sum() + _DICE * (1 - dice)
