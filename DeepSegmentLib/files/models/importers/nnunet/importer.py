"""nnU-Net v2 models: trained folders, exported zips, whole results folders. Converted to our model folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models.importers.foreign_json import Entries, read_entries
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.networks.model_spec import ModelSpec, Part

from .architectures import Architecture, architecture_of
from .channels import channels_of
from .cleanups import cleanups_of
from .labels import Outputs, outputs_of
from .model_card import about_of, card_of
from .plans import configuration_of, earlier_configuration, mirror_axes_of_trainer, stage_of
from .trained_folders import (
    DATASET_FILE,
    PLANS_FILE,
    TrainedFolder,
    choose,
    chosen_folds,
    earlier_folder,
    trained_folders,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from DeepSegmentLib.files.models.importers.door import Words
    from DeepSegmentLib.networks.model_spec import Channel
    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .model_card import About
    from .weights import Training


@dataclass(frozen=True)
class TrainedConfiguration:
    """A trained configuration, read up to its weights.

    Attributes:
        folder: Where.
        plans: Content of `plans.json`.
        dataset: Content of `dataset.json`.
        name: Of the configuration.
        configuration: What the plans say of it.
        checkpoints: Of the folds that are taken, by fold.
        training: What the first checkpoint tells.
        channels: Of the volume.
        outputs: Of the network.
        architecture: The network.
    """

    folder: TrainedFolder
    plans: Entries
    dataset: Entries
    name: str
    configuration: Entries
    checkpoints: Mapping[str, Path]
    training: Training
    channels: tuple[Channel, ...]
    outputs: Outputs
    architecture: Architecture

    def stage(self, weights: Sequence[str]) -> StageSpec:
        """The stage, its folds' weights in files of these names."""
        mirror = self.training.mirror_axes
        if mirror is None:
            mirror = mirror_axes_of_trainer(self.training.trainer, self.architecture.spec.dimensions)
        return stage_of(
            self.plans,
            self.configuration,
            self.architecture,
            channels=len(self.channels),
            mirror_axes=mirror,
            weights=weights,
        )

    def weights(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The weights of one fold after the other, by the names of our U-Net."""
        from .weights import read_weights

        return (read_weights(path, self.architecture) for path in self.checkpoints.values())


def read_trained(folder: TrainedFolder, folds: Sequence[str] = ()) -> TrainedConfiguration:
    """What a trained folder holds, up to its weights.

    Args:
        folder: From `trained_folders`.
        folds: Which to take; all where it is empty.

    Raises:
        ModelError: A file is missing or damaged, or holds what cannot be followed; the message names it.
    """
    from .weights import read_training

    plans, dataset = (_described(folder, name) for name in (PLANS_FILE, DATASET_FILE))
    checkpoints = chosen_folds(folder, folds)
    training = read_training(next(iter(checkpoints.values())))
    name = training.configuration or folder.configuration
    configuration = configuration_of(plans, name)
    channels, outputs = channels_of(dataset), outputs_of(dataset)
    earlier = len(outputs.labels) if earlier_configuration(configuration) else 0
    if earlier and len(outputs.segments) != earlier:
        dataset.refuse(
            "labels", f"has {len(outputs.segments)} regions of {earlier} labels, which no cascade can pass on"
        )
    architecture = architecture_of(
        configuration, len(channels) + earlier, outputs.channels, batch_norm=training.batch_norm
    )
    return TrainedConfiguration(
        folder, plans, dataset, name, configuration, checkpoints, training, channels, outputs, architecture
    )


def _described(folder: TrainedFolder, name: str) -> Entries:
    path = folder.path / name
    if not path.is_file():
        raise ModelError(
            f"{path} is missing; it lies beside the folds in nnUNet_results, and in what nnUNetv2_export_model_to_zip "
            "writes: copy it from there"
        )
    return read_entries(path)


class _NnUnet:
    """See `door.Importer`."""

    kind = "nnU-Net v2 model"
    signs = "dataset.json and plans.json beside fold_0/checkpoint_final.pth"

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether a trained folder lies in there."""
        return bool(trained_folders(sources))

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """See `door.Importer.convert`."""
        from DeepSegmentLib.files.models.folder import write_model

        if words.details:
            raise InvalidInputError("details are for graphs; an nnU-Net model says all of itself")
        found = trained_folders(sources)
        choice = choose(found, words.configuration)
        trained = _with_earlier_stages(choice.folder, found, words.folds)
        spec, notes = _model_of(trained, words)
        card = card_of(
            about=_about(trained[-1], words),
            provenance=spec.provenance,
            segments=[segment.name for segment in spec.segments],
            notes=[*filter(None, [choice.reason]), *notes],
        )
        weights = (one for each in trained for one in each.weights())
        return write_model(folder, spec, weights, card=card)


IMPORTER = _NnUnet()


def _with_earlier_stages(
    folder: TrainedFolder, found: Sequence[TrainedFolder], folds: Sequence[str]
) -> list[TrainedConfiguration]:
    """A configuration, after the earlier one that it builds on."""
    last = read_trained(folder, folds)
    name = earlier_configuration(last.configuration)
    if not name:
        return [last]
    first = read_trained(earlier_folder(folder, name, found), folds)
    if earlier_configuration(first.configuration):
        first.configuration.refuse("previous_stage", "makes a cascade of three stages; nnU-Net has two")
    if first.outputs != last.outputs or first.channels != last.channels:
        raise ModelError(
            f"{first.folder.path} and {last.folder.path} have other labels or channels, and make no cascade; get both "
            "from one training"
        )
    return [first, last]


def _model_of(trained: Sequence[TrainedConfiguration], words: Words) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec, and notes for the card."""
    last = trained[-1]
    about, outputs = _about(last, words), last.outputs
    cleanups = cleanups_of(last.folder.path, outputs)
    names = _names_of_weights()
    stages = tuple(each.stage([next(names) for _ in each.checkpoints]) for each in trained)
    spec = ModelSpec(
        name=about.name,
        version=about.version,
        description=about.description,
        license=about.license,
        channels=last.channels,
        segments=outputs.segments,
        parts=(Part(tuple(segment.name for segment in outputs.segments), stages),),
        output=outputs.output,
        cleanups=cleanups.cleanups,
        citation=about.citation,
        provenance=_provenance(trained),
    )
    return spec, (*_notes(last), *cleanups.notes)


def _names_of_weights() -> Iterator[str]:
    """Names of as many weights files as there are folds."""
    n = 1
    while True:
        yield "weights.safetensors" if n == 1 else f"weights-{n}.safetensors"
        n += 1


def _about(trained: TrainedConfiguration, words: Words) -> About:
    plans = trained.plans
    about = about_of(trained.dataset, plans.text("dataset_name", ""), plans.text("plans_name", ""), trained.name)
    said = {key: value for key in ("name", "version", "license") if (value := getattr(words, key))}
    return replace(about, **said)


def _provenance(trained: Sequence[TrainedConfiguration]) -> dict[str, str]:
    last = trained[-1]
    facts = {
        "source": "nnU-Net v2",
        "dataset": last.plans.text("dataset_name", last.folder.path.parent.name),
        "configuration": last.name,
        "earlier stage": trained[0].name if len(trained) > 1 else "",
        "trainer": last.training.trainer,
        "plans": last.plans.text("plans_name", ""),
        "folds": ", ".join(last.checkpoints),
        "checkpoints": ", ".join(dict.fromkeys(path.name for path in last.checkpoints.values())),
        "epochs": "" if last.training.epoch is None else str(last.training.epoch),
        "training cases": str(last.dataset.whole("numTraining", 0) or ""),
        "reader": last.plans.text("image_reader_writer", ""),
        "file ending": last.dataset.text("file_ending", ""),
    }
    return {key: plain(value) for key, value in facts.items() if value}


def _notes(trained: TrainedConfiguration) -> Iterator[str]:
    """What a user should know of the conversion."""
    if "ignore" in trained.dataset.within("labels"):
        yield 'Parts of its training data were not annotated (label "ignore"); the model never gives that label.'
    if trained.training.mirror_axes is None:
        yield "Its checkpoint does not say along which axes mirroring is sound; the name of its trainer was gone by."
    if trained.training.batch_norm and trained.training.trainer != "nnUNetTrainerBN":
        yield "Its network has batch norm, as its weights show."
    if trained.plans.text("image_reader_writer", "") == "NaturalImage2DIO":
        yield "It was trained on photographs or the like; give each colour as a channel of its own, spacing 1 mm."
    if len({path.name for path in trained.checkpoints.values()}) > 1:
        yield "Some folds have no checkpoint_final.pth; their checkpoint_best.pth was taken."
    skipped = [fold for fold in trained.folder.checkpoints if fold not in trained.checkpoints]
    if skipped:
        yield f"Folds that were left out: {', '.join(skipped)}."
