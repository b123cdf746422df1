"""Only plain files are opened, inside the folder they belong to."""

import os
import socket

import pytest

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import inside, open_file, parse_json, read_bytes, read_json

posix = pytest.mark.skipif(os.name == "nt", reason="pipes and devices as files are POSIX")


def _pipe(folder):
    os.mkfifo(folder / "a")
    return folder / "a"


def _socket(folder):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "a"))
    return folder / "a"


def _link_to_device(folder):
    (folder / "a").symlink_to("/dev/zero")
    return folder / "a"


class TestOpening:
    @posix
    @pytest.mark.parametrize("make", [_pipe, _socket, _link_to_device])
    def test_what_is_no_plain_file_is_refused_at_once(self, tmp_path, make):
        with pytest.raises(VolumeFileError, match=r"plain file|cannot be read"):
            open_file(make(tmp_path))

    def test_a_folder(self, tmp_path):
        with pytest.raises(VolumeFileError, match="is a folder"):
            open_file(tmp_path)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(VolumeFileError, match="does not exist"):
            open_file(tmp_path / "a")

    def test_a_large_file_is_not_read(self, tmp_path):
        with (tmp_path / "a").open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(VolumeFileError, match="more than the 1000"):
            read_bytes(tmp_path / "a", largest=1000)

    def test_all_of_a_small_file_is_read(self, tmp_path):
        (tmp_path / "a").write_bytes(b"12345")
        assert read_bytes(tmp_path / "a", largest=5) == b"12345"


class TestJson:
    @pytest.mark.parametrize(
        "text",
        [b"{", b'{"a": 1, "a": 2}', b"[NaN]", b"\xff", b"[" * 100_000, b"[" * 150 + b"]" * 150, b"1" * 5000],
        ids=["cut", "key twice", "NaN", "no UTF-8", "endless", "deep", "long number"],
    )
    def test_what_is_refused(self, tmp_path, text):
        (tmp_path / "a.json").write_bytes(text)
        with pytest.raises(VolumeFileError, match="no JSON that can be read"):
            read_json(tmp_path / "a.json", largest=1 << 20)

    def test_what_is_read(self):
        assert parse_json('{"a": [1, 2.5, null], "b": {"ä": true}}') == {"a": [1, 2.5, None], "b": {"ä": True}}
        assert parse_json(b"\xef\xbb\xbf[1]") == [1]
        assert str(parse_json("[NaN, -Infinity]", nan=True)) == "[nan, -inf]"
        assert parse_json("[" * 100 + "]" * 100)


class TestInside:
    @pytest.mark.parametrize("name", ["/etc/passwd", "../a", "b/../../a", "..\\a", "C:\\a", "", "a\0b", "\\\\host\\a"])
    def test_names_that_lead_out(self, tmp_path, name):
        with pytest.raises(VolumeFileError, match="leads out"):
            inside(tmp_path, name)

    @posix
    def test_links_that_lead_out(self, tmp_path):
        (tmp_path / "folder").mkdir()
        (tmp_path / "a").write_bytes(b"x")
        (tmp_path / "folder" / "a").symlink_to(tmp_path / "a")
        with pytest.raises(VolumeFileError, match="link out"):
            inside(tmp_path / "folder", "a")

    @pytest.mark.parametrize("name", ["a.raw", "b/a.raw", "b\\a.raw", "./a.raw"])
    def test_names_inside(self, tmp_path, name):
        assert inside(tmp_path, name).resolve().is_relative_to(tmp_path.resolve())
