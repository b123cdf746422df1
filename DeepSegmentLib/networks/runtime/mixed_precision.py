"""Half the digits for a part of the time, as long as they are enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

_AMPERE = 8
"""Major compute capability of the first cards that compute in bfloat16; older ones imitate it, slowly."""


def precisions_of(device: torch.device) -> tuple[torch.dtype, ...]:
    """What a network is computed in on a device, and what instead where its numbers become too large for that.

    Float16 comes first, for its three more bits: the norms keep nearly all networks in its range.
    """
    if device.type != "cuda":
        return (torch.float32,)
    has_bfloat16 = torch.cuda.get_device_capability(device)[0] >= _AMPERE
    return (torch.float16, torch.bfloat16, torch.float32) if has_bfloat16 else (torch.float16, torch.float32)


class MixedPrecision:
    """Computes features in the first precision whose range they keep to; from there on in that one.

    Attributes:
        note: What was done otherwise since `begin_run`, for the user; empty for nothing.
    """

    def __init__(
        self, body: Callable[[Tensor], Tensor], device: torch.device, precisions: Sequence[torch.dtype]
    ) -> None:
        """Take what computes features, where, and in what; all after the first are for want of range."""
        self._body, self._device, self._precisions = body, device, tuple(precisions)
        self.begin_run()

    def begin_run(self) -> None:
        """Begin with the first precision again: results do not depend on what was run before."""
        self._left, self.note = list(self._precisions), ""

    @property
    def name(self) -> str:
        """Of what computes, such as "torch float16"."""
        return f"torch {_name(self._left[0])}"

    def __call__(self, x: Tensor) -> Tensor:
        """Features of patches, in float32; with NaN or infinite ones only where the last precision gives these."""
        features = self._features(x)
        while len(self._left) > 1 and not torch.isfinite(features).all():
            before = self._left.pop(0)
            self.note = (
                f"numbers became too large for {_name(before)} on {self._device}; continued in {_name(self._left[0])}"
            )
            features = self._features(x)
        return features

    def _features(self, x: Tensor) -> Tensor:
        precision = self._left[0]
        if precision == torch.float32:
            return self._body(x).float()
        with torch.autocast(self._device.type, dtype=precision):
            return self._body(x).float()


def _name(precision: torch.dtype) -> str:
    return str(precision).removeprefix("torch.")
