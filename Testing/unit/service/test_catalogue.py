"""The list of models: found, added, removed, verified."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from model_examples import TINY_UNET, model_spec, stage_of

import DeepSegmentLib
from DeepSegmentLib.errors import ChecksumError, DeepSegmentError, InvalidInputError, ModelError
from DeepSegmentLib.files.models import SPEC_FILE, WEIGHTS_FILE, read_spec, save_model
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service import catalogue
from DeepSegmentLib.service.catalogue import (
    add_model,
    bundled_models_folder,
    faster_model,
    find_model,
    list_models,
    remove_model,
    user_models_folder,
    verify,
)

REPOSITORY = Path(DeepSegmentLib.__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good model that nobody has added yet; never changed."""
    return saved(tmp_path_factory.mktemp("outside") / "download", "liver")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models; there are none yet, not even the folder."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models that came with DeepSegment: one, named brain."""
    saved(tmp_path / "bundled" / "brain", "brain")
    monkeypatch.setattr(catalogue, "bundled_models_folder", lambda: tmp_path / "bundled")
    return tmp_path / "bundled"


def saved(folder: Path, name: str, **changes: Any) -> Path:
    save_model(folder, model_spec(name=name, **changes), UNet(TINY_UNET), card="")
    return folder


def left_in(user: Path) -> list[str]:
    """What lies among the user's models, but for their index."""
    return sorted(path.name for path in user.iterdir() if path.name != ".index.json")


def names() -> list[tuple[str, bool]]:
    return [(entry.name, entry.bundled) for entry in list_models()]


def flip_a_weight(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)


def test_bundled_models_come_first(user: Path) -> None:
    assert names() == [("brain", True)]
    for name in ("spleen", "aorta"):
        saved(user / name, name)
    assert names() == [("brain", True), ("aorta", False), ("spleen", False)]


def test_an_entry_tells_what_the_spec_says(bundled: Path) -> None:
    (entry,) = list_models()
    assert (entry.version, entry.description, entry.license) == ("1.0", "Two structures.", "CC0-1.0")
    assert (entry.path, entry.damage) == (bundled / "brain", "")


def test_without_any_folder_the_list_is_empty(bundled: Path) -> None:
    shutil.rmtree(bundled)
    assert list_models() == ()
    with pytest.raises(ModelError, match="no model named 'brain'; known: none"):
        find_model("brain")


def test_damaged_folders_are_listed_with_the_reason(user: Path) -> None:
    (user / "empty").mkdir(parents=True)
    (saved(user / "headless", "headless") / WEIGHTS_FILE).unlink()
    (user / ".arrival-1").mkdir()
    (user / "notes.txt").write_text("")
    empty, headless = list_models()[1:]
    assert (empty.name, empty.version) == ("empty", "")
    assert "model.json is missing" in empty.damage
    assert (headless.name, headless.version) == ("headless", "1.0")
    assert "weights.safetensors is missing" in headless.damage
    with pytest.raises(ModelError, match=r"model 'empty' is damaged: .*model\.json is missing"):
        find_model("empty")


def test_a_model_is_found_by_name_and_by_folder(bundled: Path, outside: Path) -> None:
    by_name = find_model("brain")
    assert by_name.path == bundled / "brain"
    assert find_model(bundled / "brain") == by_name
    assert find_model(str(bundled / "brain")) == by_name
    assert (find_model(outside).name, find_model(outside).bundled) == ("liver", False)


@pytest.mark.parametrize("typed", ["brain", "Brain", "BRAIN"])
def test_case_does_not_matter(typed: str) -> None:
    assert find_model(typed).name == "brain"
    assert verify(typed).name == "brain"


def test_a_folder_is_nearer_than_a_name_in_another_case(
    outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(outside, tmp_path / "BRAIN")
    assert find_model("BRAIN").name == "liver"
    assert find_model("Brain").name == "brain"


def test_an_added_model_is_removed_whatever_the_case(user: Path) -> None:
    saved(user / "liver", "liver")
    gone = remove_model("LIVER")
    assert (gone.name, gone.bytes > 1000) == ("liver", True)
    with pytest.raises(ModelError, match="model 'brain' came with DeepSegment"):
        remove_model("Brain")


@pytest.mark.parametrize("typed", ["brian", "Brian", "brai"])
def test_close_names_are_suggested(typed: str) -> None:
    with pytest.raises(ModelError, match=f"no model named '{typed}'; did you mean brain.*known: brain"):
        find_model(typed)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.json; add it first: deepsegment models add .*"):
        find_model(tmp_path)
    (tmp_path / "weights.zip").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"zip is no model folder, .*: deepsegment models add .*weights\.zip$"):
        find_model(tmp_path / "weights.zip")
    with pytest.raises(ModelError, match="no model named ''"):
        find_model("")


def test_a_model_that_can_be_got_is_told_with_the_command() -> None:
    with pytest.raises(ModelError, match="'totalseg-total' is not here yet; get it: deepsegment models get totalseg-"):
        find_model("TotalSeg-total")


def test_two_models_of_one_name_need_a_path(user: Path) -> None:
    saved(user / "mine", "brain")
    with pytest.raises(ModelError, match="several models are named 'brain'; give the folder"):
        find_model("brain")
    assert find_model(user / "mine").path == user / "mine"
    remove_model("brain")
    assert names() == [("brain", True)]


@pytest.mark.parametrize("packed", [False, True])
def test_adding_finding_and_removing(user: Path, outside: Path, tmp_path: Path, packed: bool) -> None:
    source = Path(shutil.make_archive(str(tmp_path / "liver"), "zip", outside)) if packed else outside
    entry = add_model([source])
    assert entry == find_model("liver") == verify("liver")
    assert (entry.path, entry.bundled) == (user / "liver", False)
    assert left_in(user) == ["liver"]
    remove_model("liver")
    assert names() == [("brain", True)]
    assert left_in(user) == []
    assert (outside / WEIGHTS_FILE).is_file()


def test_only_the_files_of_a_model_are_copied(outside: Path, tmp_path: Path) -> None:
    source = shutil.copytree(outside, tmp_path / "source")
    (source / "LICENSE").write_text("CC0")
    (source / "private.nii").write_text("a patient")
    assert {path.name for path in add_model([source]).path.iterdir()} == {
        SPEC_FILE,
        WEIGHTS_FILE,
        "MODEL_CARD.md",
        "LICENSE",
    }


def test_a_taken_name_is_refused(outside: Path, tmp_path: Path) -> None:
    add_model([outside])
    with pytest.raises(ModelError, match=r"already a model 'liver' at .*remove that one first"):
        add_model([outside])
    with pytest.raises(ModelError, match=r"already a model 'Brain' at .*another name \(--name\)$"):
        add_model([saved(tmp_path / "b", "Brain")])
    assert names() == [("brain", True), ("liver", False)]


def mis_shaped(folder: Path) -> None:
    """A spec of another network than the weights are for."""
    document = json.loads((folder / SPEC_FILE).read_text("utf-8"))
    stage_of(document)["network"]["features"] = [4, 4]
    (folder / SPEC_FILE).write_text(json.dumps(document), "utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_weight, "SHA-256"),
        (mis_shaped, "must have shape"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "is missing"),
        (lambda folder: (folder / SPEC_FILE).unlink(), "is no model of a known kind"),
        (shutil.rmtree, "does not exist"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_model_never_appears(
    user: Path, outside: Path, tmp_path: Path, *, damage: Any, message: str, packed: bool
) -> None:
    source = shutil.copytree(outside, tmp_path / "source")
    damage(source)
    if packed and source.exists():
        source = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", source))
    with pytest.raises((ModelError, InvalidInputError), match=message):
        add_model([source])
    assert names() == [("brain", True)]
    assert not user.exists() or left_in(user) == []


def test_a_bundled_model_stays(bundled: Path) -> None:
    with pytest.raises(ModelError, match="'brain' came with DeepSegment and stays"):
        remove_model("brain")
    assert (bundled / "brain" / WEIGHTS_FILE).is_file()


@pytest.mark.parametrize("name", ["spleen", "", ".", "..", "../bundled/brain"])
def test_only_listed_names_are_removed(user: Path, bundled: Path, name: str) -> None:
    user.mkdir()
    with pytest.raises(ModelError, match="no model named"):
        remove_model(name)
    assert (bundled / "brain" / WEIGHTS_FILE).is_file()
    assert user.is_dir()


def test_a_damaged_model_can_be_removed(user: Path) -> None:
    (user / "empty").mkdir(parents=True)
    remove_model("empty")
    assert left_in(user) == []


def test_two_models_of_one_name_are_left_to_the_user(user: Path) -> None:
    for folder in ("one", "two"):
        saved(user / folder, "liver")
    with pytest.raises(ModelError, match="several models are named 'liver'; delete the folder of one"):
        remove_model("liver")


def test_verify_notices_a_changed_weight(bundled: Path) -> None:
    assert verify("brain").path == bundled / "brain"
    flip_a_weight(bundled / "brain")
    with pytest.raises(ChecksumError):
        verify("brain")


HOME = Path.home()


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", HOME / ".local/share/DeepSegment/Models"),
        ({"XDG_DATA_HOME": "/data"}, "linux", Path("/data/DeepSegment/Models")),
        ({"XDG_DATA_HOME": "relative"}, "linux", HOME / ".local/share/DeepSegment/Models"),
        ({"XDG_DATA_HOME": "/data"}, "darwin", HOME / "Library/Application Support/DeepSegment/Models"),
        ({"LOCALAPPDATA": "/local"}, "win32", Path("/local/DeepSegment/Models")),
        ({}, "win32", HOME / "AppData/Local/DeepSegment/Models"),
        ({"DEEPSEGMENT_MODELS": "/mine", "LOCALAPPDATA": "/local"}, "win32", Path("/mine")),
        ({"DEEPSEGMENT_MODELS": ""}, "linux", HOME / ".local/share/DeepSegment/Models"),
    ],
)
def test_added_models_go_where_the_platform_wants_them(
    environment: dict[str, str], platform: str, expected: Path
) -> None:
    assert user_models_folder(environment, platform) == expected


def test_a_checkout_has_its_bundled_models_beside_the_library() -> None:
    assert bundled_models_folder() == REPOSITORY / "Resources" / "Models"


@pytest.mark.parametrize("place", ["Resources/Models", "DeepSegmentLib/resources/Models"])
def test_installed_trees_have_their_bundled_models(tmp_path: Path, outside: Path, place: str) -> None:
    shutil.copytree(
        REPOSITORY / "DeepSegmentLib",
        tmp_path / "site" / "DeepSegmentLib",
        ignore=shutil.ignore_patterns("__pycache__", "resources"),
    )
    shutil.copytree(outside, tmp_path / "site" / place / "liver")
    code = (
        "import sys; from DeepSegmentLib.service.catalogue import list_models;"
        "print([entry.name for entry in list_models() if entry.bundled], 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "site", capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "['liver'] False"


def test_a_packed_model_with_a_folder_inside_can_be_added(outside: Path, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "liver.zip", "w") as archive:
        for path in outside.iterdir():
            archive.write(path, f"liver-1.0/{path.name}")
    assert add_model([tmp_path / "liver.zip"]).name == "liver"


def test_a_user_folder_that_cannot_be_made_is_named(user: Path, outside: Path) -> None:
    user.write_text("a file")
    with pytest.raises(DeepSegmentError, match="cannot be written"):
        add_model([outside])


@pytest.mark.skipif(os.name != "posix", reason="pipes and links are those of POSIX")
def test_one_bad_entry_neither_hangs_nor_hides_the_others(user: Path, tmp_path: Path) -> None:
    for name in ("a-pipe", "a-weights-pipe", "a-link-out", "a-weights-link-out"):
        saved(user / name, name)
    (tmp_path / "secret").write_text("root:x:0:0")
    for folder, name, make in (
        ("a-pipe", SPEC_FILE, os.mkfifo),
        ("a-weights-pipe", WEIGHTS_FILE, os.mkfifo),
        ("a-link-out", SPEC_FILE, lambda path: path.symlink_to(tmp_path / "secret")),
        ("a-weights-link-out", WEIGHTS_FILE, lambda path: path.symlink_to(tmp_path / "secret")),
    ):
        (user / folder / name).unlink()
        make(user / folder / name)
    (user / "a-loop").symlink_to("a-loop")
    (user / "b-broken").symlink_to("nowhere")
    os.mkfifo(user / "c-pipe")
    saved(user / "good", "good")
    found = {entry.name: entry.damage for entry in list_models()}
    assert list(found) == ["brain", "a-link-out", "a-pipe", "a-weights-link-out", "a-weights-pipe", "good"]
    assert [name for name, damage in found.items() if not damage] == ["brain", "good"]
    assert "root:x" not in "".join(found.values())
    assert find_model("good").path == user / "good"
    for name in ("x" * 5000, "a\0b", str(user / "a-loop")):
        with pytest.raises(ModelError, match="no model named"):
            find_model(name)
    remove_model("a-pipe")
    assert "a-pipe" not in dict(names())


@pytest.mark.skipif(os.name != "posix", reason="pipes and links are those of POSIX")
def test_a_linked_model_is_removed_by_its_link(user: Path, outside: Path) -> None:
    user.mkdir()
    (user / "linked").symlink_to(outside)
    remove_model("liver")
    assert left_in(user) == []
    assert verify(outside).name == "liver"


@pytest.mark.skipif(os.name != "posix", reason="pipes and links are those of POSIX")
def test_a_folder_with_links_out_is_not_added(user: Path, tmp_path: Path) -> None:
    source = saved(tmp_path / "download", "liver")
    (tmp_path / "secret").write_text("secret")
    (source / "LICENSE").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match=r"LICENSE is a link out of the folder"):
        add_model([source])
    assert not user.exists() or left_in(user) == []


def test_a_refusal_names_what_was_given_in_few_words(user: Path, tmp_path: Path) -> None:
    source = saved(tmp_path / "download", "liver")
    spec = json.loads((source / SPEC_FILE).read_text())
    stage_of(spec)["network"]["strides"][1] = [3, 3, 3]
    for changed in (spec, {**spec, "coarse_model": "x" * 100_000}):
        (source / SPEC_FILE).write_text(json.dumps(changed))
        with pytest.raises(ModelError) as caught:
            add_model([source])
        assert str(source) in str(caught.value)
        assert str(user) not in str(caught.value)
        assert len(str(caught.value)) < 2000


def test_of_two_models_of_one_name_that_are_added_at_once_one_is_told(
    user: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one comes while the first is tried out."""
    monkeypatch.setattr(catalogue, "_try_out", lambda *_: saved(user / "liver", "liver"))
    with pytest.raises(ModelError, match="there is already a model 'liver'"):
        add_model([outside])
    assert left_in(user) == ["liver"]


@pytest.mark.skipif(os.name != "posix", reason="limits of files are those of POSIX")
@pytest.mark.parametrize("packed", [False, True])
def test_a_disk_that_fills_up_is_told_and_nothing_stays(
    user: Path, outside: Path, tmp_path: Path, packed: bool
) -> None:
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
        "from DeepSegmentLib.hosts.command.main import main; sys.exit(main(sys.argv[1:]))"
    )
    source = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", outside)) if packed else outside
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, "models", "add", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "make room" in done.stderr
    assert not user.exists() or left_in(user) == []


def many(user: Path, count: int = 3) -> None:
    for n in range(count):
        saved(user / f"model-{n}", f"model-{n}")
        for file in (user / f"model-{n}").iterdir():
            os.utime(file, ns=(0, 0))


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now count as old."""
    monkeypatch.setattr("DeepSegmentLib.files.models.index._SETTLED_NS", -1 << 60)


def test_the_index_changes_nothing_but_the_time(user: Path, settled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    many(user)
    first = list_models()
    assert (user / ".index.json").is_file()
    asked: list[str] = []

    def read(folder: Path) -> Any:
        asked.append(folder.name)
        return read_spec(folder)

    monkeypatch.setattr("DeepSegmentLib.files.models.index.read_spec", read)
    assert list_models() == first
    assert asked == ["brain"]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"models": 3}', b"\xff", b'{"version": "0.1.0", "models": {"model-0": {}}}']
)
def test_a_damaged_index_is_made_anew(user: Path, settled: None, content: bytes) -> None:
    many(user)
    first = list_models()
    (user / ".index.json").write_bytes(content)
    assert list_models() == first
    assert len(json.loads((user / ".index.json").read_text())["models"]) == 3


def test_entries_of_the_index_are_checked(user: Path, settled: None) -> None:
    many(user)
    first = list_models()
    index = json.loads((user / ".index.json").read_text())
    index["models"]["model-0"]["summary"]["name"] = 3
    index["models"]["model-1"]["summary"]["weights"] = None
    del index["models"]["model-2"]["stamp"]
    (user / ".index.json").write_text(json.dumps(index))
    assert list_models() == first


def test_a_spec_that_changes_is_read_again(user: Path, settled: None) -> None:
    many(user)
    list_models()
    spec = user / "model-0" / SPEC_FILE
    spec.write_text(spec.read_text().replace("Two structures.", "Too strictures."))
    os.utime(spec, ns=(0, 0))
    assert list_models()[1].description == "Too strictures."
    spec.write_text("{}")
    assert "model.json" in list_models()[1].damage
    (user / "model-1" / WEIGHTS_FILE).unlink()
    assert "is missing" in list_models()[2].damage


def test_a_folder_that_cannot_be_written_is_listed(user: Path, settled: None) -> None:
    many(user)
    (user / ".index.json").mkdir()
    assert len(list_models()) == 4


def with_faster(folder: Path, name: str, faster: str) -> Path:
    return saved(folder / name, name, coarse_model=faster)


def test_the_faster_model_is_the_one_a_model_names(user: Path) -> None:
    with_faster(user, "whole", "coarse")
    with pytest.raises(ModelError, match=r"faster variant of 'whole' is 'coarse', .*: deepsegment models get coarse"):
        faster_model("whole")
    saved(user / "coarse", "coarse")
    assert faster_model("WHOLE").name == "coarse"
    with pytest.raises(InvalidInputError, match="'coarse' has no faster variant"):
        faster_model("coarse")
