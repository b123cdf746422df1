"""From the networks that a configuration names to the specs of ours; whatever these cannot express is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.networks.monai_specs import (
    Activation,
    BasicUNetSpec,
    DynUNetSpec,
    MonaiUNetSpec,
    Norm,
    SegResNetDSSpec,
    SegResNetSpec,
    SwinUNETRSpec,
    UNETRSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from DeepSegmentLib.networks.monai_specs import MonaiSpec
    from DeepSegmentLib.networks.monai_specs.layers import Size

    from .configuration import Component

_NORMS = {
    "INSTANCE": "instance",
    "INSTANCE_NVFUSER": "instance",
    "BATCH": "batch",
    "SYNCBATCH": "batch",
    "GROUP": "group",
}
_ACTIVATIONS = {
    "RELU": "relu",
    "LEAKYRELU": "leaky_relu",
    "PRELU": "prelu",
    "ELU": "elu",
    "GELU": "gelu",
    "SWISH": "swish",
    "MEMSWISH": "swish",
    "MISH": "mish",
}
_UPSAMPLING = {"deconv": "deconv", "nontrainable": "linear"}
_DEFAULT_FILTERS = {2: 512, 3: 320}
_MERGED_ALL_SINCE = (1, 5)
"""Version of MONAI whose SwinUNETR merges all eight neighbours; see `SwinUNETRSpec.merging`."""


def network_spec(component: Component, monai_version: tuple[int, ...] = _MERGED_ALL_SINCE) -> MonaiSpec:
    """The spec of the network that a component describes.

    Args:
        component: With a target of MONAI's.
        monai_version: That its weights were trained with, such as (1, 4).

    Raises:
        ModelError: It is not among those that we can build, or asks for what they cannot do.
    """
    reader = NETWORKS.get(component.name)
    if reader is None:
        raise ModelError(
            f"{component.configuration.where}: the network {component.target[:120]!r} is not among those that can be "
            f"built: {', '.join(NETWORKS)}"
        )
    try:
        spec = reader(component)
    except (InvalidInputError, TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{component.configuration.where}: {component.name}: {error}") from error
    return _as_published(spec) if monai_version < _MERGED_ALL_SINCE else spec


def _as_published(spec: MonaiSpec) -> MonaiSpec:
    if isinstance(spec, SwinUNETRSpec) and spec.merging == "all":
        return replace(spec, merging="published")
    return spec


def _unet(at: Component) -> MonaiUNetSpec:
    at.refuse_others(
        "spatial_dims", "dimensions", "in_channels", "out_channels", "channels", "strides", "kernel_size",
        "up_kernel_size", "num_res_units", "act", "norm", "dropout", "bias", "adn_ordering",
    )  # fmt: skip
    dimensions = at.get("spatial_dims", default=at.get("dimensions"))
    channels = _whole_numbers(at, "channels")
    order = str(at.get("adn_ordering", default="NDA")).upper().replace("D", "")
    if order not in ("NA", "AN"):
        raise at.refused("adn_ordering")
    return MonaiUNetSpec(
        in_channels=_whole_number(at, "in_channels"),
        out_channels=_whole_number(at, "out_channels"),
        dimensions=dimensions,
        channels=channels,
        strides=_sizes(at, "strides", dimensions)[: len(channels) - 1],
        kernel_size=_size(at.get("kernel_size", default=3), dimensions),
        up_kernel_size=_size(at.get("up_kernel_size", default=3), dimensions),
        residual_units=_whole_number(at, "num_res_units", 0),
        activation=_activation(at, "act", "PRELU"),
        norm=_norm(at, "norm", "INSTANCE"),
        bias=bool(at.get("bias", default=True)),
        activate_first=order == "AN",
    )


def _basic_unet(at: Component) -> BasicUNetSpec:
    at.refuse_others(
        "spatial_dims", "dimensions", "in_channels", "out_channels", "features", "act", "norm", "bias", "dropout",
        "upsample",
    )  # fmt: skip
    return BasicUNetSpec(
        in_channels=_whole_number(at, "in_channels", 1),
        out_channels=_whole_number(at, "out_channels", 2),
        dimensions=_whole_number(at, "spatial_dims", at.get("dimensions", default=3)),
        features=_whole_numbers(at, "features", (32, 32, 64, 128, 256, 32)),
        activation=_activation(at, "act", ["LeakyReLU", {"negative_slope": 0.1}]),
        norm=_norm(at, "norm", ["instance", {"affine": True}]),
        bias=bool(at.get("bias", default=True)),
        upsample=_upsampling(at, "upsample", "deconv"),
    )


def _dyn_unet(at: Component) -> DynUNetSpec:
    at.refuse_others(
        "spatial_dims", "in_channels", "out_channels", "kernel_size", "strides", "upsample_kernel_size", "filters",
        "dropout", "norm_name", "act_name", "deep_supervision", "deep_supr_num", "res_block", "trans_bias",
    )  # fmt: skip
    dimensions = _whole_number(at, "spatial_dims")
    strides = _sizes(at, "strides", dimensions)
    if _sizes(at, "upsample_kernel_size", dimensions) != strides[1:]:
        raise at.refused("upsample_kernel_size")
    widest = _DEFAULT_FILTERS.get(dimensions, 0)
    filters = _whole_numbers(at, "filters", tuple(min(2 ** (5 + level), widest) for level in range(len(strides))))
    return DynUNetSpec(
        in_channels=_whole_number(at, "in_channels"),
        out_channels=_whole_number(at, "out_channels"),
        dimensions=dimensions,
        features=filters[: len(strides)],
        kernel_sizes=_sizes(at, "kernel_size", dimensions),
        strides=strides,
        residual=bool(at.get("res_block", default=False)),
        activation=_activation(at, "act_name", ["leakyrelu", {"negative_slope": 0.01}]),
        norm=_norm(at, "norm_name", ["INSTANCE", {"affine": True}]),
        up_bias=bool(at.get("trans_bias", default=False)),
    )


def _segresnet(at: Component) -> SegResNetSpec:
    at.refuse_others(
        "spatial_dims", "init_filters", "in_channels", "out_channels", "dropout_prob", "act", "norm", "norm_name",
        "num_groups", "use_conv_final", "blocks_down", "blocks_up", "upsample_mode",
    )  # fmt: skip
    if not at.get("use_conv_final", default=True):
        raise at.refused("use_conv_final")
    groups = ["group", {"num_groups": at.get("num_groups", default=8)}]
    if str(at.get("norm_name", default="group")).lower() not in ("", "group"):
        raise at.refused("norm_name")
    return SegResNetSpec(
        in_channels=_whole_number(at, "in_channels", 1),
        out_channels=_whole_number(at, "out_channels", 2),
        dimensions=_whole_number(at, "spatial_dims", 3),
        features=_whole_number(at, "init_filters", 8),
        blocks_down=_whole_numbers(at, "blocks_down", (1, 2, 2, 4)),
        blocks_up=_whole_numbers(at, "blocks_up", (1, 1, 1)),
        activation=_activation(at, "act", "RELU"),
        norm=_norm(at, "norm", groups),
        upsample=_upsampling(at, "upsample_mode", "nontrainable"),
    )


def _segresnet_ds(at: Component) -> SegResNetDSSpec:
    at.refuse_others(
        "spatial_dims", "init_filters", "in_channels", "out_channels", "act", "norm", "blocks_down", "blocks_up",
        "dsdepth", "preprocess", "upsample_mode", "resolution",
    )  # fmt: skip
    if at.get("preprocess") is not None:
        raise at.refused("preprocess")
    blocks = _whole_numbers(at, "blocks_down", (1, 2, 2, 4))
    return SegResNetDSSpec(
        in_channels=_whole_number(at, "in_channels", 1),
        out_channels=_whole_number(at, "out_channels", 2),
        strides=_strides_for(at.get("resolution"), _whole_number(at, "spatial_dims", 3), len(blocks)),
        features=_whole_number(at, "init_filters", 32),
        blocks_down=blocks,
        blocks_up=_whole_numbers(at, "blocks_up", (1,) * (len(blocks) - 1)),
        activation=_activation(at, "act", "relu"),
        norm=_norm(at, "norm", "batch", affine=True),
        upsample=_upsampling(at, "upsample_mode", "deconv"),
    )


def _strides_for(resolution: Sequence[float] | None, dimensions: int, levels: int) -> tuple[Size, ...]:
    """Along each axis 1 until the others have become as coarse, then 2."""
    if not resolution:
        return ((2,) * dimensions,) * levels
    waits = [math.floor(math.log2(max(resolution) / step)) for step in resolution]
    return tuple(tuple(1 if level >= wait and level < max(waits) else 2 for wait in waits) for level in range(levels))


def _swin_unetr(at: Component) -> SwinUNETRSpec:
    at.refuse_others(
        "img_size", "in_channels", "out_channels", "patch_size", "depths", "num_heads", "window_size", "qkv_bias",
        "mlp_ratio", "feature_size", "norm_name", "drop_rate", "attn_drop_rate", "dropout_path_rate", "normalize",
        "patch_norm", "use_checkpoint", "spatial_dims", "downsample", "use_v2", "use_flash_attention",
    )  # fmt: skip
    dimensions = _whole_number(at, "spatial_dims", 3)
    merging = {"merging": "all", "mergingv2": "v2"}.get(at.get("downsample", default="merging"))
    for argument, wrong in (
        ("patch_size", _size(at.get("patch_size", default=2), dimensions) != (2,) * dimensions),
        ("downsample", merging is None),
    ):
        if wrong:
            raise at.refused(argument)
    return SwinUNETRSpec(
        in_channels=_whole_number(at, "in_channels"),
        out_channels=_whole_number(at, "out_channels"),
        dimensions=dimensions,
        features=_whole_number(at, "feature_size", 24),
        depths=_whole_numbers(at, "depths", (2, 2, 2, 2)),
        heads=_whole_numbers(at, "num_heads", (3, 6, 12, 24)),
        window=_size(at.get("window_size", default=7), dimensions),
        mlp_ratio=float(at.get("mlp_ratio", default=4.0)),
        qkv_bias=bool(at.get("qkv_bias", default=True)),
        norm=_norm(at, "norm_name", "instance"),
        normalize=bool(at.get("normalize", default=True)),
        patch_norm=bool(at.get("patch_norm", default=False)),
        merging=merging,  # type: ignore[arg-type]
        convolutions=bool(at.get("use_v2", default=False)),
    )


def _unetr(at: Component) -> UNETRSpec:
    at.refuse_others(
        "in_channels", "out_channels", "img_size", "feature_size", "hidden_size", "mlp_dim", "num_heads", "pos_embed",
        "proj_type", "norm_name", "conv_block", "res_block", "dropout_rate", "spatial_dims", "qkv_bias", "save_attn",
    )  # fmt: skip
    argument = "proj_type" if "proj_type" in at.written else "pos_embed"
    tokens = {"conv": "convolution", "perceptron": "perceptron"}.get(at.get(argument, default="conv"))
    if tokens is None:
        raise at.refused(argument)
    return UNETRSpec(
        in_channels=_whole_number(at, "in_channels"),
        out_channels=_whole_number(at, "out_channels"),
        image_shape=_size(at.get("img_size"), _whole_number(at, "spatial_dims", 3)),
        features=_whole_number(at, "feature_size", 16),
        hidden=_whole_number(at, "hidden_size", 768),
        mlp=_whole_number(at, "mlp_dim", 3072),
        heads=_whole_number(at, "num_heads", 12),
        tokens=tokens,  # type: ignore[arg-type]
        norm=_norm(at, "norm_name", "instance"),
        convolve=bool(at.get("conv_block", default=True)),
        residual=bool(at.get("res_block", default=True)),
        qkv_bias=bool(at.get("qkv_bias", default=False)),
    )


NETWORKS: dict[str, Callable[[Component], MonaiSpec]] = {
    "UNet": _unet,
    "Unet": _unet,
    "BasicUNet": _basic_unet,
    "BasicUnet": _basic_unet,
    "DynUNet": _dyn_unet,
    "DynUnet": _dyn_unet,
    "SegResNet": _segresnet,
    "SegResNetDS": _segresnet_ds,
    "SwinUNETR": _swin_unetr,
    "UNETR": _unetr,
}
"""By the names that MONAI has for them."""


def _whole_number(at: Component, argument: str, default: int | None = None) -> int:
    value = at.get(argument, default=default)
    if type(value) is not int:
        raise at.refused(argument)
    return value


def _whole_numbers(at: Component, argument: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
    values = at.get(argument, default=default)
    if not isinstance(values, (list, tuple)) or any(type(value) is not int for value in values):
        raise at.refused(argument)
    return tuple(values)


def _size(value: Any, dimensions: int) -> Size:
    """One number for each axis, of one number for all or of one for each."""
    if type(value) is int:
        return (value,) * dimensions
    if not isinstance(value, (list, tuple)) or any(type(each) is not int for each in value):
        raise InvalidInputError(f"sizes must be whole numbers, got {str(value)[:60]}")
    return tuple(value)


def _sizes(at: Component, argument: str, dimensions: int) -> tuple[Size, ...]:
    values = at.get(argument)
    if not isinstance(values, (list, tuple)):
        raise at.refused(argument)
    return tuple(_size(value, dimensions) for value in values)


def _named(at: Component, argument: str, default: Any) -> tuple[str, dict[str, Any]]:
    """The name, in capitals, and the arguments of a layer: "name" or ["name", {...}]."""
    value = at.get(argument, default=default)
    name, options = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, {})
    if not isinstance(name, str) or not isinstance(options, dict):
        raise at.refused(argument)
    return name.upper(), options


def _norm(at: Component, argument: str, default: Any, *, affine: bool = False) -> Norm:
    """A norm; that of instances has no weights unless `affine` or the arguments say so, as in torch."""
    name, options = _named(at, argument, default)
    kind = _NORMS.get(name)
    if kind is None or options.keys() - {"affine", "eps", "num_groups"}:
        raise at.refused(argument)
    return Norm(
        kind=kind,  # type: ignore[arg-type]
        affine=bool(options.get("affine", affine or kind != "instance")),
        groups=options.get("num_groups", 0) if kind == "group" else 0,
        eps=float(options.get("eps", 1e-5)),
    )


def _activation(at: Component, argument: str, default: Any) -> Activation:
    name, options = _named(at, argument, default)
    kind = _ACTIVATIONS.get(name)
    allowed = {"inplace", "negative_slope"} if kind == "leaky_relu" else {"inplace"}
    if kind == "prelu":
        allowed |= {"init"} | ({"num_parameters"} if options.get("num_parameters") == 1 else set())
    if kind is None or options.keys() - allowed:
        raise at.refused(argument)
    return Activation(kind, float(options.get("negative_slope", 0.01)))  # type: ignore[arg-type]


def _upsampling(at: Component, argument: str, default: str) -> Any:
    value = _UPSAMPLING.get(str(at.get(argument, default=default)).lower())
    if value is None:
        raise at.refused(argument)
    return value
