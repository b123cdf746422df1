"""What a network finds in a few held-out cases while it is trained, as a picture: its outlines beside the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.service.preview import INK, PAPER, mark_of_origin, outline, to_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.training.cases.prepared_case import PreparedCase

MOST_CASES = 3
_EDGE_PX = 208
_TRUTH, _FOUND = (80, 220, 100), (255, 120, 40)


class SamplePictures:
    """Draws the first cases that the network is tried out on, one beside the other.

    Of each case the slice is shown in which most of its truth lies, along the network's first axis: outlines of the
    truth (green) and above them those of the network (orange).

    Args:
        path: Of the picture.
        output: "labels" or "regions", as of the model.
        orientation: Where the network's axes (i, j, k) point to, such as "RAS", by which the patient's right is shown
            on the left and front up; empty to show its slices as they are.
    """

    def __init__(self, path: Path, output: str, orientation: str = "") -> None:
        self._path, self._output = path, output
        letters = orientation or "LPS"
        self._way = np.s_[..., :: -1 if letters[1] in "AS" else 1, :: -1 if letters[0] in "RA" else 1]
        self._pictures: list[Image.Image] = []

    def add(self, case: PreparedCase, answer: NDArray[Any]) -> None:
        """Draw a case; further ones than `MOST_CASES` are not drawn.

        Args:
            case: As the network sees it.
            answer: Channel numbers (1, k, j, i), or a layer of 0 and 1 for each region.
        """
        if len(self._pictures) < MOST_CASES:
            self._pictures.append(self._drawn(case, answer))

    def write(self) -> None:
        """Write the picture.

        Raises:
            VolumeFileError: It cannot be written.
        """
        if not self._pictures:
            return
        sheet = Image.new("RGB", (len(self._pictures) * (_EDGE_PX + 8) - 8, _EDGE_PX), PAPER)
        for n, picture in enumerate(self._pictures):
            sheet.paste(picture, (n * (_EDGE_PX + 8), 0))
        with atomic_path(self._path) as fresh:
            sheet.save(fresh, format="PNG", pnginfo=mark_of_origin())

    def _drawn(self, case: PreparedCase, answer: NDArray[Any]) -> Image.Image:
        k = int(np.count_nonzero(case.labels, axis=(0, 2, 3)).argmax())
        gray, truth, found = (each[:, k][self._way] for each in (case.image, case.labels, answer))
        size = _size(case)
        picture = Image.fromarray(to_bytes(gray[0], np.percentile(gray[0], [0.5, 99.5]))).resize(
            size, Image.Resampling.BICUBIC
        )
        framed = Image.new("RGB", (_EDGE_PX, _EDGE_PX), PAPER)
        corner = (_EDGE_PX - size[0]) // 2, (_EDGE_PX - size[1]) // 2
        framed.paste(picture.convert("RGB"), corner)
        for labels, colour in ((truth, _TRUTH), (found, _FOUND)):
            for mask in self._masks(labels):
                outline(framed, mask, colour, size=size, corner=corner)
        ImageDraw.Draw(framed).text((6, 4), case.name, fill=INK)
        return framed

    def _masks(self, labels: NDArray[Any]) -> list[NDArray[np.bool_]]:
        """Each segment of a slice (layer, j, i)."""
        if self._output == "regions":
            return [layer > 0 for layer in labels if layer.any()]
        return [labels[0] == value for value in np.unique(labels[0]) if value]


def _size(case: PreparedCase) -> tuple[int, int]:
    """Width and height in pixels, in true proportions."""
    height, width = (n * step for n, step in zip(case.shape[1:], case.spacing_mm[1:], strict=True))
    scale = _EDGE_PX / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))
