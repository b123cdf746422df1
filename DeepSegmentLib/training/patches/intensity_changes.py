"""Other scanners, protocols and noise: changes of intensities, as nnU-Net makes them, of one channel at a time.

Each takes a channel (k, j, i) of float32, the settings and a source of random numbers, gives a new channel, and leaves
the one it was given as it is. What changes neighbourhoods (blur, resolution) is a small matrix along each axis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch.nn import functional

from .smooth_fields import along_axes, smooth_field
from .spatial_change import thin_axes

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .augmentation_settings import AugmentationSettings, Range

    Change = Callable[[Tensor, AugmentationSettings, np.random.Generator], Tensor]

_SMALLEST = 1e-7
_BIAS_SPANS = 3
"""Of the smooth field of a coil: SynthSeg draws 4 control points an axis."""


def change_intensities(image: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """An image (channel, k, j, i) with each change made, or not, to each channel.

    Returns:
        An image of the same shape and type; the same one where nothing was changed.
    """
    channels = image.unbind()
    changed = [_channel_changed(channel, settings, rng) for channel in channels]
    if all(new is old for new, old in zip(changed, channels, strict=True)):
        return image
    return torch.stack(changed)


def _channel_changed(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    for share, change in _CHANGES:
        if rng.random() < getattr(settings, share):
            channel = change(channel, settings, rng)
    return channel


def multiply_bias_field(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Multiply by a smooth positive field, from the darkest intensity on: air stays dark under any normalisation."""
    spans = [_BIAS_SPANS] * 3
    field = smooth_field((spans[0], spans[1], spans[2]), _shape(channel), rng)
    low = channel.min()
    return (channel - low) * torch.exp(field * _drawn(settings.bias_range, rng)) + low


def add_noise(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Add Gaussian noise in parts of the standard deviation: as strong on the scale of any normalisation."""
    width = _drawn(settings.noise_range, rng) * channel.std(correction=0)
    return channel + width * random_normal(_shape(channel), rng)


def blur(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Blur by a Gaussian of another width along each axis."""
    return blurred(channel, [_drawn(settings.blur_voxels, rng) for _ in range(3)])


def multiply_brightness(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Multiply all intensities."""
    return channel * _around_one(settings.brightness_range, rng)


def change_contrast(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Stretch or shrink intensities about their mean; what leaves their range gets its nearest end."""
    mean, (low, high) = channel.mean(), torch.aminmax(channel)
    return ((channel - mean) * _around_one(settings.contrast_range, rng) + mean).clamp_(low, high)


def lower_resolution(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Sample fewer voxels along all axes but thin ones, and interpolate between them."""
    scale, thin = _drawn(settings.resolution_range, rng), thin_axes(_shape(channel))
    sizes = [None if axis in thin else max(1, round(n * scale)) for axis, n in enumerate(channel.shape)]
    return along_axes(channel, [_coarser(n, m, "nearest-exact") for n, m in zip(channel.shape, sizes, strict=True)])


def thicken_slices(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Average over thick slices along one axis that is not thin already, and interpolate between them."""
    thin = thin_axes(_shape(channel))
    axis = int(rng.choice([n for n in range(3) if n not in thin]))
    sizes: list[int | None] = [None] * 3
    sizes[axis] = max(1, round(channel.shape[axis] / _drawn(settings.thickness_voxels, rng)))
    return along_axes(channel, [_coarser(n, m, "area") for n, m in zip(channel.shape, sizes, strict=True)])


def change_gamma(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Raise intensities to a power on the scale of their range; mean and standard deviation stay."""
    low, high = torch.aminmax(channel)
    span = float(high - low)
    raised = ((channel - low) / max(span, _SMALLEST)) ** _around_one(settings.gamma_range, rng) * span + low
    stretch = channel.std(correction=0) / raised.std(correction=0).clamp(
        min=_SMALLEST
    )  # `std_mean` takes ten times as long
    return (raised - raised.mean()) * stretch + channel.mean()


def change_gamma_inverted(channel: Tensor, settings: AugmentationSettings, rng: np.random.Generator) -> Tensor:
    """Likewise, with dark and bright exchanged."""
    return -change_gamma(-channel, settings, rng)


_CHANGES: tuple[tuple[str, Change], ...] = (
    ("bias_field", multiply_bias_field),
    ("thick_slices", thicken_slices),
    ("noise", add_noise),
    ("blur", blur),
    ("brightness", multiply_brightness),
    ("contrast", change_contrast),
    ("low_resolution", lower_resolution),
    ("gamma_inverted", change_gamma_inverted),
    ("gamma", change_gamma),
)
"""The share of each, in nnU-Net's order; what a scanner does comes first."""


def blurred(channel: Tensor, widths_voxels: list[float]) -> Tensor:
    """A Gaussian blur; what is beyond the border is as the border."""
    operators = [
        gaussian_filter1d(np.eye(n), width, axis=0, mode="nearest").astype(np.float32)
        for n, width in zip(channel.shape, widths_voxels, strict=True)
    ]
    return along_axes(channel, [torch.from_numpy(operator) for operator in operators])


def random_normal(shape: tuple[int, int, int], rng: np.random.Generator) -> Tensor:
    """Numbers of a standard normal distribution, float32; torch draws them three times as fast as NumPy."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(int(rng.integers(1 << 62))))


def _coarser(size: int, coarse: int | None, mode: str) -> Tensor | None:
    """The matrix (size, size) that samples an axis at fewer places and interpolates between these."""
    if coarse is None:
        return None
    each = functional.interpolate(torch.eye(size)[None], size=coarse, mode=mode)
    return functional.interpolate(each, size=size, mode="linear")[0].T


def _drawn(limits: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))


def _around_one(limits: Range, rng: np.random.Generator) -> float:
    """A factor below 1 as often as above it, where the range has both."""
    low, high = limits
    below = low < 1 and (high <= 1 or rng.random() < 0.5)
    return _drawn((low, min(high, 1.0)) if below else (max(low, 1.0), high), rng)


def _shape(channel: Tensor) -> tuple[int, int, int]:
    k, j, i = channel.shape
    return k, j, i
