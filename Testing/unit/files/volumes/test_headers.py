"""Headers of NRRD and MetaImage made by hand: read as SimpleITK reads them, but for what kills it."""

import bz2
import gzip
import os
import time

import nrrd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import volumes
from volume_files import HandMade, found_by_simpleitk, hand_made_metaimage, hand_made_nrrd

from DeepSegmentLib.errors import DeepSegmentError, ResourceError, VolumeFileError
from DeepSegmentLib.files.volumes import read_frames, read_volume
from DeepSegmentLib.files.volumes.data_files import numbered_names
from DeepSegmentLib.files.volumes.nrrd import read_nrrd_header

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _check_agreement(folder, made: HandMade):
    """Whatever SimpleITK reads, we read in the same way, but what has no volume or no place."""
    for old in folder.iterdir():
        old.unlink()
    path = made.write(folder)
    theirs = found_by_simpleitk(path)
    try:
        frames = list(read_frames(path))
    except VolumeFileError as error:
        assert theirs is None or "axes" in str(error), error  # noqa: PT017
        return
    assert theirs is not None
    numbers, steps, origin = theirs
    lps = np.diag([-1, -1, 1, 1]) @ frames[0].geometry.affine
    assert np.array_equal(np.stack([frame.voxels for frame in frames]), numbers)
    assert frames[0].voxels.dtype == numbers.dtype
    assert np.allclose(lps[:3, 2::-1], steps, atol=1e-9)
    assert np.allclose(lps[:3, 3], origin, atol=1e-9)


@several_files
@given(made=hand_made_nrrd())
def test_nrrd_agrees_with_simpleitk(tmp_path, made):
    _check_agreement(tmp_path, made)


@several_files
@given(made=hand_made_metaimage())
def test_metaimage_agrees_with_simpleitk(tmp_path, made):
    _check_agreement(tmp_path, made)


NRRD = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\n"
META_END = "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
VOXELS = bytes(range(8))


def _nrrd(folder, more="", data=VOXELS, start=NRRD, name="a.nrrd"):
    path = folder / name
    content = f"{start}{more}\n" if name.endswith(".nrrd") else start + more
    path.write_bytes(content.encode("utf-8", "surrogateescape") + data)
    return path


def _meta(folder, more="", data=VOXELS, start=META, end=META_END):
    path = folder / "a.mha"
    path.write_bytes((start + more + end).encode("utf-8", "surrogateescape") + data)
    return path


@several_files
@given(volume=volumes(most_channels=1), encoding=st.sampled_from(["raw", "gzip", "bzip2", "ascii"]))
def test_what_pynrrd_writes_is_read(tmp_path, volume, encoding):
    path = tmp_path / "a.nrrd"
    ras = volume.geometry.affine
    fields = {"space": "RAS", "space directions": ras[:3, 2::-1].T, "space origin": ras[:3, 3], "encoding": encoding}
    numbers = volume.voxels[0].round()
    nrrd.write(str(path), numbers, fields, index_order="C")
    again = read_volume(path)
    assert np.array_equal(again.voxels[0], numbers)
    assert again.voxels.dtype == numbers.dtype
    assert again.geometry.is_close(volume.geometry, tolerance_mm=1e-6)


def test_bzip2_of_several_streams(tmp_path):
    data = bz2.compress(VOXELS[:3]) + bz2.compress(VOXELS[3:])
    path = _nrrd(tmp_path, data=data, start=NRRD.replace("raw", "bz2"))
    assert read_volume(path).voxels.tobytes() == VOXELS


@pytest.mark.parametrize("kind", ["i8", "u8"])
def test_written_numbers_are_exact(tmp_path, kind):
    values = np.array([np.iinfo(kind).min, np.iinfo(kind).max - 1, np.iinfo(kind).max, 0, 1, 2, 3, 4], kind)
    start = NRRD.replace("uchar", {"i8": "int64", "u8": "uint64"}[kind]).replace("raw", "text")
    path = _nrrd(tmp_path, data=" ".join(map(str, values)).encode(), start=start)
    assert np.array_equal(read_volume(path).voxels.ravel(), values)


@pytest.mark.parametrize(
    "data", [b"1 2 3 4 5 6 7", b"1 2 3 4 5 6 7 256", b"1 2 3 4 5 6 7 -1", b"1 2 3 4 5 6 7 x", b"nan " * 8, b"9" * 9999]
)
@pytest.mark.parametrize("make", [_nrrd, _meta])
def test_numbers_that_do_not_fit_are_refused(tmp_path, make, data):
    if make is _nrrd:
        path = _nrrd(tmp_path, data=data, start=NRRD.replace("raw", "ascii"))
    else:
        path = _meta(tmp_path, "BinaryData = False\n", data)
    with pytest.raises(VolumeFileError, match=r"a\.(nrrd|mha) is (damaged|cut off)"):
        read_volume(path)


def test_written_numbers_of_metaimage(tmp_path):
    path = _meta(tmp_path, "BinaryData = False\n", b"0 1 2 3\n4 5 6e0 7.9")
    assert read_volume(path).voxels.tobytes() == VOXELS


def test_comments_of_metaimage_are_passed_over(tmp_path):
    path = tmp_path / "a.mha"
    path.write_bytes(
        f"# made by hand\n{META}ElementType = MET_UCHAR\n# here: x\nElementDataFile = LOCAL\n".encode() + VOXELS
    )
    assert read_volume(path).voxels.tobytes() == VOXELS


def test_texts_that_are_no_utf_8_become_replacement_characters(tmp_path):
    path = _nrrd(tmp_path, "caf\udce9:=\udcff\0\\n\\\\n\nb:=1\nb:=2\n")
    metadata = read_nrrd_header(path).metadata
    assert metadata == {"caf\ufffd": "\ufffd\ufffd\n\\n", "b": "2"}


HOSTILE_NRRD = {
    "a type of 5,000 letters": NRRD.replace("uchar", "u" * 5000),
    "100 dimensions": NRRD.replace("dimension: 3", "dimension: 100"),
    "-1 dimensions": NRRD.replace("dimension: 3", "dimension: -1"),
    "sizes beyond 64 bits": NRRD.replace("2 2 2", "9" * 30 + " 2 2"),
    "negative sizes": NRRD.replace("2 2 2", "-2 -2 2"),
    "sizes of no number": NRRD.replace("2 2 2", "2 2 two"),
    "too few sizes": NRRD.replace("2 2 2", "2 2"),
    "a field twice": NRRD + "type: uchar\n",
    "a line of nothing known": NRRD + "hello world\n",
    "an endless line": NRRD + "x" * (3 << 20),
    "an unknown kind": NRRD + "kinds: domain domain blob\n",
    "an unknown space": NRRD + "space: nowhere\n",
    "a space of 9,999 dimensions": NRRD + "space dimension: 9999\n",
    "vectors of other lengths": NRRD + "space: LPS\nspace directions: (1,0) (0,1,0) (0,0,1)\n",
    "vectors of no number": NRRD + "space: LPS\nspace directions: (1,0,x) (0,1,0) (0,0,1)\n",
    "too few vectors": NRRD + "space: LPS\nspace directions: (1,0,0) (0,1,0)\n",
    "a vector that is missing": NRRD + "space: LPS\nspace directions: none (0,1,0) (0,0,1)\n",
    "spacings in a space": NRRD + "space: LPS\nspacings: 1 1 1\n",
    "an origin of infinity": NRRD + "space: LPS\nspace origin: (inf,0,0)\n",
    "a byte skip beyond the end": NRRD + "byte skip: 99999999999\n",
    "a byte skip before the start": NRRD + "byte skip: -99999999999\n",
    "a line skip beyond the end": NRRD + "line skip: 999999999999\n",
    "an unknown encoding": NRRD.replace("raw", "zstd"),
    "no byte order": NRRD.replace("uchar", "short"),
    "blocks": NRRD.replace("uchar", "block") + "block size: 8\n",
    "a mirrored space with time": NRRD.replace("3\nsizes: 2", "4\nsizes: 1 2") + "space: RAST\n",
    "two vectors": NRRD.replace("3\nsizes: 2", "5\nsizes: 1 1 2") + "kinds: vector vector domain domain domain\n",
    "time first": NRRD + "kinds: time domain domain\n",
}


@pytest.mark.parametrize("name", HOSTILE_NRRD)
def test_a_hostile_nrrd_header_is_refused(tmp_path, name):
    with pytest.raises(VolumeFileError, match=r"a\.nrrd") as caught:
        read_volume(_nrrd(tmp_path, start=HOSTILE_NRRD[name]))
    assert len(str(caught.value)) < 600 + len(str(tmp_path))


HOSTILE_META = {
    "100 dimensions": META.replace("NDims = 3", "NDims = 100"),
    "-1 dimensions": META.replace("NDims = 3", "NDims = -1"),
    "65536 dimensions": META.replace("NDims = 3", "NDims = 65536"),
    "no dimensions": META.replace("NDims = 3\n", ""),
    "sizes beyond 64 bits": META.replace("2 2 2", "9" * 30 + " 2 2"),
    "negative sizes": META.replace("2 2 2", "-2 -2 2"),
    "too many sizes": META.replace("2 2 2", "2 2 2 2"),
    "an endless line": META + "x" * (3 << 20),
    "a matrix of three numbers": META + "TransformMatrix = 1 0 0\n",
    "an origin of no number": META + "Offset = 1 2 x\n",
    "no channel": META + "ElementNumberOfChannels = 0\n",
    "a billion channels": META + "ElementNumberOfChannels = 1000000000\n",
    "an unknown type": META + "ElementType = " + "X" * 5000 + "\nElementDataFile = LOCAL\n",
    "a header size beyond the end": META + "HeaderSize = 99999999999\n",
    "a header size of -2": META + "HeaderSize = -2\n",
    "a packed size below 0": META + "CompressedData = True\nCompressedDataSize = -5\n",
    "a packed size too large": META + "CompressedData = True\nCompressedDataSize = 99999999999\n",
    "a list without names": META + "ElementType = MET_UCHAR\nElementDataFile = LIST\n",
    "a list of more": META + "ElementType = MET_UCHAR\nElementDataFile = LIST 1\nb.raw\n",
}


@pytest.mark.parametrize("name", HOSTILE_META)
def test_a_hostile_metaimage_header_is_refused(tmp_path, name):
    with pytest.raises(VolumeFileError, match=r"a\.mha"):
        read_volume(_meta(tmp_path, start=HOSTILE_META[name]))


NAMES = {
    "%s%s%n": "no pattern|does not exist",
    "%999999999d.raw": "no pattern|does not exist",
    "%d%d.raw 1 2 1": "no pattern",
    "/etc/passwd": "leads out",
    "../b.raw": "leads out",
    "link.raw": "is a link",
    "circle.raw": "in a circle",
    "pipe.raw": "plain file",
    "b" * 5000: "cannot be read",
    "sub": "is a folder",
    "%d.raw 1 99999999999 1": "data files",
    "%d.raw 1 2 0": "data files",
}


@pytest.mark.skipif(os.name == "nt", reason="pipes and links are POSIX")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["nhdr", "mhd", "nhdr list", "mhd list"])
def test_data_lie_in_the_folder(tmp_path, name, kind):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "b.raw").write_bytes(VOXELS)
    (folder / "link.raw").symlink_to(tmp_path / "b.raw")
    (folder / "circle.raw").symlink_to(folder / "circle.raw")
    os.mkfifo(folder / "pipe.raw")
    if kind.endswith("list"):
        name, message = "\n".join(["LIST", *[name] * 2]), "a\\."
    else:
        message = NAMES[name]
    if kind.startswith("nhdr"):
        path = folder / "a.nhdr"
        path.write_text(f"{NRRD}data file: {name}\n")
    else:
        path = folder / "a.mhd"
        path.write_text(f"{META}ElementType = MET_UCHAR\nElementDataFile = {name}\n")
        message += "|fewer than|does not exist"
    with pytest.raises(VolumeFileError, match=message) as caught:
        read_volume(path)
    assert path.name in str(caught.value)


def test_names_of_patterns_are_those_of_c():
    assert numbered_names("a%%%03d.raw", -1, 1, 3) == ["a%-01.raw", "a%000.raw", "a%001.raw"]
    assert numbered_names("%3d", 9, -1, 2) == ["  9", "  8"]


def test_a_packed_data_file_is_found_where_the_plain_one_is_not(tmp_path):
    (tmp_path / "b.raw.gz").write_bytes(gzip.compress(VOXELS))
    (tmp_path / "a.mhd").write_text(META + META_END.replace("LOCAL", "b.raw"))
    assert read_volume(tmp_path / "a.mhd").voxels.tobytes() == VOXELS


@pytest.mark.parametrize("count", [200_000])
@pytest.mark.parametrize("key", ["k{}", "k"])
def test_a_header_of_very_many_keys_takes_time_in_proportion(tmp_path, key, count):
    began = time.process_time()
    for path in (
        _nrrd(tmp_path, "".join(f"{key.format(n)}:=v\n" for n in range(count))),
        _meta(tmp_path, "".join(f"{key.format(n)} = v\n" for n in range(count))),
    ):
        assert read_volume(path).voxels.tobytes() == VOXELS
    assert time.process_time() - began < 60 * count / 200_000


_words = st.sampled_from(
    [b"-1", b"0", b"99999999999999999999", b"1e400", b"nan", b"%n%s", b"\xff", b"\0", b"(", b" ", b":=", b": "]
)


@several_files
@given(made=st.one_of(hand_made_nrrd(), hand_made_metaimage()), data=st.data())
def test_a_changed_header_is_read_or_refused(tmp_path, made, data):
    """Nothing but our own errors comes out, whatever the header says."""
    name, content = next(iter(made.files.items()))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(changed)))
        stop = min(len(changed), start + data.draw(st.integers(0, 8)))
        changed[start:stop] = data.draw(st.one_of(_words, st.binary(max_size=6)))
    path = HandMade({**made.files, name: bytes(changed)}).write(tmp_path)
    try:
        list(read_frames(path))
    except DeepSegmentError as error:
        assert isinstance(error, (VolumeFileError, ResourceError))  # noqa: PT017
        assert str(error).isprintable() or "\n" not in str(error)  # noqa: PT017
