"""The network that nnU-Net's plans describe, as our U-Net.

Newer plans name a class of the package dynamic-network-architectures and its arguments; older ones (before nnU-Net 2.5)
have a few numbers instead. What the U-Net here cannot be is refused by its name.

References:
    nnU-Net 2.8 `ConfigurationManager`; dynamic-network-architectures 0.4 `PlainConvUNet`, `ResidualEncoderUNet`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.unet_spec import UNetSpec

if TYPE_CHECKING:
    from DeepSegmentLib.files.models.importers.foreign_json import Entries

_PACKAGE = "dynamic_network_architectures."
_BLOCKS_KEY = {"PlainConvUNet": "n_conv_per_stage", "ResidualEncoderUNet": "n_blocks_per_stage"}
_MOST_STAGES = 64

_COMMON = frozenset(
    {
        "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage_decoder", "conv_bias",
        "norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin", "nonlin_kwargs", "deep_supervision",
    }
)  # fmt: skip
_OWN = {
    "PlainConvUNet": frozenset({"n_conv_per_stage", "nonlin_first"}),
    "ResidualEncoderUNet": frozenset({"n_blocks_per_stage", "block", "bottleneck_channels", "stem_channels"}),
}


@dataclass(frozen=True)
class Architecture:
    """A network of the plans.

    Attributes:
        spec: As our U-Net.
        conv_bias: Whether its convolutions have a bias; ours always have one, which is 0 then.
        affine: Whether its norms have weights; ours always have them, which are 1 and 0 then.
    """

    spec: UNetSpec
    conv_bias: bool
    affine: bool


def architecture_of(
    configuration: Entries, in_channels: int, out_channels: int, *, batch_norm: bool = False
) -> Architecture:
    """The network of a configuration.

    Args:
        configuration: Of the plans, with what it inherits.
        in_channels: Channels of the input, those of an earlier stage too.
        out_channels: Of the output.
        batch_norm: Whether the trainer took batch norm in place of what the plans say (nnUNetTrainerBN).

    Raises:
        ModelError: It is a network, or has arguments, that the U-Net here cannot be; the message names them.
    """
    if "architecture" not in configuration:
        return _of_old_plans(configuration, in_channels, out_channels, batch_norm=batch_norm)
    architecture = configuration.within("architecture")
    name = _class_of(architecture, "network_class_name")
    kwargs = architecture.within("arch_kwargs")
    _check_known(kwargs, _COMMON | _OWN[name], name)
    return _Arguments(name, kwargs).architecture(in_channels, out_channels, batch_norm=batch_norm)


def _class_of(entries: Entries, key: str) -> str:
    full = entries.text(key)
    name = full.rpartition(".")[2]
    if name not in _BLOCKS_KEY or (full != name and not full.startswith(_PACKAGE)):
        entries.refuse(key, f"is {full!r}, which cannot be built here; known: {', '.join(_BLOCKS_KEY)} of {_PACKAGE}*")
    return name


def _check_known(kwargs: Entries, known: frozenset[str], name: str) -> None:
    strangers = [key for key, value in kwargs.values.items() if key not in known and value is not None]
    if strangers:
        kwargs.refuse(
            strangers[0], f"is an argument of {name} that is not supported; known: {', '.join(sorted(known))}"
        )


def _of_old_plans(configuration: Entries, in_channels: int, out_channels: int, *, batch_norm: bool) -> Architecture:
    name = _class_of(configuration, "UNet_class_name")
    stages = len(configuration.listed("n_conv_per_stage_encoder"))
    base, most = configuration.whole("UNet_base_num_features"), configuration.whole("unet_max_num_features")
    values = configuration.values
    dimensions = len(configuration.listed("patch_size"))
    kwargs = {
        "n_stages": stages,
        "features_per_stage": [min(base << stage, most) for stage in range(min(stages, _MOST_STAGES))],
        "conv_op": f"torch.nn.Conv{dimensions}d",
        "kernel_sizes": values.get("conv_kernel_sizes"),
        "strides": values.get("pool_op_kernel_sizes"),
        _BLOCKS_KEY[name]: values["n_conv_per_stage_encoder"],
        "n_conv_per_stage_decoder": values.get("n_conv_per_stage_decoder"),
        "conv_bias": True,
        "norm_op": f"torch.nn.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
    }
    arguments = _Arguments(name, type(configuration)(configuration.path, kwargs, configuration.place))
    return arguments.architecture(in_channels, out_channels, batch_norm=batch_norm)


@dataclass(frozen=True)
class _Arguments:
    """The arguments of a network's class."""

    name: str
    kwargs: Entries

    def architecture(self, in_channels: int, out_channels: int, *, batch_norm: bool) -> Architecture:
        """Our U-Net of these arguments."""
        dimensions, stages = self._dimensions(), self._stages()
        norm, epsilon, affine = self._norm(dimensions)
        if batch_norm and norm != "batch":
            norm, epsilon, affine = "batch", 1e-5, True
        try:
            spec = UNetSpec(
                in_channels=in_channels,
                out_channels=out_channels,
                features=self._counts("features_per_stage", stages),
                kernel_sizes=self._sizes("kernel_sizes", stages, dimensions),
                strides=self._sizes("strides", stages, dimensions),
                encoder_blocks=self._counts(_BLOCKS_KEY[self.name], stages),
                decoder_blocks=self._counts("n_conv_per_stage_decoder", stages - 1),
                encoder="plain" if self.name == "PlainConvUNet" else "residual",
                norm=norm,
                norm_epsilon=epsilon,
                leak=self._leak(),
                stem_features=self.kwargs.whole("stem_channels", 0),
                bottleneck_features=self._bottleneck(stages),
            )
        except InvalidInputError as error:
            self.kwargs.refuse("n_stages", f"and its other arguments make no U-Net that can be built here: {error}")
        return Architecture(spec, self.kwargs.flag("conv_bias", default=False), affine)

    def _stages(self) -> int:
        stages = self.kwargs.whole("n_stages")
        if not 2 <= stages <= _MOST_STAGES:
            self.kwargs.refuse("n_stages", f"must be from 2 to {_MOST_STAGES}, got {stages}")
        if self.kwargs.values.get("nonlin_first"):
            self.kwargs.refuse("nonlin_first", "is true: networks with the activation before the norm cannot be built")
        return stages

    def _dimensions(self) -> int:
        name = self.kwargs.text("conv_op").rpartition(".")[2]
        if name not in ("Conv2d", "Conv3d"):
            self.kwargs.refuse("conv_op", f"must be a Conv2d or Conv3d of torch, got {name!r}")
        return int(name[4])

    def _counts(self, key: str, stages: int) -> tuple[int, ...]:
        """One number a stage; a single one counts for all."""
        if isinstance(self.kwargs.values.get(key), list):
            return self.kwargs.wholes(key)
        return (self.kwargs.whole(key),) * stages

    def _sizes(self, key: str, stages: int, dimensions: int) -> tuple[tuple[int, ...], ...]:
        """One size a stage; a single number counts for all stages, or for all axes of one."""
        value = self.kwargs.values.get(key)
        sizes = [self._size(key, each, dimensions) for each in (value if isinstance(value, list) else [value] * stages)]
        return tuple(sizes)

    def _size(self, key: str, value: Any, dimensions: int) -> tuple[int, ...]:
        edges = value if isinstance(value, list) else [value] * dimensions
        if not all(type(edge) is int for edge in edges):
            self.kwargs.refuse(key, f"must hold whole numbers, {dimensions} a stage, got {value!r}")
        return tuple(edges)

    def _norm(self, dimensions: int) -> tuple[Literal["instance", "batch"], float, bool]:
        """Kind, epsilon, and whether it has weights."""
        name = self.kwargs.text("norm_op", "none").rpartition(".")[2]
        kinds: dict[str, Literal["instance", "batch"]] = {
            f"InstanceNorm{dimensions}d": "instance",
            f"BatchNorm{dimensions}d": "batch",
        }
        if name not in kinds:
            self.kwargs.refuse("norm_op", f"must be {' or '.join(kinds)} of torch, got {name!r}")
        options = self._options("norm_op_kwargs", {"eps", "affine", "momentum", "track_running_stats"})
        tracks = options.flag("track_running_stats", default=name.startswith("Batch"))
        if tracks != name.startswith("Batch"):
            options.refuse("track_running_stats", f"is {str(tracks).lower()} for {name}, which cannot be built here")
        return kinds[name], options.number("eps", 1e-5), options.flag("affine", default=name.startswith("Batch"))

    def _leak(self) -> float:
        name = self.kwargs.text("nonlin", "none").rpartition(".")[2]
        if name == "ReLU":
            self._options("nonlin_kwargs", {"inplace"})
            return 0.0
        if name != "LeakyReLU":
            self.kwargs.refuse("nonlin", f"must be LeakyReLU or ReLU of torch, got {name!r}")
        return self._options("nonlin_kwargs", {"inplace", "negative_slope"}).number("negative_slope", 0.01)

    def _options(self, key: str, known: set[str]) -> Entries:
        if self.kwargs.values.get(key) is None:
            return type(self.kwargs)(self.kwargs.path, {}, self.kwargs.place)
        options = self.kwargs.within(key)
        _check_known(options, frozenset(known), key)
        return options

    def _bottleneck(self, stages: int) -> tuple[int, ...]:
        name = self.kwargs.text("block", "BasicBlockD").rpartition(".")[2]
        if name == "BasicBlockD":
            return ()
        if name != "BottleneckD":
            self.kwargs.refuse("block", f"must be BasicBlockD or BottleneckD, got {name!r}")
        return self._counts("bottleneck_channels", stages)
