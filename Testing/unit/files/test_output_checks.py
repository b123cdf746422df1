"""What may be written: never an input however it is spelled, nothing twice, nothing that cannot be written at last."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, ResourceError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.lock import LOCK_FILE, exclusive
from DeepSegmentLib.files.output_checks import Output, check_new_folder, check_outputs, check_room, inputs_of
from DeepSegmentLib.files.safe_names import file_words

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
SPELLINGS = {
    "absolute": lambda path: path.absolute(),
    "relative": lambda path: Path(os.path.relpath(path)),
    "up and down": lambda path: path.parent / ".." / path.parent.name / path.name,
    "link": lambda path: _linked(path, path.with_name("link to " + path.name)),
    "link of a link": lambda path: _linked(SPELLINGS["link"](path), path.with_name("link of a link")),
    "hard link": lambda path: _hard(path, path.with_name("hard " + path.name)),
    "through a linked folder": lambda path: _linked(path.parent, path.parent.parent / "folder link") / path.name,
    "capitals": lambda path: path.with_name(path.name.upper()),
}


def _linked(path, link):
    if not os.path.lexists(link):
        link.symlink_to(path)
    return link


def _hard(path, link):
    if not link.exists():
        os.link(path, link)
    return link


@several_files
@given(st.sampled_from(sorted(SPELLINGS)), st.sampled_from(sorted(SPELLINGS)), st.booleans())
def test_an_input_is_known_by_any_name(tmp_path_factory, first, second, replace):
    folder = tmp_path_factory.mktemp("in") / "x"
    folder.mkdir()
    path = folder / "head.nii"
    path.write_bytes(b"voxels")
    read, written = SPELLINGS[first](path), SPELLINGS[second](path)
    if written.exists() and read.exists():  # capitals are another name here and the same on macOS and Windows
        with pytest.raises(InvalidInputError, match="is an input"):
            check_outputs([Output(written)], inputs_of([read]), replace=replace)
        assert path.read_bytes() == b"voxels"


@pytest.mark.parametrize("header", ["NRRD0004\ndata file: {}\n\n", "ObjectType = Image\nElementDataFile = {}\n"])
def test_detached_data_is_an_input(tmp_path, header):
    path = tmp_path / ("a.nhdr" if "NRRD" in header else "a.mhd")
    for name, text in (("voxels.nii", "voxels.nii"), ("s003.nii", "s%03d.nii 1 9 1"), ("x.nii", "LIST\nx.nii")):
        path.write_text(header.format(text))
        (tmp_path / name).write_bytes(b"1")
        with pytest.raises(InvalidInputError, match="is an input"):
            check_outputs([Output(tmp_path / name)], inputs_of([path]), replace=True)


def test_nothing_is_put_into_a_folder_that_is_read_as_a_whole(tmp_path):
    series = tmp_path / "series"
    (series / "deeper").mkdir(parents=True)
    (series / "1.dcm").write_bytes(b"slice")
    os.link(series / "1.dcm", tmp_path / "a.dcm")
    (tmp_path / "way in").symlink_to(series / "deeper")
    for path in (series / "a.nrrd", series / "new" / "a.nrrd", tmp_path / "way in" / "a.nrrd", tmp_path / "a.dcm"):
        with pytest.raises(InvalidInputError, match=r"read as a whole|is an input of"):
            check_outputs([Output(path)], inputs_of([series]), replace=True)
    with pytest.raises(InvalidInputError, match="read as a whole"):
        check_new_folder(series / "journal", inputs_of([series]))
    check_outputs([Output(tmp_path / "series.nrrd")], inputs_of([series]))


@pytest.mark.parametrize(
    "names", [("a.json", "a.json"), ("a.json", "A.JSON"), ("é.json", "é.json"), ("a.json", "b/../a.json")]
)
def test_two_names_of_one_file_are_refused_on_every_system(tmp_path, names):
    with pytest.raises(InvalidInputError, match="asked for twice"):
        check_outputs([Output(tmp_path / name) for name in names], inputs_of([]))


def test_two_outputs_that_are_one_file_by_a_link(tmp_path):
    (tmp_path / "a.json").write_text("")
    os.link(tmp_path / "a.json", tmp_path / "b.json")
    with pytest.raises(InvalidInputError, match="are one file"):
        check_outputs([Output(tmp_path / "a.json"), Output(tmp_path / "b.json")], inputs_of([]), replace=True)


def test_a_file_that_would_have_to_be_a_folder_too(tmp_path):
    with pytest.raises(InvalidInputError, match="a file and a folder"):
        check_outputs([Output(tmp_path / "a.json"), Output(tmp_path / "a.json" / "b.png")], inputs_of([]))


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX names and rights")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.txt", "unknown suffix"),
        ("folder.nrrd", "is a folder"),
        ("pipe.nrrd", "no plain file"),
        ("fixed.nrrd", "write-protected"),
        ("fixed.nrrd/a.nrrd", "would have to be a folder"),
        ("x" * 251 + ".nrrd", "too long"),
        ("new/" + "x" * 251 + ".nrrd", "too long"),
        ("x" * 256 + "/a.nrrd", "too long"),
        ("a\0b.nrrd", "null"),
        ("/dev/zero/a.nrrd", "would have to be a folder"),
        ("/proc/self/a.nrrd", "cannot be written"),
        ("loop.nrrd/a.nrrd", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_said_before_and_nothing_is_left(tmp_path, name, message):
    (tmp_path / "folder.nrrd").mkdir()
    os.mkfifo(tmp_path / "pipe.nrrd")
    (tmp_path / "loop.nrrd").symlink_to(tmp_path / "loop.nrrd")
    (tmp_path / "fixed.nrrd").write_bytes(b"")
    (tmp_path / "fixed.nrrd").chmod(0o444)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(VolumeFileError, match=message):
        check_outputs([Output(tmp_path / name, (".nrrd",))], inputs_of([]), replace=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_exists_is_replaced_only_on_demand(tmp_path):
    (tmp_path / "a.json").write_text("old")
    (tmp_path / "b.json").symlink_to(tmp_path / "nothing")
    for name in ("a.json", "b.json"):
        with pytest.raises(InvalidInputError, match="exists; ask to replace it"):
            check_outputs([Output(tmp_path / name)], inputs_of([]))
        check_outputs([Output(tmp_path / name)], inputs_of([]), replace=True)


def test_room_is_asked_for_per_disk(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    check_room({tmp_path / "new" / "a": 1000})
    with pytest.raises(ResourceError, match=r"need about .* MB, and the disk of .* has .* MB free"):
        check_room({tmp_path / "a": free // 2, tmp_path / "new" / "b": free // 2 + (1 << 20)})


def test_missing_folders_are_made_and_go_again_where_writing_fails(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.json", "x")
    assert (tmp_path / "a" / "b" / "c.json").read_text() == "x"
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "new" / "b" / "c.json"):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a" / "d" / "c.json"):
        raise ZeroDivisionError
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "c.json"]


@pytest.mark.parametrize("name", ["x" * 240 + ".json", "x." + "y" * 200 + ".nii.gz", "x." + "y" * 250])
def test_long_names_that_fit_are_written(tmp_path, name):
    check_outputs([Output(tmp_path / name)], inputs_of([]))
    write_text(tmp_path / name, "x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_a_lock_that_is_no_plain_file_makes_nothing_elsewhere(tmp_path, kind):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    if kind == "pipe":
        os.mkfifo(folder / LOCK_FILE)
    else:
        (folder / LOCK_FILE).symlink_to(elsewhere)
    if kind == "link":
        elsewhere.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(VolumeFileError, match="a lock is one; remove it"), exclusive(folder):
        pass
    assert sorted(tmp_path.rglob("*")) == before


@given(st.lists(st.text(max_size=300), unique=True, max_size=6))
def test_different_names_give_different_words_on_every_system(names):
    words = file_words(names)
    assert list(words) == names
    assert len({word.casefold() for word in words.values()}) == len(names)
    for word in words.values():
        assert 0 < len(word.encode()) <= 70
        assert all(letter.isalnum() or letter == "-" for letter in word)


def test_names_that_look_alike():
    assert list(file_words(["Left x", "Left-x", "LEFT X", "Left-x-2", "", "\ud800"]).values()) == [
        "left-x", "left-x-2", "left-x-3", "left-x-2-2", "segment", "segment-2",
    ]  # fmt: skip


@given(st.text(max_size=20))
def test_no_name_is_an_unexpected_error(name):
    folder = Path(os.sep) / "no such folder"
    with suppress(DeepSegmentError):
        check_outputs([Output(folder / name)], inputs_of([folder / name, Path(name)]), replace=True)


def test_what_a_kill_left_of_a_look_at_a_folder_goes_with_the_next_one(tmp_path, monkeypatch):
    """A look makes a file and removes it; the kill may come in between."""

    def killed(*_):
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(VolumeFileError, match="killed"):
            check_new_folder(tmp_path / "new", inputs_of([], []))
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("DeepSegmentLib.files.leftovers.is_running", lambda process: False)
    check_new_folder(tmp_path / "new", inputs_of([], []))
    assert not list(tmp_path.iterdir())
