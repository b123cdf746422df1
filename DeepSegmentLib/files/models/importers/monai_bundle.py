"""MONAI bundles: `configs/metadata.json`, `configs/inference.json` (or `.yaml`) and `models/model.pt`.

The configuration is read as data, never run; see `monai.configuration`. What it names must be among the networks and
transforms that are known here, all of it: an unknown name anywhere refuses the bundle.

References:
    MONAI Bundle Specification, https://docs.monai.io/en/stable/mb_specification.html.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.opening import inside, is_folder
from DeepSegmentLib.networks.model_spec import Cleanup, ModelSpec, Part

from .door import check_no_choice
from .monai import postprocessing, preprocessing
from .monai.configuration import Configuration, targets_of
from .monai.convert import Plan, in_order, measured, stage_of, state_of, weights_for, written
from .monai.metadata import Metadata
from .monai.networks import NETWORKS, network_spec
from .monai.read_configuration import read_configuration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.monai_specs import MonaiSpec

    from .door import Words
    from .monai.configuration import Component
    from .monai.postprocessing import Finish

_CONFIGURATIONS = ("inference.json", "inference.yaml", "inference.yml")
_METADATA = "metadata.json"
_USUAL_WEIGHTS = "models/model.pt"
_ROOT = "."
_OF_MONAI = re.compile(r"monai\.(networks\.nets|transforms|inferers|data|handlers|engines|utils)(\.[a-z0-9_]+)*\.\w+")

_AROUND = frozenset(
    {
        "Compose", "Dataset", "CacheDataset", "DataLoader", "ThreadDataLoader", "SupervisedEvaluator", "StatsHandler",
        "CheckpointLoader", "ValidationHandler", "torch.device", "SlidingWindowInferer", "SlidingWindowInfererAdapt",
        "SimpleInferer", "SliceInferer", "from_engine",
    }
)  # fmt: skip
"""Targets that load data, run or report; they do not change the result, or are read by themselves."""


@dataclass(frozen=True)
class Bundle:
    """A bundle up to its weights.

    Attributes:
        folder: The bundle.
        metadata: What it says of itself.
        spec: The model.
        network: Its network, not measured.
        weights: The file of its weights.
        key: Where in that file they are.
        order: Of the output channels among those of the file; empty where it is the same.
    """

    folder: Path
    metadata: Metadata
    spec: ModelSpec
    network: MonaiSpec
    weights: Path
    key: str
    order: tuple[int, ...]


class _MonaiBundle:
    """See `door.Importer`."""

    kind = "MONAI bundle"
    signs = "configs/metadata.json and configs/inference.json or .yaml beside models/model.pt"

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether there is one folder with the files of a bundle, itself or one level down."""
        return any(_bundles(sources))

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """See `door.Importer.convert`."""
        from DeepSegmentLib.files.models.checkpoints import read_checkpoint

        check_no_choice(words, "a MONAI bundle")
        bundles = list(_bundles(sources))
        if len(bundles) != 1:
            raise ModelError(f"one bundle at a time can be added, there are {len(bundles)}; add one of their folders")
        bundle = read_bundle(bundles[0], words)
        state = state_of(bundle.weights, read_checkpoint(bundle.weights), bundle.key)
        weights = weights_for(bundle.network, state)
        if bundle.order:
            weights = in_order(weights, bundle.order)
        stage = bundle.spec.stages[0]
        patch = stage.patch_shape[-bundle.network.dimensions :]
        network = measured(bundle.network, patch)
        part = replace(bundle.spec.parts[0], stages=(replace(stage, network=network),))
        spec = replace(bundle.spec, parts=(part,))
        return written(folder, spec, weights, card=_card(spec), licence=bundle.metadata.license_text())


IMPORTER = _MonaiBundle()


def read_bundle(folder: Path, words: Words) -> Bundle:
    """Everything of a bundle but its weights; without torch.

    Raises:
        ModelError: It is damaged, or asks for what is not supported; the message names it.
    """
    metadata = Metadata(read_configuration(_member(folder, f"configs/{_METADATA}")), folder)
    configuration = _configuration(folder)
    _check_targets(configuration)
    network = network_spec(
        configuration.component(_first(configuration, "network_def", "network")), metadata.monai_version
    )
    plan, finish = _plan(configuration, network)
    patch = plan.windows.shape or metadata.patch()
    if not patch:
        raise ModelError(
            f"{configuration.where}: SimpleInferer gives the network whole volumes, and metadata.json does not say of "
            "which spatial_shape; write a SlidingWindowInferer"
        )
    stage = stage_of(plan, network, patch[: network.dimensions])
    weights, key = _weights(configuration, folder)
    spec = _model(metadata, words, stage, finish, plan.preparation.keys)
    return Bundle(folder, metadata, spec, network, weights, key, finish.order)


def _bundles(sources: Sequence[Path]) -> Iterator[Path]:
    """The folders of bundles: those given, or the only ones in them (zips have one folder at the top)."""
    for source in sources:
        if not is_folder(source):
            continue
        below = sorted(each for each in source.iterdir() if is_folder(each) and not each.is_symlink())
        yield from (each for each in (source, *below) if _is_bundle(each))


def _is_bundle(folder: Path) -> bool:
    configs = folder / "configs"
    return (configs / _METADATA).is_file() and any((configs / name).is_file() for name in _CONFIGURATIONS)


def _member(folder: Path, name: str) -> Path:
    try:
        path = inside(folder, name)
    except VolumeFileError as error:
        raise ModelError(str(error)) from error
    if not path.is_file():
        raise ModelError(f"{path} is missing; get the bundle again from its source")
    return path


def _configuration(folder: Path) -> Configuration:
    name = next(name for name in _CONFIGURATIONS if (folder / "configs" / name).is_file())
    path = _member(folder, f"configs/{name}")
    return Configuration(read_configuration(path), str(path), {"bundle_root": _ROOT})


def _check_targets(configuration: Configuration) -> None:
    """Refuse names that are not known, wherever they stand."""
    for target in targets_of(configuration.document):
        plain = target.rpartition(".")[2] if _OF_MONAI.fullmatch(target) else target
        base = re.sub(r"(Dict|[dD])$", "", plain)
        known = plain in _AROUND or plain in NETWORKS
        if not known and base not in preprocessing.TRANSFORMS and base not in postprocessing.TRANSFORMS:
            raise ModelError(
                f"{configuration.where}: the target {target[:120]!r} is neither a network nor a transform that is "
                "known here; nothing of it was run"
            )


def _first(configuration: Configuration, *names: str) -> Any:
    found = [configuration.find(name) for name in names if configuration.find(name) is not None]
    if not found:
        raise ModelError(f"{configuration.where}: {names[0]!r} is missing; without it nobody knows the model's parts")
    return found[0]


def _plan(configuration: Configuration, network: MonaiSpec) -> tuple[Plan, Finish]:
    before = list(_transforms(configuration, "preprocessing"))
    after = _transforms(configuration, "postprocessing") if configuration.find("postprocessing") else ()
    prepared, finish = preprocessing.preparation_of(before), postprocessing.finish_of(after)
    windows = postprocessing.windows_of(configuration.component(_first(configuration, "inferer")))
    together = preprocessing.treats_channels_together(before)
    if network.in_channels > 1 and together:
        raise ModelError(f"{configuration.where}: {together} of all channels together is not supported")
    too_large = [edge for edge, patch in zip(prepared.pad_to, windows.shape, strict=False) if edge > patch]
    if too_large:
        raise ModelError(f"{configuration.where}: SpatialPadd to more than the inferer's roi_size is not supported")
    return Plan(prepared, windows, finish.logits_order, finish.back), finish


def _transforms(configuration: Configuration, name: str) -> Iterator[Component]:
    compose = configuration.component(_first(configuration, name))
    if compose.name != "Compose":
        raise ModelError(f"{configuration.where}: {name} must be a Compose of transforms, got {compose.target[:120]!r}")
    return configuration.components(compose.written.get("transforms", []))


def _weights(configuration: Configuration, folder: Path) -> tuple[Path, str]:
    """The file that the configuration loads, and the key there under which the weights lie."""
    loader = next(_loaders(configuration.document, configuration), None)
    name = str(loader.get("load_path")) if loader else _USUAL_WEIGHTS
    loaded = loader.written.get("load_dict") if loader else None
    key = next(iter(loaded), "") if isinstance(loaded, dict) else ""
    path = inside_bundle(folder, name)
    if path.suffix not in (".pt", ".pth"):
        raise ModelError(f"{path} is no checkpoint of weights (.pt or .pth); a TorchScript graph is added by itself")
    return path, key


def inside_bundle(folder: Path, name: str) -> Path:
    """A file that the configuration names from the bundle's folder.

    Raises:
        ModelError: It is missing, or outside.
    """
    return _member(folder, name.removeprefix(f"{_ROOT}/"))


def _loaders(document: Any, configuration: Configuration) -> Iterator[Component]:
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if str(node.get("_target_", "")).rpartition(".")[2] == "CheckpointLoader":
                yield configuration.component(node)
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _model(metadata: Metadata, words: Words, stage: Any, finish: Finish, keys: Sequence[str]) -> ModelSpec:
    outputs = stage.network.out_channels
    if finish.order and len(finish.order) != outputs:
        raise ModelError(f"{outputs} output channels are flattened as if they were {len(finish.order)}")
    segments = metadata.segments(outputs, regions=finish.regions)
    if finish.order:
        segments = tuple(
            replace(segments[n], value=value) for n, value in zip(finish.order, finish.values, strict=True)
        )
    try:
        return ModelSpec(
            name=words.name or metadata.name,
            version=words.version or metadata.version,
            description=metadata.description,
            license=words.license or metadata.license(),
            channels=metadata.channels(stage.network.in_channels, keys),
            segments=segments,
            parts=(Part(tuple(segment.name for segment in segments), (stage,)),),
            output="regions" if finish.regions else "labels",
            cleanups=_cleanups(finish, [segment.name for segment in segments]),
            citation=metadata.citation,
            provenance=metadata.provenance,
        )
    except InvalidInputError as error:
        raise ModelError(f"the bundle is no complete model: {error}") from error


def _cleanups(finish: Finish, names: Sequence[str]) -> tuple[Cleanup, ...]:
    """Labels count from 1; 0 stands for all."""
    found: list[Cleanup] = []
    for asked in finish.cleanups:
        meant = [name for number, name in enumerate(names, start=1) if {0, number} & {*asked.labels}]
        groups = [tuple(meant)] if asked.together and meant else [(name,) for name in meant]
        options = {asked.what: True}
        found += [
            Cleanup(first, **options, together_with=tuple(rest), neighbours=asked.neighbours) for first, *rest in groups
        ]
    return tuple(found)


def _card(spec: ModelSpec) -> str:
    facts = "".join(f"- {key}: {value}\n" for key, value in spec.provenance.items())
    return (
        f"# {spec.name}\n\n{spec.description}\n\nA MONAI bundle, converted when it was added; it runs without "
        "MONAI.\n\n"
        f"## Where it came from\n\n{facts}\nLicence of the weights: {spec.license}.\n\n"
        f"## Segments\n\n{', '.join(segment.name for segment in spec.segments)}\n\n"
        f"## Please cite\n\n{spec.citation or 'the authors above'}\n"
    )
