"""Draw the picture of the page on coordinate systems: array indices, patient axes, and a grid that lies oblique.

python scripts/draw_coordinates.py docs/pictures/coordinates.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from DeepSegmentLib.data import Geometry

_WIDTH, _HEIGHT = 960, 400
_INK, _GRID, _RAS, _LPS, _HEAD = "#1f2937", "#9ca3af", "#0f766e", "#b45309", "#e5e7eb"
Place = tuple[float, float]


def picture() -> str:
    """The whole picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="14" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _arrow_heads(),
        *_index_panel(30),
        *_patient_panel(350),
        *_oblique_panel(650),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _arrow_heads() -> str:
    heads = (
        f'<marker id="head-{color[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{color}"/></marker>'
        for color in (_INK, _RAS, _LPS)
    )
    return f"<defs>{''.join(heads)}</defs>"


def _text(place: Place, text: str, *, color: str = _INK, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{place[0]:.1f}" y="{place[1]:.1f}" fill="{color}" text-anchor="{anchor}" {more}>{text}</text>'


def _arrow(start: Place, stop: Place, color: str = _INK) -> str:
    (x1, y1), (x2, y2) = start, stop
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="2.5" '
        f'marker-end="url(#head-{color[1:]})"/>'
    )


def _dot(place: Place, color: str, radius: float = 3) -> str:
    return f'<circle cx="{place[0]:.1f}" cy="{place[1]:.1f}" r="{radius}" fill="{color}"/>'


def _title(left: float, text: str) -> str:
    return _text((left, 28), text, anchor="start", more='font-size="17" font-weight="bold"')


def _index_panel(left: float) -> list[str]:
    """One slice of an array: squares, their centres, the way of i and j."""
    edge, top, columns, rows = 52, 90, 4, 3
    parts = [_title(left, "array[k, j, i]")]
    for j in range(rows):
        for i in range(columns):
            x, y = left + 24 + i * edge, top + j * edge
            parts += [
                f'<rect x="{x}" y="{y}" width="{edge}" height="{edge}" fill="none" stroke="{_GRID}"/>',
                _dot((x + edge / 2, y + edge / 2), _INK),
                _text((x + edge / 2, y + edge / 2 + 18), f"{j}, {i}", color=_GRID, more='font-size="12"'),
            ]
    corner = (left + 24, top - 14)
    parts += [
        _arrow(corner, (corner[0] + 120, corner[1])),
        _text((corner[0] + 132, corner[1] + 5), "i"),
        _arrow((left + 10, top), (left + 10, top + 110)),
        _text((left + 10, top + 128), "j"),
        _text((left + 24, top + rows * edge + 28), "Numbers: j, i. k: from slice to slice.", anchor="start"),
        _text((left + 24, top + rows * edge + 52), "An index names the centre", anchor="start"),
        _text((left + 24, top + rows * edge + 70), "of a voxel; i runs fastest", anchor="start"),
        _text((left + 24, top + rows * edge + 88), "in memory.", anchor="start"),
    ]
    return parts


def _head(middle: Place) -> str:
    x, y = middle
    return (
        f'<path d="M{x - 12} {y - 98}L{x} {y - 116}L{x + 12} {y - 98}z" fill="{_HEAD}" stroke="{_GRID}"/>'
        f'<ellipse cx="{x}" cy="{y}" rx="82" ry="100" fill="{_HEAD}" stroke="{_GRID}"/>'
    )


def _patient_panel(left: float) -> list[str]:
    """A head seen from the feet, as in slice views, with the axes of RAS and LPS."""
    x, y = left + 120, 190
    return [
        _title(left, "patient, in millimetres"),
        _head((x, y)),
        _arrow((x, y), (x - 70, y), _RAS),
        _text((x - 60, y - 10), "R", color=_RAS),
        _arrow((x, y), (x, y - 80), _RAS),
        _text((x - 14, y - 62), "A", color=_RAS),
        _arrow((x, y), (x + 70, y), _LPS),
        _text((x + 60, y - 10), "L", color=_LPS),
        _arrow((x, y), (x, y + 80), _LPS),
        _text((x + 14, y + 72), "P", color=_LPS),
        f'<circle cx="{x}" cy="{y}" r="9" fill="#ffffff" stroke="{_INK}" stroke-width="2"/>',
        f'<path d="M{x - 5} {y - 5}l10 10m-10 0l10 -10" stroke="{_INK}" stroke-width="2"/>',
        _text((x + 14, y + 22), "S", anchor="start"),
        _text((left, 326), "Seen from the feet: S goes into the page.", anchor="start"),
        _text((left, 350), "RAS: this library, NIfTI, 3D Slicer", color=_RAS, anchor="start"),
        _text((left, 370), "LPS: DICOM, ITK and SimpleITK", color=_LPS, anchor="start"),
    ]


def oblique_grid() -> Geometry:
    """The grid of the third panel: turned by 20 degrees about S, otherwise as scanners store it."""
    turn = np.radians(20)
    right, ahead = np.array([np.cos(turn), np.sin(turn), 0]), np.array([-np.sin(turn), np.cos(turn), 0])
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (0, 0, 5), -22 * ahead, -18 * right
    affine[:3, 3] = 1.5 * 22 * ahead + 2 * 18 * right
    return Geometry((1, 4, 5), affine)


def _oblique_panel(left: float) -> list[str]:
    """Voxels of a grid that is turned against the patient, drawn at their places."""
    middle, grid = (left + 140, 190.0), oblique_grid()

    def seen(index: tuple[float, float, float]) -> Place:
        right, ahead, _ = grid.index_to_ras(index)
        return middle[0] - float(right), middle[1] - float(ahead)

    parts = [_title(left, "affine: index to RAS"), _head(middle)]
    for j in range(grid.shape[1]):
        for i in range(grid.shape[2]):
            corners = [seen((0, j + b, i + a)) for a, b in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))]
            outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
            parts += [f'<polygon points="{outline}" fill="none" stroke="{_GRID}"/>', _dot(seen((0, j, i)), _INK, 2)]
    first = seen((0, 0, 0))
    parts += [
        _arrow(first, seen((0, 0, 3)), _RAS),
        _text((seen((0, 0, 3))[0] + 2, seen((0, 0, 3))[1] - 12), "i", color=_RAS),
        _arrow(first, seen((0, 2, 0)), _RAS),
        _text((seen((0, 2, 0))[0] - 12, seen((0, 2, 0))[1] + 6), "j", color=_RAS),
        _dot(first, _LPS, 5),
        _text((left, 326), "The last column of the affine is the place", anchor="start"),
        _text((left, 344), "of the first voxel's centre (orange); the", anchor="start"),
        _text((left, 362), "others are one step along k, j and i.", anchor="start"),
        _text((left, 380), f"This grid is {grid.orientation}, {grid.obliquity_degrees:.0f}° oblique.", anchor="start"),
    ]
    return parts


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture(), encoding="utf-8", newline="\n")
