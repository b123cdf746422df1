"""Headers of NIfTI-1 and NIfTI-2 files in either byte order, read without ITK.

ITK's reader (5.4) fills what a truncated file lacks with zeros, takes NaN voxels for 0 and a voxel size of 0 or NaN for
1 mm, ignores the scale of the sform, takes the voxels of x.nii when asked for x.nii.gz beside it, drops thin axes of
files with channels, and refuses sheared sforms. A wrong place or wrong voxels must not pass silently, so this reader
refuses or keeps all of these. Where a file holds two different positions, the choice is ITK's, so that 3D Slicer shows
the result in the same place.

References:
    nifti1.h and nifti2.h of the NIfTI Data Format Working Group (fields, qform, units); itkNiftiImageIO.cxx (sform or
    qform).
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Geometry, Index
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import open_file
from DeepSegmentLib.files.volume_checks import check_extent, refused_as_file

from .header import Storage, VolumeHeader
from .unpacking import ByteSource, DamagedError, PlainBytes, UnpackedBytes
from .voxels import check_storage, read_frames, value_type

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def _layout(size: int, fields: dict[str, tuple[str, int]]) -> np.dtype[Any]:
    kinds, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": list(kinds), "offsets": list(offsets), "itemsize": size})


_NIFTI_1 = _layout(
    348,
    {
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
    },
)
_NIFTI_2 = _layout(
    540,
    {
        "size": ("i4", 0),
        "magic": ("S8", 4),
        "datatype": ("i2", 12),
        "dim": ("8i8", 16),
        "pixdim": ("8f8", 104),
        "vox_offset": ("i8", 168),
        "slope": ("f8", 176),
        "intercept": ("f8", 184),
        "qform_code": ("i4", 344),
        "sform_code": ("i4", 348),
        "quaternion": ("3f8", 352),
        "qoffset": ("3f8", 376),
        "sform": ("(3,4)f8", 400),
        "units": ("i4", 500),
    },
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
_FLAGS = 4  # bytes behind the header, which tell whether there are extensions
_LEAST_SQUARE = 1e-7  # of nifti1_io: less is what rounding to float32 leaves of a half turn
_ROUNDING = 1e-6  # of the lengths of an sform's axes in float32; pixdim has them as they were
_UNITS_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # metre, millimetre, micrometre; 0 (unknown) counts as mm, as in ITK


def read_nifti_header(path: Path) -> VolumeHeader:
    """Read and check a header; no voxel is loaded.

    Raises:
        VolumeFileError: The file is not NIfTI, or not a volume of real numbers with a sound position.
        ResourceError: The voxels do not fit into memory.
    """
    raw, packed = _read_raw(path)
    fields = _parse(path, raw)
    frames, channels, shape = _extent(path, fields["dim"])
    dtype, scale = _number_type(path, fields), _scale(fields)
    check_extent(path, (frames, channels, *shape), value_type(dtype, scale).itemsize)
    with refused_as_file(path):
        sizes = _sizes(path, fields)
        geometry = Geometry(shape, _affine(path, fields, sizes))
        notes = _notes(path, fields, sizes, shape)
    offset = _offset(path, fields)
    start, skip = (0, offset) if packed else (offset, 0)
    storage = Storage((path,), "gzip" if packed else "raw", "tkji" if channels == 1 else "ckji", start, skip=skip)
    header = VolumeHeader(geometry, frames, channels, dtype, storage, scale, notes=notes)
    check_storage(path, header)
    return header


def check_nifti(path: Path) -> None:
    """Check that a file is complete.

    Raises:
        VolumeFileError: It is not.
    """
    for _ in read_frames(path, read_nifti_header(path)):
        pass


def _read_raw(path: Path) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether they had to be."""
    raw = bytearray(_NIFTI_2.itemsize)
    with open_file(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        source: ByteSource = UnpackedBytes(file, "gzip") if packed else PlainBytes(file)
        try:
            count = source.readinto(memoryview(raw))
        except DamagedError as error:
            raise VolumeFileError(f"{path} is damaged or cut off: {error}; copy it again from its source") from error
    return bytes(raw[:count]), packed


def _parse(path: Path, raw: bytes) -> Any:
    """The fields of a header in the machine's byte order, but for the type of the numbers."""
    if len(raw) < _NIFTI_1.itemsize:
        raise VolumeFileError(
            f"{path} is not a volume that can be read: it has {len(raw)} bytes, a NIfTI header has {_NIFTI_1.itemsize}"
        )
    for layout in (_NIFTI_1, _NIFTI_2):
        for swapped in (layout.newbyteorder("<"), layout.newbyteorder(">")):
            fields = np.frombuffer(raw[: layout.itemsize].ljust(layout.itemsize, b"\0"), swapped)[0]
            if fields["size"] == layout.itemsize:
                _check_magic(path, bytes(fields["magic"]), bytes(raw[344:348]))
                return fields
    _check_magic(path, b"", bytes(raw[344:348]))
    return fields


def _check_magic(path: Path, magic: bytes, of_nifti_1: bytes) -> None:
    if magic[:3] in (b"ni1", b"ni2") or of_nifti_1 == b"ni1\0":
        raise VolumeFileError(f"{path} is half of a NIfTI pair (.hdr and .img); save it as one .nii file")
    if magic[:3] not in (b"n+1", b"n+2"):
        raise VolumeFileError(
            f"{path} is not a volume that can be read: it is no NIfTI file, whatever its name says; export it again"
        )


def _extent(path: Path, dim: NDArray[Any]) -> tuple[int, int, Index]:
    """Frames, channels and the shape (k, j, i)."""
    axes = int(dim[0])
    if not 1 <= axes <= 7:
        raise VolumeFileError(f"{path} is damaged: its header says {axes} dimensions")
    if axes < 3:
        raise VolumeFileError(f"{path} is {axes}D, a volume is 3D; stack its slices into one volume")
    i, j, k, *rest = (int(n) for n in [*dim[1 : axes + 1], *[1] * (7 - axes)])
    frames, channels, *more = (n or 1 for n in rest)  # 0 is 1 there, as in nifti1_io
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
    least = int(fields["size"]) + _FLAGS
    if not 0 <= offset <= 1 << 62:
        raise VolumeFileError(f"{path} is damaged: its header says that the voxels start at byte {offset}")
    if offset < least:
        raise VolumeFileError(
            f"{path} says that its voxels start at byte {offset:g}, within its header, and programs read it in "
            f"different ways; set vox_offset to {least}, or export it again"
        )
    return int(offset)


def _scale(fields: Any) -> tuple[float, float]:
    slope, intercept = float(fields["slope"]), float(fields["intercept"])
    return (slope, intercept) if np.isfinite(slope) and slope != 0 and np.isfinite(intercept) else (1.0, 0.0)


def _sizes(path: Path, fields: Any) -> NDArray[np.float64]:
    sizes = fields["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(sizes) & (sizes > 0)).all():
        raise VolumeFileError(f"{path} has the voxel size {sizes.tolist()} mm; correct pixdim in its header")
    return np.asarray(sizes)


def _affine(path: Path, fields: Any, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Index (k, j, i) to RAS mm."""
    affine = np.eye(4)
    affine[:3] = _sform(path, fields, sizes) if _prefers_sform(fields) else _qform(fields, sizes)
    affine[:3] *= _unit_mm(fields)
    return affine[:, [2, 1, 0, 3]]


def _unit_mm(fields: Any) -> float:
    return _UNITS_MM.get(int(fields["units"]) & 7, 1.0)


def _notes(path: Path, fields: Any, sizes: NDArray[np.float64], shape: Index) -> tuple[str, ...]:
    """Which place was taken, where the file holds two that differ by more than half a voxel somewhere."""
    if fields["sform_code"] <= 0 or fields["qform_code"] <= 0:
        return ()
    corners = np.array([[*corner, 1] for corner in product(*((0, extent - 1) for extent in shape[::-1]))])
    with np.errstate(all="ignore"):
        apart = np.linalg.norm(corners @ (fields["sform"].astype(np.float64) - _qform(fields, sizes)).T, axis=1).max()
    if not np.isfinite(apart) or apart <= sizes.min() / 2:
        return ()
    taken, other = ("sform", "qform") if _prefers_sform(fields) else ("qform", "sform")
    return (
        f"{path.name} holds two positions that are up to {apart * _unit_mm(fields):.1f} mm apart: that of its {taken} "
        f"was taken, as 3D Slicer does, and not that of its {other}.",
    )


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
    rounded = np.abs(lengths - sizes) <= _ROUNDING * sizes
    matrix[:, :3] *= np.where(rounded, sizes / lengths, 1)
    return np.asarray(matrix)


def _qform(fields: Any, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the quaternion; without one, the axes that ITK assumes: to the left, posterior and superior."""
    if fields["qform_code"] <= 0:
        return np.column_stack([np.diag(sizes * (-1, -1, 1)), np.zeros(3)])
    b, c, d = fields["quaternion"].astype(np.float64)
    square = 1 - b * b - c * c - d * d
    a = np.sqrt(square) if square >= _LEAST_SQUARE else 0.0
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
