"""Zip files of models: what was zipped comes out, and nothing else, nowhere else."""

import shutil
import stat
from collections import namedtuple
from contextlib import suppress
from pathlib import PurePosixPath
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest
from bad_inputs.models import patched
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError, ModelError, ResourceError
from DeepSegmentLib.files.models import archive as archives
from DeepSegmentLib.files.models import unpacked

WORD = st.from_regex(r"[a-z0-9][a-z0-9_ é-]{0,6}[a-z0-9]", fullmatch=True)
NAMES = st.lists(st.lists(WORD, min_size=1, max_size=4).map("/".join), unique=True, max_size=6).filter(
    lambda names: not {str(parent) for name in names for parent in PurePosixPath(name).parents} & {*names}
)
FILES = {"m/model.json": b"{}", "m/weights.safetensors": b"w" * 99, "m/a/é.txt": b"card " * 20}


def zipped(path, members):
    with ZipFile(path, "w", ZIP_DEFLATED) as target:
        for name, content in members.items():
            info = ZipInfo(name)
            info.filename = name  # the constructor tidies names up; attackers do not
            target.writestr(info, content)
    return path


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(NAMES, st.binary(max_size=50))
def test_what_was_zipped_comes_out(tmp_path_factory, names, content):
    root = tmp_path_factory.mktemp("z")
    members = dict.fromkeys(names, content)
    with unpacked(zipped(root / "m.zip", members), root / "room") as folder:
        assert contents(folder) == members
        assert all(stat.S_ISREG(path.lstat().st_mode) or path.is_dir() for path in folder.rglob("*"))
    assert not list((root / "room").iterdir())


def test_the_folder_is_named_like_the_archive_and_hidden(tmp_path):
    for name, expected in (("Dataset297_Total-1.5.zip", "Dataset297_Total-1.5"), ("a b.zip", "model")):
        with unpacked(zipped(tmp_path / name, FILES), tmp_path / "room") as folder:
            assert folder.name == expected
            assert folder.parent.name.startswith(".")
            assert folder.parent.parent == tmp_path / "room"


def test_what_macos_adds_is_left_out(tmp_path):
    extra = {"__MACOSX/m/._model.json": b"x", "m/.DS_Store": b"x"}
    with unpacked(zipped(tmp_path / "m.zip", FILES | extra), tmp_path) as folder:
        assert contents(folder) == FILES


def test_folders_may_be_members(tmp_path):
    with unpacked(zipped(tmp_path / "m.zip", {"m/": b"", "m/a/": b"", **FILES}), tmp_path) as folder:
        assert contents(folder) == FILES


def test_the_archive_in_the_archive_stays_closed(tmp_path):
    inner = zipped(tmp_path / "inner.zip", FILES).read_bytes()
    with unpacked(zipped(tmp_path / "m.zip", {"inner.zip": inner}), tmp_path) as folder:
        assert contents(folder) == {"inner.zip": inner}


def test_errors_name_the_archive(tmp_path):
    archive = zipped(tmp_path / "m.zip", FILES)
    with pytest.raises(InvalidInputError) as caught, unpacked(archive, tmp_path) as folder:
        raise InvalidInputError(f"{folder}/m/model.json is odd")
    assert str(caught.value) == f"{archive}/m/model.json is odd"
    assert names_in(tmp_path) == ["m.zip"]


@given(st.data())
def test_a_damaged_archive_leaves_nothing(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("z")
    content = bytearray(zipped(root / "m.zip", FILES).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    (root / "m.zip").write_bytes(content[:kept])
    with suppress(ModelError), unpacked(root / "m.zip", root) as folder:
        assert set(contents(folder).values()) <= set(FILES.values())
    assert names_in(root) == ["m.zip"]


@pytest.mark.parametrize(("offset", "value"), [(28, b"\0\0"), (46, b"\xff"), (10, b"\x63\0"), (16, bytes(4))])
def test_damaged_entries_are_refused(tmp_path, offset, value):
    archive = zipped(tmp_path / "m.zip", FILES)
    archive.write_bytes(patched(archive.read_bytes(), offset, value))
    with pytest.raises(ModelError, match=r"m\.zip"), unpacked(archive, tmp_path):
        pass
    assert names_in(tmp_path) == ["m.zip"]


@pytest.mark.parametrize(("size", "message"), [(60 << 20, "as no model does"), (4_294_967_295, "unpacks to")])
def test_sizes_that_lie_are_refused_before_they_take_room(tmp_path, size, message):
    archive = zipped(tmp_path / "m.zip", {str(n): b"x" for n in range(9)})
    archive.write_bytes(patched(archive.read_bytes(), 24, size.to_bytes(4, "little")))
    with pytest.raises(ModelError, match=message), unpacked(archive, tmp_path):
        pass


def test_a_size_that_is_too_small_cuts_nothing_off(tmp_path):
    archive = zipped(tmp_path / "m.zip", FILES)
    archive.write_bytes(patched(archive.read_bytes(), 24, (1).to_bytes(4, "little")))
    with pytest.raises(ModelError, match=r"CRC|size"), unpacked(archive, tmp_path):
        pass


def test_too_many_members_are_refused(tmp_path):
    archive = zipped(tmp_path / "m.zip", {f"{n:0200}": b"" for n in range(8000)})
    with pytest.raises(ModelError, match="too many files in it"), unpacked(archive, tmp_path):
        pass


def test_a_full_disk_is_noticed_before(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, 1 << 20))
    with (
        pytest.raises(ResourceError, match="1 MB free; make room"),
        unpacked(zipped(tmp_path / "m.zip", FILES), tmp_path),
    ):
        pass
    monkeypatch.undo()
    assert shutil.disk_usage(tmp_path).free > 0
    assert names_in(tmp_path) == ["m.zip"]
