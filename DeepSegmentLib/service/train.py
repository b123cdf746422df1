"""Train a model from label maps, as a recipe says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Box, LabelMap
from DeepSegmentLib.data.dataclass_json import from_json
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError, ModelError, ResourceError, VolumeFileError
from DeepSegmentLib.files.models import SPEC_FILE, save_model
from DeepSegmentLib.files.opening import open_file, read_json
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, read_labelmap
from DeepSegmentLib.files.targets import Output, check_new_folder, check_outputs, inputs_of
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES
from DeepSegmentLib.imaging.memory import available_memory_bytes
from DeepSegmentLib.networks.costs import count_weights, stage_voxels
from DeepSegmentLib.networks.spec import ModelSpec  # noqa: TC001 - the JSON reader resolves the annotations
from DeepSegmentLib.networks.unet import UNet
from DeepSegmentLib.training.dataset import SynthesisCase, Tissue, make_case
from DeepSegmentLib.training.expectations import expect
from DeepSegmentLib.training.fit import StepFinished, TrainSettings, fit
from DeepSegmentLib.training.synthesis import SynthesisSettings, synthesize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from DeepSegmentLib.networks.expectations import Expectations

_LARGEST_RECIPE = 4 << 20
_WEIGHT_COPIES = 5  # themselves, their average, their gradients, and two moments of AdamW
_MAPS_KEPT = 6  # feature maps of the largest stage that wait for the way back, at least
_AIR_MARGIN = 8  # voxels kept around the labels, so that elastic deformation at the border meets air


_LARGEST_HULL_MM = 100.0
_SPACING_MM = 0.05, 30.0  # as of volumes, see `service.preflight`


@dataclass(frozen=True)
class Recipe:
    """Everything that makes a model from label maps.

    Attributes:
        model: The spec to write; its segments are what is learned.
        tissues: Which labels look alike, and which segment they are.
        hull_mm: Radius of the closing that tells inner from outer fluid.
        synthesis: How far the images may differ.
        training: The schedule.
        card: Text of the model card.
    """

    model: ModelSpec
    tissues: tuple[Tissue, ...]
    hull_mm: float
    synthesis: SynthesisSettings
    training: TrainSettings
    card: str

    def __post_init__(self) -> None:
        values = {segment.value for segment in self.model.segments}
        expected = set(range(1, self.model.network.out_channels))
        targets = {tissue.segment for tissue in self.tissues} - {0}
        if self.model.output != "labels" or values != expected or targets != expected:
            raise InvalidInputError(
                f"a recipe needs labels 1 to {len(expected)}, each with a segment and a tissue; "
                f"segments have {sorted(values)}, tissues {sorted(targets)}"
            )
        self._check_grid()

    def _check_grid(self) -> None:
        """Refuse lengths that would make images without end, and patches that the network cannot halve."""
        if not 0 <= self.hull_mm <= _LARGEST_HULL_MM:
            raise InvalidInputError(f"hull_mm must be from 0 to {_LARGEST_HULL_MM:g} mm, got {self.hull_mm}")
        finest, coarsest = _SPACING_MM
        if not finest <= self.synthesis.spacing_mm <= coarsest:
            raise InvalidInputError(
                f"spacing_mm of the synthesis must be from {finest} to {coarsest:g} mm, got {self.synthesis.spacing_mm}"
            )
        patch, divisor = self.synthesis.patch_shape, (1, *self.model.network.divisor)[-3:]
        if any(n < 1 or n % step for n, step in zip(patch, divisor, strict=True)):
            raise InvalidInputError(f"patch_shape of the synthesis must be multiples of {divisor}, got {patch}")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ModelError: The file cannot be read, is not JSON, or a key is missing, unknown or wrong.
    """
    try:
        document = read_json(path, largest=_LARGEST_RECIPE)
    except VolumeFileError as error:
        raise ModelError(f"{path}: cannot be read as a recipe: {error}") from error
    recipe: Recipe = from_json(Recipe, document, "recipe")
    return recipe


def train_model(
    recipe: Recipe,
    label_maps: Path,
    output: Path,
    checkpoint: Path,
    on_step: Callable[[StepFinished], None],
    *,
    further: Sequence[Path] = (),
) -> None:
    """Train and write a model folder, with what the segments are like in the label maps.

    Args:
        recipe: What to train and how.
        label_maps: Folder of label maps.
        output: Model folder to write; must not exist.
        checkpoint: File of the training state; an existing one is continued.
        on_step: Called after each step; raises `Cancelled` to stop.
        further: Files that may not be written either, such as that of the recipe.

    Raises:
        InvalidInputError: The folder holds no label map, or one without the segments; `output` exists; or an output is
            an input.
        VolumeFileError: A label map cannot be read, or an output cannot be written.
        ModelError: The checkpoint is damaged, or of another network.
        ResourceError: The network does not fit into memory.
    """
    import torch

    paths = _label_map_paths(label_maps)
    inputs = inputs_of(paths, [*map(label_table_path, paths), *further])
    if output.exists():
        raise InvalidInputError(f"{output} exists; name a folder that does not")
    check_new_folder(output, inputs)
    if checkpoint.name.lower().endswith(VOLUME_SUFFIXES):
        raise InvalidInputError(f"{checkpoint} has the suffix of a volume; name the checkpoint otherwise, such as a.pt")
    check_outputs([Output(checkpoint), Output(output / SPEC_FILE)], inputs, replace=True)  # it goes on where it stood
    if checkpoint.exists():
        open_file(checkpoint).close()  # refuses what never ends
    _check_room(recipe)
    torch.manual_seed(recipe.training.seed)
    cases = read_cases(label_maps, recipe)
    expectations = expectations_of(cases, recipe)
    source = SynthesisSource(cases, recipe)
    network = fit(UNet(recipe.model.network), source, recipe.training, checkpoint, on_step)
    save_model(output, replace(recipe.model, expectations=expectations), network, card=recipe.card, half=True)


def _check_room(recipe: Recipe) -> None:
    """Refuse to train a network that does not fit into memory; it is counted without being made."""
    network = recipe.model.network
    voxels = recipe.training.batch_size * math.prod(recipe.synthesis.patch_shape)
    kept = max(features * n for features, n in zip(network.features, stage_voxels(network, voxels), strict=True))
    needed = 4 * (_WEIGHT_COPIES * count_weights(network) + _MAPS_KEPT * kept)
    available = available_memory_bytes()
    if available is not None and needed > available:
        raise ResourceError(
            f"training needs at least {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free; lower "
            "features, patch_shape or batch_size in the recipe"
        )


def read_cases(folder: Path, recipe: Recipe) -> list[SynthesisCase]:
    """All label maps of a folder, in the order of their names.

    Raises:
        InvalidInputError: There is none, or one holds none of the segments.
        VolumeFileError: One cannot be read.
    """
    maps = (read_labelmap(path) for path in _label_map_paths(folder))
    return [make_case(_to_ras(each), recipe.tissues, hull_mm=recipe.hull_mm) for each in maps]


def _label_map_paths(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.glob("[!.]*") if path.name.lower().endswith(VOLUME_SUFFIXES))
    if not paths:
        raise InvalidInputError(f"{folder} holds no label maps; known: {', '.join(VOLUME_SUFFIXES)}")
    return paths


def expectations_of(cases: Sequence[SynthesisCase], recipe: Recipe) -> Expectations:
    """What a model that learns from these cases will hold results against."""
    label_maps = (LabelMap(each.targets[None], each.geometry, recipe.model.segments) for each in cases)
    synthesis = recipe.synthesis
    thickest = synthesis.thickness_mm[1] if synthesis.thick_slices else 0.0
    return expect(label_maps, coarsest_mm=max(synthesis.spacing_mm, thickest))


def _to_ras(label_map: LabelMap) -> LabelMap:
    """The labelled part of a labelmap with axes (i, j, k) to R, A, S."""
    geometry, _, _ = label_map.geometry.oriented("RAS")
    labels = label_map.geometry.view(label_map.layers[0], "RAS")
    box = bounding_box(labels > 0).grow((_AIR_MARGIN,) * 3).intersect(Box.of_shape(geometry.shape))
    return LabelMap(np.ascontiguousarray(labels[box.to_slices()])[None], geometry.crop(box))


class SynthesisSource:
    """The training sample of an iteration: a random case, a random image."""

    def __init__(self, cases: list[SynthesisCase], recipe: Recipe) -> None:
        """Draw from these cases."""
        self._cases, self._recipe = cases, recipe

    def __call__(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (1, k, j, i) and labels (k, j, i)."""
        seed = self._recipe.training.seed
        case = self._cases[int(np.random.default_rng((seed, 1, iteration)).integers(len(self._cases)))]
        return synthesize(case, self._recipe.tissues, self._recipe.synthesis, (seed, iteration))
