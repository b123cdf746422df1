"""What a DICOM file says of its image and of the place of each frame; the pixels are found, not read.

References:
    DICOM PS3.10 section 7.1 (preamble, file meta information), PS3.4 section B.5 (SOP classes), PS3.3 C.7.6.2 (image
    plane), C.7.6.16 (functional groups of enhanced images), PS3.5 A.4 (fragments of encapsulated pixels).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import open_file

from . import tags
from .content import DamagedError, ForeignError, Inflated, Stored, refusal
from .elements import ITEM, SEQUENCE_END, UNDEFINED, Elements, Syntax, looks_explicit, looks_like_elements, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

    from .content import Content

DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
UNCOMPRESSED = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", DEFLATED, BIG_ENDIAN})

# CT, MR, nuclear medicine, PET, cone-beam and rotational X-ray; of MR not spectroscopy.
_VOLUME_CLASS = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(2|4(?!\.2$)|20|128|130|13\.1)(\.|$)")
_MOST_PIXELS = 8192 * 8192  # of a frame: four times the largest slices we know of (micro-CT)
_MOST_FRAMES = 100_000
_MOST_PADDING = 1 << 16  # bytes of zeros behind the pixels
# Names of what tells volumes of one series apart, and its elements in slices of their own.
_SLICE_KEYS = {
    "image type": tags.IMAGE_TYPE,
    "acquisition": tags.ACQUISITION,
    "echo": tags.ECHO_NUMBER,
    "echo time": tags.ECHO_TIME,
    "time point": tags.TEMPORAL_POSITION,
    "b-value": tags.B_VALUE,
    "trigger time": tags.TRIGGER_TIME,
    "inversion time": tags.INVERSION_TIME,
}
# The same in functional groups: the sequence and the element in it.
_FRAME_KEYS = {
    "stack": (tags.FRAME_CONTENT, tags.STACK),
    "acquisition": (tags.FRAME_CONTENT, tags.FRAME_ACQUISITION),
    "echo time": (tags.MR_ECHO, tags.EFFECTIVE_ECHO),
    "time point": (tags.FRAME_CONTENT, tags.TEMPORAL_INDEX),
    "time": (tags.TEMPORAL, tags.TIME_OFFSET),
    "b-value": (tags.MR_DIFFUSION, tags.B_VALUE),
    "trigger time": (tags.CARDIAC, tags.TRIGGER_DELAY),
}
_TEXT_KEYS = frozenset({tags.IMAGE_TYPE, tags.STACK})


@dataclass(frozen=True)
class Series:
    """Which series a file belongs to.

    Attributes:
        uid: Series Instance UID; empty in some anonymised files.
        number: Series Number, or "".
        description: Series Description.
        modality: "CT", "MR" and so on.
        frame_of_reference: Frame of Reference UID.
    """

    uid: str
    number: str
    description: str
    modality: str
    frame_of_reference: str


@dataclass(frozen=True, eq=False)
class Image:
    """The image of a file: one frame or several of the same kind.

    Attributes:
        path: The file.
        series: Where it belongs.
        unfit: Why it is no part of a volume; empty where it is.
        syntax: Transfer Syntax UID.
        start: Of the data set; deflated where the syntax says so.
        size: Columns and rows.
        frames: How many.
        samples: Numbers of each pixel.
        photometric: Photometric Interpretation.
        bits: Allocated, stored, and the highest.
        signed: Whether the numbers may be negative.
        pixels: First byte and length of the pixels; of encapsulated ones those of each fragment, the table of offsets
            first.
        words: Whether the pixels are written in words of 16 bits.
        table: Whether a table instead of slope and intercept gives the units.
        localizer: Whether it is an overview for planning.
    """

    path: Path
    series: Series
    unfit: str
    syntax: str
    start: int
    size: tuple[int, int]
    frames: int
    samples: int
    photometric: str
    bits: tuple[int, int, int]
    signed: bool
    pixels: tuple[tuple[int, int], ...]
    words: bool
    table: bool
    localizer: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame that is not compressed."""
        return self.size[0] * self.size[1] * self.samples * self.bits[0] // 8

    def content(self, file: IO[bytes]) -> Content:
        """The bytes that the places of its pixels count."""
        return Inflated(file, self.start) if self.syntax == DEFLATED else Stored(file)


@dataclass(frozen=True, eq=False)
class Slice:
    """A frame of an image and its place; what is missing has length 0.

    Attributes:
        image: Where it is.
        frame: From 0.
        position: Centre of its first pixel in LPS mm.
        axes: Directions of rows and columns in LPS, six numbers.
        pixel_mm: Between rows, between columns.
        slope: Of the pixels in the units of the modality; 1 where the file has none.
        intercept: Likewise; 0 where the file has none.
        rescaled: Whether the file has a slope and whether an intercept.
        keys: What tells volumes of one series apart, by name.
    """

    image: Image
    frame: int
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    pixel_mm: NDArray[np.float64]
    slope: float
    intercept: float
    rescaled: tuple[bool, bool]
    keys: Mapping[str, str]


def is_dicom(path: Path) -> bool:
    """Whether a plain file has DICOM's mark, or begins with its elements where it has none."""
    with open_file(path) as file:
        head = file.read(512)
    return head[128:132] == b"DICM" or looks_like_elements(head)


def read_header(path: Path) -> list[Slice] | None:
    """The slices of a file; one alone, without a place, where its image is unfit; None where it is no image.

    Raises:
        VolumeFileError: It is an image of a volume, or has lost what tells, and is damaged.
    """
    with open_file(path) as file:
        head = file.read(512)
        marked = head[128:132] == b"DICM"
        if not marked and not looks_like_elements(head):
            return None
        try:
            return _Reader(path, file, 132 if marked else 0, sure=marked).slices()
        except DamagedError as error:
            raise refusal(path, error) from error
        except OSError as error:
            raise VolumeFileError(f"{path} cannot be read: {error.strerror or error}; copy it again") from error


class _Reader:
    """One file on its way to slices."""

    def __init__(self, path: Path, file: IO[bytes], start: int, *, sure: bool) -> None:
        self._path, self._sure = path, sure
        stored = Stored(file)
        self._meta = Elements(stored, Syntax(implicit=not looks_explicit(stored, start)))
        self._start = self._meta.scan(start, only_group=2)
        self._syntax = self._meta.word(tags.TRANSFER_SYNTAX)
        self._content: Content = Inflated(file, self._start) if self._syntax == DEFLATED else stored
        big = self._syntax == BIG_ENDIAN or (not self._syntax and stored.at(self._start, 1) == b"\0")
        self._syntax = self._syntax or (BIG_ENDIAN if big else "1.2.840.10008.1.2.1")
        explicit = looks_explicit(self._content, self._start)
        self._all = Elements(self._content, Syntax(implicit=not explicit, big_endian=big))

    def slices(self) -> list[Slice] | None:
        try:
            image = self._image(self._all.scan(self._start))
            return [_nowhere(image)] if image.unfit else self._slices(image)
        except DamagedError:
            if self._is_volume():
                raise
            return None

    def _is_volume(self) -> bool:
        """Whether its class makes volumes; also where a marked file has lost what tells."""
        kind = self._class()
        return bool(_VOLUME_CLASS.match(kind)) if kind else self._sure

    def _class(self) -> str:
        return self._all.word(tags.SOP_CLASS) or self._meta.word(tags.MEDIA_CLASS)

    def _image(self, place: int) -> Image:
        get = self._all
        size = get.whole(tags.COLUMNS), get.whole(tags.ROWS)
        frames = max(get.whole(tags.FRAMES), 1)
        allocated = get.whole(tags.BITS_ALLOCATED)
        stored = get.whole(tags.BITS_STORED) or allocated
        high = get.whole(tags.HIGH_BIT) if tags.HIGH_BIT in get else stored - 1
        if not size[0] * size[1] or not tags.PIXEL_TAGS & get.found.keys():
            raise DamagedError("it has no image")
        if size[0] * size[1] > _MOST_PIXELS or frames > _MOST_FRAMES:
            raise DamagedError(f"its header claims {frames} frames of {size[0]} x {size[1]} pixels")
        pixels = get.found.get(tags.PIXELS)
        if pixels is not None and not (0 < stored <= high + 1 <= allocated <= 64):
            raise DamagedError(f"its header claims {stored} bits up to bit {high} in {allocated}")
        image = Image(
            path=self._path,
            series=self._series(),
            unfit=self._unfit(frames),
            syntax=self._syntax,
            start=self._start,
            size=size,
            frames=frames,
            samples=get.whole(tags.SAMPLES) or 1,
            photometric=get.word(tags.PHOTOMETRIC),
            bits=(allocated, stored, high),
            signed=get.whole(tags.SIGNED) == 1,
            pixels=(),
            words=pixels is not None and pixels.vr == b"OW",
            table=any(True for _ in get.items(tags.MODALITY_TABLE)),
            localizer="LOCALIZER" in get.words(tags.IMAGE_TYPE),
        )
        return image if image.unfit else _with_pixels(image, self._pixels(image, place))

    def _series(self) -> Series:
        get = self._all
        charset = get.words(tags.CHARACTER_SET)
        return Series(
            get.word(tags.SERIES_UID),
            get.word(tags.SERIES_NUMBER),
            read_text(get, tags.SERIES_DESCRIPTION, charset),
            get.word(tags.MODALITY),
            get.word(tags.FRAME_OF_REFERENCE),
        )

    def _unfit(self, frames: int) -> str:
        """Why the image makes no volume."""
        get, kind = self._all, self._class()
        placed = tags.FRAME_GROUPS in get or (frames == 1 and len(get.numbers(tags.POSITION)) == 3)
        if self._is_volume():
            several = f"a multi-frame image of {frames} frames without a place for each; convert it to NIfTI first"
            return several if frames > 1 and tags.FRAME_GROUPS not in get else ""
        if placed and tags.FRAME_GROUPS not in get and tags.PIXELS in get:
            return ""
        return f"an image of another kind ({_class_name(kind)}, {frames} frame{'s'[: frames > 1]})"

    def _pixels(self, image: Image, place: int) -> tuple[tuple[int, int], ...]:
        """Where the pixels are; all of them must be there."""
        element = self._all.found.get(tags.PIXELS)
        if element is None:
            raise ForeignError("its pixels are no integers but floating-point numbers; convert it to NIfTI first")
        if element.length == UNDEFINED:
            return _fragments(self._content, place)
        needed = image.frame_bytes * image.frames
        if not self._content.holds(place + element.length) or element.length < needed:
            raise VolumeFileError(f"{self._path} is cut off: its pixel data is not complete; copy it again")
        rest = element.length - needed
        if rest > _MOST_PADDING or (rest > 1 and self._content.at(place + needed, rest).strip(b"\0")):
            raise DamagedError(f"it has {element.length} bytes of pixels where its header claims {needed}")
        return ((place, needed),)

    def _slices(self, image: Image) -> list[Slice]:
        if tags.FRAME_GROUPS not in self._all:
            keys = {name: _key(self._all, tag) for name, tag in _SLICE_KEYS.items() if tag in self._all}
            return [_slice(image, 0, dict.fromkeys(_PLACES, self._all), keys)]
        shared = self._all.item(tags.SHARED_GROUPS)
        common = {tag: shared.item(tag) for tag in _GROUPS if tag in shared}
        slices = [self._frame(image, n, item, common) for n, item in enumerate(self._all.items(tags.FRAME_GROUPS))]
        if len(slices) != image.frames:
            raise DamagedError(f"it describes {len(slices)} frames and claims {image.frames}")
        return slices

    def _frame(self, image: Image, n: int, item: Elements, common: Mapping[int, Elements]) -> Slice:
        groups = {**common, **{tag: item.item(tag) for tag in _GROUPS if tag in item}}
        keys = {
            name: _key(groups[group], tag)
            for name, (group, tag) in _FRAME_KEYS.items()
            if group in groups and tag in groups[group]
        }
        for group in (tags.MR_FRAME_TYPE, tags.CT_FRAME_TYPE, tags.PET_FRAME_TYPE):
            if group in groups:
                keys["image type"] = "\\".join(groups[group].words(tags.FRAME_TYPE))
        return _slice(image, n, groups, {"file": image.path.name, **keys})


_PLACES = (tags.PLANE_POSITION, tags.PLANE_ORIENTATION, tags.PIXEL_MEASURES, tags.PIXEL_VALUES)
_GROUPS = (
    *_PLACES, tags.FRAME_CONTENT, tags.MR_ECHO, tags.MR_DIFFUSION, tags.CARDIAC, tags.TEMPORAL, tags.MR_FRAME_TYPE,
    tags.CT_FRAME_TYPE, tags.PET_FRAME_TYPE,
)  # fmt: skip


def _slice(image: Image, frame: int, groups: Mapping[int, Elements], keys: Mapping[str, str]) -> Slice:
    position, orientation, pixel_mm = (
        np.array(groups[group].numbers(tag) if group in groups else ())
        for group, tag in zip(_PLACES, (tags.POSITION, tags.ORIENTATION, tags.PIXEL_SPACING), strict=False)
    )
    values = groups.get(tags.PIXEL_VALUES)
    slope = values.number(tags.SLOPE) if values else None
    intercept = values.number(tags.INTERCEPT) if values else None
    if slope == 0:
        raise ForeignError(
            "its rescale slope is 0, which makes all its pixels the same; correct it or convert it first"
        )
    rescaled = slope is not None, intercept is not None
    slope = 1.0 if slope is None else slope
    return Slice(image, frame, position, orientation, pixel_mm, slope, intercept or 0.0, rescaled, keys)


def _nowhere(image: Image) -> Slice:
    nothing: NDArray[np.float64] = np.zeros(0)
    return Slice(image, 0, nothing, nothing, nothing, 1.0, 0.0, (False, False), {})


def _key(elements: Elements, tag: int) -> str:
    """The value of an element as text, numbers without trailing zeros."""
    try:
        numbers = () if tag in _TEXT_KEYS else elements.numbers(tag)
    except DamagedError:  # it only tells volumes apart
        numbers = ()
    return "\\".join([f"{number:g}" for number in numbers] or elements.words(tag))


def _with_pixels(image: Image, pixels: tuple[tuple[int, int], ...]) -> Image:
    return replace(image, pixels=pixels)


def _fragments(content: Content, place: int) -> tuple[tuple[int, int], ...]:
    """Where encapsulated pixels are, up to the mark that ends them."""
    found: list[tuple[int, int]] = []
    while len(found) <= _MOST_FRAMES:
        head = content.at(place, 8)
        tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:8], "little")
        if len(head) == 8 and tag == SEQUENCE_END:
            return tuple(found)
        if len(head) < 8 or tag != ITEM or not content.holds(place + 8 + length):
            raise DamagedError("its compressed pixels have no end")
        found.append((place + 8, length))
        place += 8 + length
    raise DamagedError(f"its pixels are in more than {_MOST_FRAMES} pieces")


def _class_name(uid: str) -> Any:
    import pydicom.uid

    return pydicom.uid.UID(uid, validation_mode=0).name if uid else "of no class"
