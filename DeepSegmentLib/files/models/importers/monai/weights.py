"""The weights of MONAI's networks by the names of our own modules.

The names on the left are those that MONAI's state dicts have; what only training or older versions need is dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from DeepSegmentLib.networks.monai_specs import (
    BasicUNetSpec,
    DynUNetSpec,
    MonaiUNetSpec,
    SegResNetDSSpec,
    SegResNetSpec,
    SwinUNETRSpec,
    UNETRSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from DeepSegmentLib.networks.monai_specs import MonaiSpec

    class _Renaming(Protocol):
        def __call__(self, match: re.Match[str], spec: Any, /) -> str: ...


_DROPPED = ""
_SHARED_ACTIVATION = re.compile(r"(.*\.)act\.weight")


def renamed(spec: MonaiSpec, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights by our names; whether they are all there, and of the right shape, is not looked at.

    Args:
        spec: The network.
        weights: Anything, by MONAI's names.
    """
    rules = _RULES[type(spec)]
    mapped = {_name(name, spec, rules): value for name, value in weights.items()}
    mapped.pop(_DROPPED, None)
    return _with_both_activations(mapped) if isinstance(spec, SegResNetSpec) else mapped


def _name(name: str, spec: MonaiSpec, rules: tuple[tuple[str, str | _Renaming], ...]) -> str:
    """The name after all rules that fit, in their order; empty where the weight is dropped."""
    for pattern, new in rules:
        name = re.sub(pattern, _bound(new, spec) if callable(new) else new, name)
    return name


def _bound(new: _Renaming, spec: MonaiSpec) -> Callable[[re.Match[str]], str]:
    return lambda match: new(match, spec)


def _with_both_activations(weights: dict[str, Any]) -> dict[str, Any]:
    """MONAI's residual block uses one activation twice; ours has two."""
    both: dict[str, Any] = {}
    for name, value in weights.items():
        shared = _SHARED_ACTIVATION.fullmatch(name)
        both |= {f"{shared[1]}act{n}.weight": value for n in (1, 2)} if shared else {name: value}
    return both


def _unet_place(match: re.Match[str], _: MonaiUNetSpec) -> str:
    """Each level lies within the one above it: model.1.submodule.1.submodule.0 is the way down of level 2."""
    level = match[1].count("submodule")
    if match[2] == "0.":
        return f"down.{level}."
    return f"up.{level}." if match[2] == "2." else "bottom."


_BLOCK_OF_TWO = (
    (r"\.conv_block\.", ".block."),
    (r"\.transp_conv\.conv\.", ".up."),
    (r"\.(conv[12])\.conv\.", r".\1."),
    (r"\.conv3\.conv\.", ".short_way.0."),
    (r"\.norm3\.", ".short_way.1."),
    (r"\.lrelu\.", ".act."),
    (r"^(out|output_block)\.conv\.conv\.", "head."),
)

_RULES: dict[type, tuple[tuple[str, str | _Renaming], ...]] = {
    MonaiUNetSpec: (
        (r"^model\.((?:1\.submodule\.)*)([02]\.)?", _unet_place),
        (r"^(up\.\d+)\.(conv|adn)\.", r"\1.0.\2."),
        (r"\bconv\.unit(\d+)\.", r"units.\1."),
        (r"\badn\.N\.", "norm."),
        (r"\badn\.A\.", "act."),
        (r"\bresidual\.", "short_way."),
    ),
    BasicUNetSpec: (
        (r"^conv_0\.", "down.0."),
        (r"^down_(\d+)\.convs\.", r"down.\1."),
        (r"^upcat_(\d+)\.", lambda match, _: f"up.{int(match[1]) - 1}."),
        (r"\.upsample\.deconv\.", ".up."),
        (r"\.upsample\.preconv\.", ".up.0."),
        (r"\.conv_(\d)\.conv\.", lambda match, _: f".conv{int(match[1]) + 1}."),
        (r"\.conv_(\d)\.adn\.N\.", lambda match, _: f".norm{int(match[1]) + 1}."),
        (r"\.conv_(\d)\.adn\.A\.", lambda match, _: f".act{int(match[1]) + 1}."),
        (r"^final_conv\.", "head."),
    ),
    DynUNetSpec: (
        (r"^(skip_layers|deep_supervision_heads|heads)\..*", _DROPPED),
        (r"^input_block\.", "down.0."),
        (r"^downsamples\.(\d+)\.", lambda match, _: f"down.{int(match[1]) + 1}."),
        (r"^bottleneck\.", lambda _, spec: f"down.{len(spec.features) - 1}."),
        (r"^upsamples\.(\d+)\.", lambda match, spec: f"up.{len(spec.features) - 2 - int(match[1])}."),
        *_BLOCK_OF_TWO,
    ),
    SegResNetSpec: (
        (r"^act_mod\..*", _DROPPED),
        (r"^convInit\.conv\.", "down.0.0."),
        (r"^down_layers\.(\d+)\.0\.conv\.", r"down.\1.0."),
        (r"^down_layers\.", "down."),
        (
            r"^up_(layers|samples)\.(\d+)\.",
            lambda match, spec: f"up.{len(spec.blocks_up) - 1 - int(match[2])}.{match[1]}.",
        ),
        (r"\.layers\.", ".blocks."),
        (r"\.samples\.0\.conv\.", ".narrow."),
        (r"\.samples\.1\.deconv\.", ".grow."),
        (r"\.(conv[12])\.conv\.", r".\1."),
        (r"^conv_final\.0\.", "norm."),
        (r"^conv_final\.1\.", "act."),
        (r"^conv_final\.2\.conv\.", "head."),
    ),
    SegResNetDSSpec: (
        (r"^encoder\.conv_init\.", "stem."),
        (r"^encoder\.layers\.(\d+)\.blocks\.", r"down.\1."),
        (r"^encoder\.layers\.(\d+)\.downsample\.", r"shrink.\1."),
        (r"^up_layers\.(\d+)\.", lambda match, spec: f"up.{len(spec.blocks_up) - 1 - int(match[1])}."),
        (r"^up\.0\.head\.", "head."),
        (r"^up\.\d+\.head\..*", _DROPPED),
        (r"\.upsample\.deconv\.", ".grow."),
        (r"\.upsample\.preconv\.", ".grow.0."),
    ),
    SwinUNETRSpec: (
        (r".*\.relative_position_index$", _DROPPED),
        (r"^swinViT\.layers(\d)(c?)\.0\.", lambda match, _: f"transformer.stages.{int(match[1]) - 1}.{match[2]}"),
        (r"^(transformer\.stages\.\d\.)clayer\.", r"\1convs."),
        (r"^swinViT\.patch_embed\.proj\.", "transformer.embed."),
        (r"^swinViT\.patch_embed\.norm\.", "transformer.embed_norm."),
        (r"\.attn\.relative_position_bias_table$", ".attention.bias"),
        (r"\.attn\.qkv\.", ".attention.qkv."),
        (r"\.attn\.proj\.", ".attention.out."),
        (r"\.mlp\.(?:linear|fc)1\.", ".mlp.0."),
        (r"\.mlp\.(?:linear|fc)2\.", ".mlp.2."),
        (r"\.downsample\.norm\.", ".merging.norm."),
        (r"\.downsample\.reduction\.", ".merging.narrow."),
        (r"^encoder10\.layer\.", "bottom."),
        (r"^encoder(\d)\.layer\.", lambda match, _: f"side.{int(match[1]) - 1}."),
        (r"^decoder(\d)\.", lambda match, _: f"up.{int(match[1]) - 1}."),
        *_BLOCK_OF_TWO,
    ),
    UNETRSpec: (
        (r".*\.norm_cross_attn\..*", _DROPPED),
        (r"^vit\.patch_embedding\.patch_embeddings\.(?:1\.)?", "transformer.embed."),
        (r"^vit\.patch_embedding\.position_embeddings$", "transformer.places"),
        (r"^vit\.", "transformer."),
        (r"\.attn\.qkv\.", ".attention.qkv."),
        (r"\.attn\.out_proj\.", ".attention.out."),
        (r"\.mlp\.linear1\.", ".mlp.0."),
        (r"\.mlp\.linear2\.", ".mlp.2."),
        (r"^encoder1\.layer\.", "side."),
        (r"^encoder(\d)\.transp_conv_init\.conv\.", lambda match, _: f"tokens_up.{int(match[1]) - 2}.first."),
        (r"^encoder(\d)\.blocks\.(\d+)\.conv\.", lambda match, _: f"tokens_up.{int(match[1]) - 2}.steps.{match[2]}.0."),
        (r"^encoder(\d)\.blocks\.(\d+)\.", lambda match, _: f"tokens_up.{int(match[1]) - 2}.steps.{match[2]}."),
        (r"^(tokens_up\.\d\.steps\.\d+\.0)\.conv\.", r"\1."),
        (r"^decoder(\d)\.", lambda match, _: f"up.{int(match[1]) - 2}."),
        *_BLOCK_OF_TWO,
    ),
}
