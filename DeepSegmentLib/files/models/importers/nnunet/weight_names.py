"""How dynamic-network-architectures names the weights of a U-Net, and how our U-Net does.

In a checkpoint of nnU-Net most weights stand under several names: the encoder again within the decoder, the layers of a
block again in a list of all its modules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from DeepSegmentLib.networks.unet_spec import UNetSpec

_LAYERS = ("conv", "norm")
_BLOCK = re.compile(r"(?P<before>.*)\.(?P<layer>[01])\.(?P<kind>\w+)")
_STAGE = re.compile(r"encoder\.stages\.(?P<stage>\d+)\.(?P<block>\d+)(?P<after>.*)")
_SKIP = re.compile(r"\.skip\.(?P<layer>\d)\.(?P<kind>\w+)")
_DECODER = re.compile(r"decoder\.(?P<stage>\d+)\.(?P<after>.*)")
_WRAPPERS = re.compile(r"^(?:_orig_mod\.|module\.)+")
_AGAIN = re.compile(r"^decoder\.encoder\.|\.all_modules\.")


def plain_name(name: str) -> str:
    """A name without what torch.compile and training on several GPUs put before it."""
    return _WRAPPERS.sub("", name)


def stands_twice(name: str) -> bool:
    """Whether the weight stands under a shorter name, too."""
    return bool(_AGAIN.search(name))


def foreign_name(name: str, spec: UNetSpec) -> str:
    """Where a checkpoint of nnU-Net has a weight of our U-Net.

    Example:
        >>> from DeepSegmentLib.networks.unet_spec import UNetSpec
        >>> spec = UNetSpec(1, 2, (8, 16), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (2, 2), (2,))
        >>> foreign_name("encoder.stages.1.0.1.weight", spec)
        'encoder.stages.1.0.convs.0.norm.weight'
    """
    if name.startswith("encoder.stem."):
        return _layer(name.replace("encoder.stem.", "encoder.stem.convs.0."))
    stage = _STAGE.fullmatch(name)
    if stage:
        return _encoder_name(spec, int(stage["stage"]), int(stage["block"]), stage["after"])
    decoder = _DECODER.fullmatch(name)
    if decoder is None:
        raise KeyError(name)
    return _decoder_name(decoder["stage"], decoder["after"])


def _encoder_name(spec: UNetSpec, stage: int, block: int, after: str) -> str:
    if spec.encoder == "plain":
        return _layer(f"encoder.stages.{stage}.0.convs.{block}{after}")
    place = f"encoder.stages.{stage}.blocks.{block}"
    skip = _SKIP.fullmatch(after)
    if skip is None:
        return _layer(place + after)
    pools = int(block == 0 and max(spec.strides[stage]) > 1)
    return f"{place}.skip.{pools}.{_LAYERS[int(skip['layer']) - pools]}.{skip['kind']}"


def _decoder_name(stage: str, after: str) -> str:
    part, _, rest = after.partition(".")
    if part == "convs":
        return _layer(f"decoder.stages.{stage}.convs.{rest}")
    return f"decoder.{'transpconvs' if part == 'up' else 'seg_layers'}.{stage}.{rest}"


def _layer(name: str) -> str:
    """A layer of a block by its name instead of its number."""
    block = _BLOCK.fullmatch(name)
    if block is None:
        raise KeyError(name)
    return f"{block['before']}.{_LAYERS[int(block['layer'])]}.{block['kind']}"


def all_names(name: str) -> Iterator[str]:
    """All names under which nnU-Net expects a weight, that of `foreign_name` first."""
    for n, layer in enumerate(_LAYERS):
        head, found, kind = name.rpartition(f".{layer}.")
        if found:
            yield from _within_decoder(name)
            yield from _within_decoder(f"{head}.all_modules.{n}.{kind}")
            return
    yield from _within_decoder(name)


def _within_decoder(name: str) -> Iterator[str]:
    yield name
    if name.startswith("encoder."):
        yield f"decoder.{name}"
