"""Draw the icons of the extension.

python scripts/draw_icons.py DeepSegment/Resources/Icons
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

_SCALE = 4  # drawn large, then smoothed
_BRAIN, _DEEP, _CORE, _RIM = (128, 174, 128), (111, 184, 210), (216, 101, 79), (250, 250, 248)


def module_icon(size: int = 128) -> Image.Image:
    """Three nested shapes, one cut away: what segmentation does; on no background, rimmed for light and dark."""
    edge = size * _SCALE
    picture = Image.new("RGBA", (edge, edge))
    draw = ImageDraw.Draw(picture)
    for inset, color in ((0.04, _BRAIN), (0.2, _DEEP), (0.36, _CORE)):
        box = [edge * inset, edge * inset, edge * (1 - inset), edge * (1 - inset)]
        draw.ellipse(box, fill=(*color, 255), outline=(*_RIM, 255), width=edge // 40)
    draw.line([(edge * 0.5, edge * 0.5), (edge * 0.95, edge * 0.5)], fill=(*_RIM, 255), width=edge // 40)
    draw.line([(edge * 0.5, edge * 0.5), (edge * 0.5, edge * 0.05)], fill=(*_RIM, 255), width=edge // 40)
    draw.pieslice([edge * 0.52, 0, edge * 1.48, edge * 0.96], 90, 180, fill=(0, 0, 0, 0))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


def head_icon(size: int = 128) -> Image.Image:
    """A head in grey for the sample data."""
    edge = size * _SCALE
    picture = Image.new("RGBA", (edge, edge), (0, 0, 0, 255))
    draw = ImageDraw.Draw(picture)
    draw.ellipse([edge * 0.17, edge * 0.08, edge * 0.83, edge * 0.94], fill=(150, 150, 150, 255))
    draw.ellipse([edge * 0.23, edge * 0.15, edge * 0.77, edge * 0.87], fill=(30, 30, 30, 255))
    draw.ellipse([edge * 0.26, edge * 0.18, edge * 0.74, edge * 0.84], fill=(*_BRAIN, 255))
    draw.ellipse([edge * 0.4, edge * 0.36, edge * 0.6, edge * 0.62], fill=(*_DEEP, 255))
    return picture.resize((size, size), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    module_icon().save(folder / "DeepSegment.png")
    head_icon().save(folder / "HeadMR.png")
