"""Colours for segments of models that bring none: neighbours in a list are easy to tell apart."""

from __future__ import annotations

from colorsys import hls_to_rgb

Color = tuple[int, int, int]

_FIRST_HUE = 0.02
_GOLDEN_RATIO = 0.618033988749895
"""Hues a golden section apart never come close soon."""

_TONES = ((0.56, 0.62), (0.72, 0.55), (0.42, 0.5))
"""Lightness and saturation, in turns; none is near black, which is the background of images."""


def color_of(n: int) -> Color:
    """Red, green and blue, 0 to 255 each, of the n-th segment; always the same.

    Example:
        >>> len({color_of(n) for n in range(200)})
        200
    """
    lightness, saturation = _TONES[n // 8 % len(_TONES)]
    red, green, blue = hls_to_rgb((_FIRST_HUE + n * _GOLDEN_RATIO) % 1, lightness, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)
