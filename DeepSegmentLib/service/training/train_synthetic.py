"""Train a model from label maps, as a recipe says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from DeepSegmentLib import __version__
from DeepSegmentLib.data import Box, LabelMap, Progress
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.files.models import SPEC_FILE, save_model
from DeepSegmentLib.files.opening import is_folder, open_file
from DeepSegmentLib.files.output_checks import Output, check_new_folder, check_outputs, inputs_of
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, read_labelmap
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES
from DeepSegmentLib.imaging.memory import available_memory_bytes
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.costs import count_weights, stage_voxels
from DeepSegmentLib.networks.model_spec import ModelSpec  # noqa: TC001 - the JSON reader resolves the annotations
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fitting.fit import Fitted, Hooks, fit
from DeepSegmentLib.training.fitting.settings import TrainSettings  # noqa: TC001 - recipes resolve the annotations
from DeepSegmentLib.training.fitting.state import RECENT
from DeepSegmentLib.training.measure_expectations import expect
from DeepSegmentLib.training.synthesis import SynthesisSettings, synthesize
from DeepSegmentLib.training.synthesis_cases import SynthesisCase, Tissue, make_case

from .recipe_file import read_recipe_file, recipe_digest
from .watch import Preparation, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.expectations import Expectations

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
        if len(self.model.stages) != 1:
            raise InvalidInputError("a recipe trains one U-Net, so its model must have one part of one stage")
        values = {segment.value for segment in self.model.segments}
        expected = set(range(1, self.network.out_channels))
        targets = {tissue.segment for tissue in self.tissues} - {0}
        if self.model.output != "labels" or values != expected or targets != expected:
            raise InvalidInputError(
                f"a recipe needs labels 1 to {len(expected)}, each with a segment and a tissue; "
                f"segments have {sorted(values)}, tissues {sorted(targets)}"
            )
        self._check_grid()

    @property
    def network(self) -> UNetSpec:
        """What is trained: the only network of the model."""
        network = self.model.stages[0].network
        if not isinstance(network, UNetSpec):
            raise InvalidInputError(f"a recipe trains a U-Net, its model has the architecture {network.architecture!r}")
        return network

    def _check_grid(self) -> None:
        """Refuse lengths that would make images without end, and patches that the network cannot halve."""
        if not 0 <= self.hull_mm <= _LARGEST_HULL_MM:
            raise InvalidInputError(f"hull_mm must be from 0 to {_LARGEST_HULL_MM:g} mm, got {self.hull_mm}")
        finest, coarsest = _SPACING_MM
        if not finest <= self.synthesis.spacing_mm <= coarsest:
            raise InvalidInputError(
                f"spacing_mm of the synthesis must be from {finest} to {coarsest:g} mm, got {self.synthesis.spacing_mm}"
            )
        patch, divisor = self.synthesis.patch_shape, (1, *self.network.divisor)[-3:]
        if any(n < 1 or n % step for n, step in zip(patch, divisor, strict=True)):
            raise InvalidInputError(f"patch_shape of the synthesis must be multiples of {divisor}, got {patch}")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe, see `read_recipe_file`."""
    return read_recipe_file(Recipe, path)


def train_model(
    recipe: Recipe,
    label_maps: Path,
    output: Path,
    checkpoint: Path,
    watch: Watch,
    *,
    further: Sequence[Path] = (),
) -> dict[str, Any]:
    """Train and write a model folder, with what the segments are like in the label maps and what the training was.

    Args:
        recipe: What to train and how.
        label_maps: Folder of label maps.
        output: Model folder to write; must not exist.
        checkpoint: File of the training state; an existing one is continued, and a training that is stopped leaves one.
        watch: Is told what happens.
        further: Files that may not be written either, such as that of the recipe.

    Returns:
        What was measured: cases, iterations, loss, seconds, device, versions.

    Raises:
        InvalidInputError: The folder is not there or holds no label map, or one without the segments; `output` exists;
            an output is an input; or the checkpoint is further on than the recipe goes.
        VolumeFileError: A label map cannot be read, or an output cannot be written.
        ModelError: The checkpoint is damaged, or of another network.
        ResourceError: The network does not fit into memory.
    """
    _check_files(label_maps, output, checkpoint, further)
    _check_room(recipe)
    cases = read_cases(label_maps, recipe, watch.on_progress)
    expectations = expectations_of(cases, recipe)
    fitted = _fit(recipe, cases, checkpoint, watch)
    report = _report(recipe, len(cases), fitted)
    provenance = {**recipe.model.provenance, **{name: str(value) for name, value in report.items()}}
    spec = replace(recipe.model, expectations=expectations, provenance=provenance)
    save_model(output, spec, cast("UNet", fitted.network), card=_card(recipe, report), half=True)
    return report


def _check_files(label_maps: Path, output: Path, checkpoint: Path, further: Sequence[Path]) -> None:
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


def _fit(recipe: Recipe, cases: list[SynthesisCase], checkpoint: Path, watch: Watch) -> Fitted:
    import torch

    torch.manual_seed(recipe.training.seed)
    network = UNet(recipe.network)
    settings, device = recipe.training, str(next(network.parameters()).device)
    hooks = Hooks(
        on_start=lambda done: watch.on_start(Preparation(len(cases), settings.iterations, done, device)),
        on_step=watch.on_step,
        undisturbed=watch.undisturbed,
    )
    return fit(network, SynthesisSource(cases, recipe), settings, checkpoint, hooks)


def _report(recipe: Recipe, cases: int, fitted: Fitted) -> dict[str, Any]:
    """What this training measured, and nothing else."""
    return {
        "cases": cases,
        "iterations": fitted.iterations,
        "loss": round(fitted.loss, 4),
        "seconds": round(fitted.seconds, 1),
        "device": fitted.device,
        "recipe_sha256": recipe_digest(recipe),
        "deepsegment_version": __version__,
    }


def _card(recipe: Recipe, report: dict[str, Any]) -> str:
    """The text of the recipe, which knows no results, and the figures of this training."""
    rows = [
        ("label maps", report["cases"]),
        ("iterations", report["iterations"]),
        ("loss", f"{report['loss']} (mean of the last {min(RECENT, report['iterations'])})"),
        ("time of the iterations", f"{report['seconds']} s on {report['device']}"),
        ("recipe (SHA-256)", report["recipe_sha256"]),
        ("DeepSegment", report["deepsegment_version"]),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    told = "Nothing else was measured: how well it segments, `deepsegment evaluate` tells on cases with references."
    return f"{recipe.card.rstrip()}\n\n## This training\n\n| | |\n|---|---|\n{table}\n\n{told}\n"


def _check_room(recipe: Recipe) -> None:
    """Refuse to train a network that does not fit into memory; it is counted without being made."""
    network = recipe.network
    voxels = recipe.training.batch_size * math.prod(recipe.synthesis.patch_shape)
    kept = max(features * n for features, n in zip(network.features, stage_voxels(network, voxels), strict=True))
    needed = 4 * (_WEIGHT_COPIES * count_weights(network) + _MAPS_KEPT * kept)
    available = available_memory_bytes()
    if available is not None and needed > available:
        raise ResourceError(
            f"training needs at least {needed / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free; lower "
            "features, patch_shape or batch_size in the recipe"
        )


def read_cases(folder: Path, recipe: Recipe, on_progress: ProgressCallback = silent) -> list[SynthesisCase]:
    """All label maps of a folder, in the order of their names.

    Raises:
        InvalidInputError: There is none, or one holds none of the segments.
        VolumeFileError: One cannot be read.
    """
    paths, cases = _label_map_paths(folder), []
    for n, path in enumerate(paths):
        on_progress(Progress(f"read label map {n + 1} of {len(paths)}, {path.name}", n / len(paths)))
        cases.append(make_case(_to_ras(read_labelmap(path)), recipe.tissues, hull_mm=recipe.hull_mm))
    return cases


def _label_map_paths(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.glob("[!.]*") if path.name.lower().endswith(VOLUME_SUFFIXES))
    if not is_folder(folder):
        raise InvalidInputError(f"{folder} is no folder; name one with label maps")
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
