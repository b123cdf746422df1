"""Files of the web: whole whatever the line does, refused where they are something else, stopped at once."""

import threading
import time
from collections.abc import Iterator
from hashlib import sha1, sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_web import (
    LocalWeb,
    breaks_off,
    certificate,
    hangs,
    https_context,
    leads_to,
    local_web,
    refuses,
    says_length,
    whole,
    without_parts,
)

from DeepSegmentLib.data.progress import Progress, silent
from DeepSegmentLib.errors import Cancelled, ChecksumError, DownloadError, ResourceError
from DeepSegmentLib.files import download as module
from DeepSegmentLib.files import output_checks, web_requests
from DeepSegmentLib.files.download import RemoteFile, download, part_of

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4000
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_PAUSES_S", (0.0, 0.01, 0.01))


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalWeb]:
    with local_web() as web:
        yield web


@pytest.fixture
def web(shared: LocalWeb) -> LocalWeb:
    shared.answers.clear()
    shared.asked.clear()
    return shared


def got(address: str, target: Path, **published: object) -> str:
    return download(RemoteFile(address, **published), target, silent)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside(web: LocalWeb, tmp_path: Path) -> None:
    address = web.serve("/m.zip", whole(CONTENT))
    assert got(address, tmp_path / "m.zip") == DIGEST
    assert (tmp_path / "m.zip").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["m.zip"]


def test_what_is_sent_names_the_product_only(web: LocalWeb, tmp_path: Path) -> None:
    got(web.serve("/m.zip", whole(CONTENT)), tmp_path / "m.zip")
    ((_, headers),) = web.asked
    assert headers.pop("Host") == web.address.removeprefix("http://")
    assert headers == {
        "User-Agent": "DeepSegment", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close",
    }  # fmt: skip


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 400_000), max_size=4))
def test_wherever_the_line_breaks_the_file_comes_whole(
    shared: LocalWeb, tmp_path_factory: pytest.TempPathFactory, breaks: list[int]
) -> None:
    target = tmp_path_factory.mktemp("broken") / "m.zip"
    shared.asked.clear()
    address = shared.serve("/m.zip", *(breaks_off(CONTENT, after) for after in breaks), whole(CONTENT))
    assert got(address, target) == DIGEST
    begins = [headers.get("Range") for _, headers in shared.asked]
    assert begins[0] is None
    assert None not in begins[1:]


def stopped_after(count: int) -> tuple[list[Progress], object]:
    events: list[Progress] = []

    def on_progress(event: Progress) -> None:
        events.append(event)
        if event.fraction >= count / len(CONTENT):
            raise Cancelled("stopped")

    return events, on_progress


def begun(web: LocalWeb, target: Path, after: int = 300_000) -> str:
    """A file of which a part has come; its address."""
    address = web.serve("/m.zip", hangs(CONTENT, after, 0.5))
    with pytest.raises(Cancelled):
        download(RemoteFile(address), target, stopped_after(after)[1])
    assert part_of(target).stat().st_size == after
    web.asked.clear()
    return address


def test_a_later_call_goes_on_where_an_earlier_one_was_stopped(web: LocalWeb, tmp_path: Path) -> None:
    address = begun(web, tmp_path / "m.zip")
    web.serve("/m.zip", whole(CONTENT))
    assert got(address, tmp_path / "m.zip") == DIGEST
    ((_, headers),) = web.asked
    assert (headers["Range"], headers["If-Range"]) == ("bytes=300000-", '"1"')


def test_a_file_that_changed_between_two_parts_comes_from_its_beginning(web: LocalWeb, tmp_path: Path) -> None:
    address = begun(web, tmp_path / "m.zip")
    other = CONTENT[:4] + CONTENT[:3:-1]
    web.serve("/m.zip", whole(other, '"2"'))
    assert got(address, tmp_path / "m.zip") == sha256(other).hexdigest()


def test_a_server_that_ignores_the_condition_cannot_mix_two_versions(web: LocalWeb, tmp_path: Path) -> None:
    address = begun(web, tmp_path / "m.zip")
    other = b"PK" + bytes(len(CONTENT) - 2)
    web.serve("/m.zip", breaks_off(other, len(other), '"2"'), whole(other, '"2"'))
    assert got(address, tmp_path / "m.zip") == sha256(other).hexdigest()


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_servers_without_parts_or_marks_give_everything_again(
    web: LocalWeb, tmp_path: Path, headers: dict[str, str]
) -> None:
    address = begun(web, tmp_path / "m.zip")
    web.serve("/m.zip", without_parts(CONTENT, **headers))
    assert got(address, tmp_path / "m.zip") == DIGEST
    assert (tmp_path / "m.zip").read_bytes() == CONTENT


def test_a_part_of_another_address_is_no_part_of_this_file(web: LocalWeb, tmp_path: Path) -> None:
    begun(web, tmp_path / "m.zip")
    assert got(web.serve("/other.zip", whole(CONTENT)), tmp_path / "m.zip") == DIGEST
    assert "Range" not in web.asked[0][1]


def test_a_part_longer_than_the_file_comes_anew(web: LocalWeb, tmp_path: Path) -> None:
    address = begun(web, tmp_path / "m.zip")
    part_of(tmp_path / "m.zip").write_bytes(CONTENT + b"x")
    web.serve("/m.zip", refuses(416), whole(CONTENT))
    assert got(address, tmp_path / "m.zip") == DIGEST


def test_a_damaged_note_means_anew(web: LocalWeb, tmp_path: Path) -> None:
    address = begun(web, tmp_path / "m.zip")
    (tmp_path / "m.zip.note").write_text('{"address": 3')
    web.serve("/m.zip", whole(CONTENT))
    assert got(address, tmp_path / "m.zip") == DIGEST


def test_a_line_that_breaks_for_good_is_told_and_what_came_stays(web: LocalWeb, tmp_path: Path) -> None:
    nothing_more = breaks_off(CONTENT, 0)
    address = web.serve("/m.zip", breaks_off(CONTENT, 1000), nothing_more)
    with pytest.raises(DownloadError, match=r"broke off after 1000 of \d+ bytes; what came is kept: try again"):
        got(address, tmp_path / "m.zip")
    assert part_of(tmp_path / "m.zip").read_bytes() == CONTENT[:1000]
    assert len(web.asked) == 4


@pytest.mark.parametrize("length", [len(CONTENT) + 100, 10 * len(CONTENT)])
def test_too_short_is_told(web: LocalWeb, tmp_path: Path, length: int) -> None:
    address = web.serve("/m.zip", says_length(CONTENT, length))
    with pytest.raises(DownloadError, match=f"broke off after {len(CONTENT)} of {length} bytes"):
        got(address, tmp_path / "m.zip")


def test_other_lengths_than_published_are_refused(web: LocalWeb, tmp_path: Path) -> None:
    address = web.serve("/m.zip", says_length(CONTENT, None))
    with pytest.raises(DownloadError, match="more than"):
        got(address, tmp_path / "m.zip", size=len(CONTENT) - 1)
    with pytest.raises(DownloadError, match=rf"broke off after {len(CONTENT)} of"):
        got(address, tmp_path / "m.zip", size=len(CONTENT) + 1)
    web.serve("/m.zip", whole(CONTENT))
    with pytest.raises(DownloadError, match=rf"gave {len(CONTENT)} bytes, where 99 are published"):
        got(address, tmp_path / "m.zip", size=99)


def test_a_file_without_a_length_comes_too(web: LocalWeb, tmp_path: Path) -> None:
    assert got(web.serve("/m.zip", says_length(CONTENT, None)), tmp_path / "m.zip") == DIGEST


def test_more_than_any_model_has_is_refused(web: LocalWeb, tmp_path: Path) -> None:
    address = web.serve("/m.zip", says_length(CONTENT, 33 << 30))
    with pytest.raises(DownloadError, match="gave 35433480192 bytes instead of the model"):
        got(address, tmp_path / "m.zip")


@pytest.mark.parametrize(
    ("name", "content", "headers", "told"),
    [
        ("m.zip", b"<!DOCTYPE html><title>Log in</title>", {}, "a web page"),
        ("m.zip", CONTENT, {"Content_Type": "text/html; charset=utf-8"}, "a web page"),
        ("m.onnx", b"  <html>", {}, "a web page"),
        ("m.zip", b'{"message": "not found"}', {}, r"no \.zip file"),
        ("m.pt", b"GIF89a", {}, r"no \.pt file"),
    ],
)
def test_something_else_is_refused_and_not_kept(
    web: LocalWeb, tmp_path: Path, name: str, content: bytes, headers: dict[str, str], told: str
) -> None:
    address = web.serve("/m", without_parts(content, **headers))
    with pytest.raises(DownloadError, match=f"gave {told} instead of the model.* log in at"):
        got(address, tmp_path / name)
    assert left_in(tmp_path) == []


def test_checksums_that_are_published_count(web: LocalWeb, tmp_path: Path) -> None:
    address = web.serve("/m.zip", whole(CONTENT))
    assert got(address, tmp_path / "a.zip", checksum=f"sha1:{sha1(CONTENT).hexdigest()}") == DIGEST
    assert got(address, tmp_path / "b.zip", checksum=f"sha256:{DIGEST}") == DIGEST
    with pytest.raises(ChecksumError, match="but 00ff is published; it was deleted"):
        got(address, tmp_path / "c.zip", checksum="sha256:00ff")
    assert left_in(tmp_path) == ["a.zip", "b.zip"]


def test_a_complete_file_is_not_asked_for_again(web: LocalWeb, tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(CONTENT)
    assert got(f"{web.address}/none", tmp_path / "m.zip") == DIGEST
    assert web.asked == []


@pytest.mark.parametrize("after", [0, 5000])
def test_cancel_answers_within_a_second_whatever_the_server_does(web: LocalWeb, tmp_path: Path, after: int) -> None:
    address = web.serve("/m.zip", hangs(CONTENT, after, 3.0))
    wanted = threading.Event()
    threading.Timer(0.3, wanted.set).start()

    def on_progress(_: Progress) -> None:
        if wanted.is_set():
            raise Cancelled("stopped")

    begun = time.monotonic()
    with pytest.raises(Cancelled):
        download(RemoteFile(address), tmp_path / "m.zip", on_progress)
    assert time.monotonic() - begun < 0.3 + 1.0
    assert not (tmp_path / "m.zip").exists()


def test_progress_grows_and_tells_the_time_to_go(
    web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.0)
    address = web.serve("/m.zip", breaks_off(CONTENT, 500_000), whole(CONTENT))
    events: list[Progress] = []
    download(RemoteFile(address), tmp_path / "m.zip", events.append, "download it")
    assert {event.stage for event in events} <= {
        "download it", "download it: waiting for the line", "download it: check"
    }  # fmt: skip
    fractions = [event.fraction for event in events if event.stage == "download it"]
    assert min(fractions) >= 0
    assert max(fractions) > 0.4
    assert events[-1].fraction == 1


def test_too_little_room_is_told_before_anything_comes(
    web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(output_checks.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(ResourceError, match="make room"):
        got(web.serve("/m.zip", whole(CONTENT)), tmp_path / "m.zip")
    assert not part_of(tmp_path / "m.zip").read_bytes()


def test_redirects_are_followed_with_the_part_that_is_missing(web: LocalWeb, tmp_path: Path) -> None:
    address = begun(web, tmp_path / "m.zip")
    web.serve("/m.zip", leads_to("/real.zip"))
    web.serve("/real.zip", whole(CONTENT))
    assert got(address, tmp_path / "m.zip") == DIGEST
    assert [headers["Range"] for _, headers in web.asked] == ["bytes=300000-"] * 2


@pytest.mark.parametrize(
    "place", ["/m.zip", "file:///etc/passwd", "ftp://127.0.0.1/m.zip", "data:text/plain,PK", "gopher://x", ""]
)
def test_redirects_out_of_the_web_and_in_circles_are_not_followed(web: LocalWeb, tmp_path: Path, place: str) -> None:
    address = web.serve("/m.zip", leads_to(place))
    with pytest.raises(DownloadError, match=r"where DeepSegment does not follow|cannot be got"):
        got(address, tmp_path / "m.zip")
    assert len(web.asked) <= 6
    assert left_in(tmp_path) == []


def test_a_long_way_of_redirects_is_not_followed(web: LocalWeb, tmp_path: Path) -> None:
    for n in range(9):
        web.serve(f"/{n}", leads_to(f"/{n + 1}"))
    with pytest.raises(DownloadError, match="5 times at most"):
        got(f"{web.address}/0", tmp_path / "m.zip")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://x/m.zip", "m.zip", "https://", "data:,PK"])
def test_other_addresses_are_no_addresses(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadError, match="is no address of the web"):
        got(address, tmp_path / "m.zip")


@pytest.mark.parametrize(
    ("status", "told"),
    [(404, "update DeepSegment"), (403, "with your browser"), (407, "HTTPS_PROXY"), (503, "try again later"),
     (500, "answers 500"), (204, "an answer of kind 204")],
)  # fmt: skip
def test_refusals_are_told_with_the_remedy(web: LocalWeb, tmp_path: Path, status: int, told: str) -> None:
    with pytest.raises(DownloadError, match=told):
        got(web.serve("/m.zip", refuses(status)), tmp_path / "m.zip")


def test_an_answer_that_is_none_is_told_in_few_words(web: LocalWeb, tmp_path: Path) -> None:
    address = web.serve("/m.zip", lambda asked: asked.say(b"\xff " * 20_000 + b"\n"))
    with pytest.raises(DownloadError, match="cannot be reached") as caught:
        got(address, tmp_path / "m.zip")
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_nobody_there_is_told_at_once(tmp_path: Path) -> None:
    with local_web() as web:
        address = web.address
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1 cannot be reached .* check the network"):
        got(f"{address}/m.zip", tmp_path / "m.zip")
    with pytest.raises(DownloadError, match="cannot be found; is this computer in the network"):
        got("http://there-is-no-such-host.invalid/m.zip", tmp_path / "m.zip")


def test_silence_is_told(web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_requests, "SILENCE_S", 0.2)
    with pytest.raises(DownloadError, match=r"did not answer for 0\.2 s"):
        got(web.serve("/m.zip", hangs(CONTENT, 0, 1.0)), tmp_path / "m.zip")


def test_the_proxy_of_the_environment_is_asked(web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.address)
    web.serve("http://models.example/m.zip", whole(CONTENT))
    assert got("http://models.example/m.zip", tmp_path / "m.zip") == DIGEST
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert got(web.serve("/m.zip", whole(CONTENT)), tmp_path / "n.zip") == DIGEST
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(DownloadError, match="speaks SOCKS"):
        got("http://models.example/m.zip", tmp_path / "o.zip")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalWeb, Path]]:
    made = certificate(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("no openssl command to make a certificate with")
    with local_web(https_context(*made)) as web:
        yield web, made[0]


def test_certificates_nobody_knows_are_refused_with_the_remedy(secure: tuple[LocalWeb, Path], tmp_path: Path) -> None:
    web, _ = secure
    address = web.serve("/m.zip", whole(CONTENT))
    with pytest.raises(DownloadError, match=r"certificate that is not trusted here \(.*self.signed.*SSL_CERT_FILE"):
        got(address, tmp_path / "m.zip")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_certificates_the_user_names_are_trusted(
    secure: tuple[LocalWeb, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    web, trusted = secure
    monkeypatch.setenv(variable, str(trusted))
    assert got(web.serve("/m.zip", whole(CONTENT)), tmp_path / "m.zip") == DIGEST


def test_variables_without_certificates_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(DownloadError, match=r"SSL_CERT_FILE is set to .*none\.pem, which holds no certificates"):
        got("https://127.0.0.1:9/m.zip", tmp_path / "m.zip")


def test_from_https_nothing_leads_to_http(
    secure: tuple[LocalWeb, Path], web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe, trusted = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    open_address = web.serve("/m.zip", whole(CONTENT))
    with pytest.raises(DownloadError, match="where DeepSegment does not follow: only to https"):
        got(safe.serve("/m.zip", leads_to(open_address)), tmp_path / "m.zip")
    assert web.asked == []
    web.serve("/to-https", leads_to(safe.serve("/n.zip", whole(CONTENT))))
    assert got(f"{web.address}/to-https", tmp_path / "m.zip") == DIGEST
