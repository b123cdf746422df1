"""NIfTI-1 files, read without ITK.

ITK's reader (5.4) fills what a truncated file lacks with zeros, takes NaN voxels for 0 and a voxel size of 0 or NaN for
1 mm, ignores the scale of the sform, takes the voxels of x.nii when asked for x.nii.gz beside it, drops thin axes of
files with channels, and refuses sheared sforms. A wrong place or wrong voxels
must not pass silently, so this reader refuses or keeps all of these. Where a file holds two different positions, the
choice is ITK's, so that 3D Slicer shows the result in the same place.

References:
    nifti1.h of the NIfTI Data Format Working Group (fields, qform, units); itkNiftiImageIO.cxx (sform or qform).
"""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from DeepSegmentLib.data import Geometry, Index
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.checks import check_extent, check_file, check_stored, refused_as_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_LAYOUT = {
    "size": ("i4", 0),
    "dim": ("8i2", 40),
    "datatype": ("i2", 70),
    "pixdim": ("8f4", 76),
    "vox_offset": ("f4", 108),
    "slope": ("f4", 112),
    "intercept": ("f4", 116),
    "units": ("u1", 123),
    "qform_code": ("i2", 252),
    "sform_code": ("i2", 254),
    "quaternion": ("3f4", 256),
    "qoffset": ("3f4", 268),
    "sform": ("(3,4)f4", 280),
    "magic": ("S4", 344),
}
_SIZE = 348
_HEADER = np.dtype(
    {
        "names": list(_LAYOUT),
        "formats": [kind for kind, _ in _LAYOUT.values()],
        "offsets": [offset for _, offset in _LAYOUT.values()],
        "itemsize": _SIZE,
    }
)
_DTYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_REFUSED_TYPES = {
    1: "single bits",
    32: "complex numbers",
    128: "RGB colors",
    1792: "complex numbers",
    2304: "RGBA colors",
}
_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_UNITS_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # metre, millimetre, micrometre; 0 (unknown) counts as mm, as in ITK
_DAMAGED_GZIP = (gzip.BadGzipFile, EOFError, zlib.error)
_CHUNK = 1 << 24


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What a file holds and where.

    Attributes:
        geometry: Place of one frame.
        frames: Number of 3D frames.
        channels: Numbers per voxel.
        dtype: Type of the stored numbers, in the file's byte order.
        offset: Where the voxels start, in bytes of the unpacked file.
        scale: Slope and intercept of the real values; (1, 0) where the file has none.
    """

    geometry: Geometry
    frames: int
    channels: int
    dtype: np.dtype[Any]
    offset: int
    scale: tuple[float, float]


def read_nifti_header(path: Path) -> NiftiHeader:
    """Read and check a header; no voxel is loaded.

    Raises:
        VolumeFileError: The file is not NIfTI-1, or not a volume of real numbers with a sound position.
        ResourceError: The voxels do not fit into memory.
    """
    check_file(path)
    with _opened(path) as file:
        raw = file.read(_SIZE)
    fields = _parse(path, raw)
    frames, channels, shape = _extent(path, fields["dim"])
    dtype = _number_type(path, fields)
    check_extent(path, (frames, channels, *shape), dtype.itemsize)
    with refused_as_file(path):
        geometry = Geometry(shape, _affine(path, fields))
    header = NiftiHeader(geometry, frames, channels, dtype, _offset(path, fields), _scale(fields))
    check_stored(path, frames * _frame_bytes(header), compressed=_is_gzip(path))
    return header


def read_nifti_frames(path: Path, header: NiftiHeader) -> Iterator[NDArray[Any]]:
    """The frames (channel, k, j, i), one at a time.

    Integers stay what they are, unless the file scales them: then they become float32 (float64 from 32 bits on).

    Raises:
        VolumeFileError: The file is damaged or incomplete.
    """
    with _opened(path) as file:
        file.read(header.offset)
        for _ in range(header.frames):
            yield _values(_read_frame(path, file, header), header)
        while file.read(_CHUNK):  # to the end, where gzip has its checksum
            pass


def check_nifti(path: Path) -> None:
    """Check that a file is complete.

    Raises:
        VolumeFileError: It is not.
    """
    for _ in read_nifti_frames(path, read_nifti_header(path)):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            if not _is_gzip(path):
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("IO[bytes]", unpacked)
    except _DAMAGED_GZIP as error:
        raise VolumeFileError(
            f"{path} is damaged or cut off: it cannot be unpacked; copy it again from its source"
        ) from error
    except OSError as error:
        raise VolumeFileError(f"{path} cannot be read: {error.strerror or error}") from error


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _parse(path: Path, raw: bytes) -> Any:
    if len(raw) < _SIZE:
        raise VolumeFileError(
            f"{path} is not a volume that can be read: it has {len(raw)} bytes, a NIfTI header has {_SIZE}"
        )
    for layout in (_HEADER.newbyteorder("<"), _HEADER.newbyteorder(">")):
        fields = np.frombuffer(raw, layout)[0]
        if fields["size"] == 540:
            raise VolumeFileError(f"{path} is a NIfTI-2 file; save it as NIfTI-1 or NRRD")
        if fields["size"] == _SIZE:
            break
    if fields["magic"] == b"ni1":
        raise VolumeFileError(f"{path} is half of a NIfTI pair (.hdr and .img); save it as one .nii file")
    if fields["size"] != _SIZE or fields["magic"] != b"n+1":
        raise VolumeFileError(
            f"{path} is not a volume that can be read: it is no NIfTI-1 file, whatever its name says; export it again"
        )
    return fields


def _extent(path: Path, dim: NDArray[Any]) -> tuple[int, int, Index]:
    """Frames, channels and the shape (k, j, i)."""
    axes = int(dim[0])
    if not 1 <= axes <= 7:
        raise VolumeFileError(f"{path} is damaged: its header says {axes} dimensions")
    if axes < 3:
        raise VolumeFileError(f"{path} is {axes}D, a volume is 3D; stack its slices into one volume")
    i, j, k, frames, channels, *more = (int(n) for n in [*dim[1 : axes + 1], *[1] * (7 - axes)])
    if max(more) > 1 or (frames > 1 and channels > 1):
        raise VolumeFileError(
            f"{path} is {axes}D {dim[1 : axes + 1].tolist()}, a volume is 3D; save its parts one by one"
        )
    return frames, channels, (k, j, i)


def _number_type(path: Path, fields: Any) -> np.dtype[Any]:
    code = int(fields["datatype"])
    if code not in _DTYPES:
        what = _REFUSED_TYPES.get(code, f"numbers of the unknown type {code}")
        raise VolumeFileError(f"{path} holds {what}; save it as a volume of integers or real numbers")
    order = "<" if (np.dtype("i2").str[0] == "<") == fields["dim"].dtype.isnative else ">"
    return np.dtype(order + _DTYPES[code])


def _offset(path: Path, fields: Any) -> int:
    offset = float(fields["vox_offset"])
    if not 0 <= offset <= 1 << 31:
        raise VolumeFileError(f"{path} is damaged: its header says that the voxels start at byte {offset}")
    return max(_SIZE, int(offset))


def _scale(fields: Any) -> tuple[float, float]:
    slope, intercept = float(fields["slope"]), float(fields["intercept"])
    return (slope, intercept) if np.isfinite(slope) and slope != 0 and np.isfinite(intercept) else (1.0, 0.0)


def _affine(path: Path, fields: Any) -> NDArray[np.float64]:
    """Index (k, j, i) to RAS mm."""
    sizes = fields["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise VolumeFileError(f"{path} has the voxel size {sizes.tolist()} mm; correct pixdim in its header")
    affine = np.eye(4)
    affine[:3] = _sform(path, fields, sizes) if _prefers_sform(fields) else _qform(fields, sizes)
    affine[:3] *= _UNITS_MM.get(int(fields["units"]) & 7, 1.0)
    return affine[:, [2, 1, 0, 3]]


def _prefers_sform(fields: Any) -> bool:
    """ITK's choice: the sform where it is the scanner's or the only one, and not sheared when there is another."""
    if fields["sform_code"] <= 0 or fields["qform_code"] <= 0:
        return bool(fields["sform_code"] > 0)
    axes = fields["sform"][:, :3].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        axes /= np.linalg.norm(axes, axis=0)
    return bool(fields["sform_code"] == _SCANNER and np.abs(axes.T @ axes - np.eye(3)).max() < 1e-4)


def _sform(path: Path, fields: Any, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = fields["sform"].astype(np.float64)
    lengths = np.linalg.norm(matrix[:, :3], axis=0)
    if not np.isfinite(matrix).all() or not np.allclose(lengths, sizes, rtol=0.01):
        raise VolumeFileError(
            f"{path} contradicts itself: the voxels of its sform have {lengths.round(4).tolist()} mm, those of pixdim "
            f"{sizes.round(4).tolist()} mm; correct the one that is wrong"
        )
    return np.asarray(matrix)


def _qform(fields: Any, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the quaternion; without one, the axes that ITK assumes: to the left, posterior and superior."""
    if fields["qform_code"] <= 0:
        return np.column_stack([np.diag(sizes * (-1, -1, 1)), np.zeros(3)])
    b, c, d = fields["quaternion"].astype(np.float64)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    a, b, c, d = np.array([a, b, c, d]) / np.linalg.norm([a, b, c, d])
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    sense = -1 if fields["pixdim"][0] < 0 else 1
    return np.column_stack([rotation * sizes * (1, 1, sense), fields["qoffset"].astype(np.float64)])


def _frame_bytes(header: NiftiHeader) -> int:
    k, j, i = header.geometry.shape
    return header.channels * k * j * i * header.dtype.itemsize


def _read_frame(path: Path, file: IO[bytes], header: NiftiHeader) -> NDArray[np.uint8]:
    content = np.empty(_frame_bytes(header), dtype=np.uint8)
    done = 0
    while done < content.size:
        part = file.read(min(_CHUNK, content.size - done))
        if not part:
            raise VolumeFileError(
                f"{path} is cut off: {done} of {content.size} bytes of voxels are there; copy it again from its source"
            )
        content[done : done + len(part)] = np.frombuffer(part, dtype=np.uint8)
        done += len(part)
    return content


def _values(content: NDArray[np.uint8], header: NiftiHeader) -> NDArray[Any]:
    stored = content.view(header.dtype).reshape(header.channels, *header.geometry.shape)
    voxels = stored if stored.dtype.isnative else stored.byteswap(inplace=True).view(header.dtype.newbyteorder())
    if header.scale == (1.0, 0.0):
        return voxels
    wide = voxels.dtype.itemsize > 2 and voxels.dtype != np.float32
    scaled: NDArray[Any] = voxels.astype(np.float64 if wide else np.float32)
    slope, intercept = header.scale
    np.multiply(scaled, slope, out=scaled)
    np.add(scaled, intercept, out=scaled)
    return scaled
