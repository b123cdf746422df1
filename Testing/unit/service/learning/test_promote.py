"""Promote, roll back: proven or said twice; the old or the new model is there at any moment, and nothing is lost."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from model_examples import model_spec

from DeepSegmentLib.errors import ModelError, NotProvenError
from DeepSegmentLib.files.models import read_spec, save_model, verify_model
from DeepSegmentLib.files.models.versions import finish_swaps, versions_folder
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.catalogue import find_model, list_models, remove_model
from DeepSegmentLib.service.learning.comparison import (
    Comparison,
    Judged,
    JudgedCase,
    Scores,
    SegmentPair,
    read_comparison,
    write_comparison,
)
from DeepSegmentLib.service.learning.promote import earlier_versions, promote, roll_back


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """The folder of the user's models."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def _candidate(folder, seed, **changes):
    torch.manual_seed(seed)
    spec = model_spec(**changes)
    save_model(folder, spec, UNet(spec.stages[0].network), card="# tiny\n")
    return folder


def _comparison(candidate, path, *, old=0.8, new=0.9, cases=8, against="a" * 64):
    sha = read_spec(candidate).weights_sha256
    judged = tuple(
        JudgedCase(
            f"case_{n:04d}", f"p{n}", (SegmentPair("left", Scores(old, old, 1.0), Scores(new + n / 1e4, new, 1.0)),)
        )
        for n in range(cases)
    )
    write_comparison(Comparison(Judged("old", "1", against), Judged("new", "1", sha), 2.0, judged), path)
    return path


def test_a_proven_candidate_is_in_use_with_its_figures(tmp_path, root):
    candidate = _candidate(tmp_path / "c", 0)
    done = promote(candidate, comparison=_comparison(candidate, tmp_path / "c.json"))
    entry = find_model("tiny-brain")
    assert (entry.path, done.before) == (root / "tiny-brain", "")
    spec = verify_model(entry.path)
    assert spec.provenance["dice"] == "left 0.900"
    assert "| left | 0.800 | 0.900 |" in (entry.path / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize(("old", "new", "words"), [(0.9, 0.5, "is worse than old 1: .*0.900 to 0.500")])
def test_a_worse_one_needs_a_second_yes(tmp_path, old, new, words):
    candidate = _candidate(tmp_path / "c", 0)
    comparison = _comparison(candidate, tmp_path / "c.json", old=old, new=new)
    with pytest.raises(NotProvenError, match=words):
        promote(candidate, comparison=comparison)
    assert len(list_models()) == 1
    assert promote(candidate, comparison=comparison, anyway=True).version == "1.0"


def test_one_that_looks_worse_on_few_cases_needs_it_too(tmp_path):
    candidate = _candidate(tmp_path / "c", 0)
    comparison = _comparison(candidate, tmp_path / "c.json", old=0.9, new=0.5, cases=2)
    with pytest.raises(NotProvenError, match="too few cases to be sure"):
        promote(candidate, comparison=comparison)


def test_one_that_was_not_compared_needs_it_too(tmp_path):
    candidate = _candidate(tmp_path / "c", 0)
    other = _comparison(_candidate(tmp_path / "other", 1), tmp_path / "c.json")
    for comparison in (None, tmp_path / "none.json", other):
        with pytest.raises(NotProvenError, match="was not compared"):
            promote(candidate, comparison=comparison)
    promote(candidate, anyway=True)
    assert "None was made" in (find_model("tiny-brain").path / "MODEL_CARD.md").read_text()


def test_proof_against_another_model_is_no_proof(tmp_path):
    first, second = _candidate(tmp_path / "a", 0), _candidate(tmp_path / "b", 1)
    promote(first, anyway=True)
    with pytest.raises(NotProvenError, match=r"compared with old 1, and tiny-brain 1.0 is in use.*--with tiny-brain"):
        promote(second, comparison=_comparison(second, tmp_path / "c.json"))
    against = read_spec(first).weights_sha256
    done = promote(second, comparison=_comparison(second, tmp_path / "c.json", against=against))
    assert (done.before, done.version) == ("1.0", "1.1")


def test_a_comparison_that_is_not_finished_is_no_proof(tmp_path):
    candidate = _candidate(tmp_path / "c", 0)
    path = _comparison(candidate, tmp_path / "c.json")
    write_comparison(replace(read_comparison(path), planned=9), path)
    with pytest.raises(NotProvenError, match="8 of 9 cases"):
        promote(candidate, comparison=path)


def test_a_segment_that_is_gone_is_a_loss(tmp_path):
    candidate = _candidate(tmp_path / "c", 0)
    path = _comparison(candidate, tmp_path / "c.json")
    found = read_comparison(path)
    first = found.cases[0]
    gone = replace(first, segments=(*first.segments, SegmentPair("right", Scores(0.9, 0.9, 1.0), None)))
    write_comparison(replace(found, cases=(gone, *found.cases[1:])), path)
    with pytest.raises(NotProvenError, match="no longer has right"):
        promote(candidate, comparison=path)


def test_nothing_in_common_proves_nothing(tmp_path):
    first, second = _candidate(tmp_path / "a", 0), _candidate(tmp_path / "b", 1)
    promote(first, anyway=True)
    path = _comparison(second, tmp_path / "c.json", against=read_spec(first).weights_sha256)
    found = read_comparison(path)
    write_comparison(replace(found, cases=tuple(replace(case, segments=()) for case in found.cases)), path)
    with pytest.raises(NotProvenError, match="no segment in common"):
        promote(second, comparison=path)


def test_the_folder_of_a_model_may_have_another_name_than_the_model(tmp_path, root):
    """Such as letters of another case, or what a file manager made of it; nothing was promoted there before."""
    save = _candidate(tmp_path / "a", 0)
    root.mkdir()
    save.rename(root / "Renamed")
    done = promote(_candidate(tmp_path / "b", 1), name="TINY-BRAIN", anyway=True)
    assert (done.path, done.before) == (root / "Renamed", "1.0")
    assert [each.version for each in earlier_versions("tiny-brain")] == ["1.0"]
    assert roll_back("Tiny-Brain").version == "1.0"
    assert {path.name for path in versions_folder(root, "Renamed").iterdir()} == {"0002-1.1"}


def test_a_model_that_was_damaged_in_use_is_brought_back(tmp_path, root):
    promote(_candidate(tmp_path / "a", 0), anyway=True)
    promote(_candidate(tmp_path / "b", 1), anyway=True)
    (root / "tiny-brain" / "model.json").write_text("{")
    assert roll_back("tiny-brain").version == "1.0"
    assert verify_model(root / "tiny-brain").version == "1.0"


def test_a_model_folder_elsewhere_has_no_versions(tmp_path, root):
    outside = _candidate(tmp_path / "tiny-brain", 0)
    with pytest.raises(ModelError, match="no earlier version"):
        roll_back(str(outside))
    assert verify_model(outside).version == "1.0"
    assert not root.exists()


def test_versions_go_up_and_come_back(tmp_path):
    weights = []
    for seed in range(3):
        weights.append(read_spec(_candidate(tmp_path / f"c{seed}", seed)).weights_sha256)
        promote(tmp_path / f"c{seed}", anyway=True)
    assert find_model("tiny-brain").version == "1.2"
    assert [each.version for each in earlier_versions("tiny-brain")] == ["1.1", "1.0"]
    assert roll_back("tiny-brain").version == "1.1"
    assert read_spec(find_model("tiny-brain").path).weights_sha256 == weights[1]
    assert roll_back("tiny-brain").version == "1.2", "the one that was in use before comes forward again"
    assert roll_back("tiny-brain", "1.0").version == "1.0"
    assert {each.version for each in earlier_versions("tiny-brain")} == {"1.1", "1.2"}
    assert [entry.name for entry in list_models()] == ["brain-mr", "tiny-brain"]


def test_what_is_not_there_cannot_come_back(tmp_path):
    promote(_candidate(tmp_path / "c", 0), anyway=True)
    with pytest.raises(ModelError, match="no earlier version"):
        roll_back("tiny-brain")
    with pytest.raises(ModelError, match="no earlier version 7"):
        roll_back("tiny-brain", "7")
    with pytest.raises(ModelError):
        roll_back("nothing")


def test_a_bundled_model_stays(tmp_path):
    with pytest.raises(ModelError, match="came with DeepSegment and stays"):
        promote(_candidate(tmp_path / "c", 0, name="brain-mr"), anyway=True)


def test_a_damaged_candidate_is_refused(tmp_path):
    candidate = _candidate(tmp_path / "c", 0)
    path = candidate / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError):
        promote(candidate, anyway=True)
    assert len(list_models()) == 1


def test_a_model_can_be_removed_and_promoted_again(tmp_path):
    promote(_candidate(tmp_path / "a", 0), anyway=True)
    promote(_candidate(tmp_path / "b", 1), anyway=True)
    remove_model("tiny-brain")
    assert promote(_candidate(tmp_path / "c", 2), anyway=True).before == ""


@pytest.mark.parametrize("step", ["nothing", "old is gone", "both are done"])
def test_what_a_killed_process_began_is_finished(tmp_path, root, step):
    promote(_candidate(tmp_path / "a", 0), anyway=True)
    new = read_spec(_candidate(tmp_path / "b", 1)).weights_sha256
    home = versions_folder(root, "tiny-brain")
    (tmp_path / "b").rename(home / "incoming-2.0")
    (home / "swap.json").write_text('{"incoming": "incoming-2.0", "kept": "0001-1.0"}')
    if step != "nothing":
        (root / "tiny-brain").rename(home / "0001-1.0")
    if step == "both are done":
        (home / "incoming-2.0").rename(root / "tiny-brain")
    assert len(list_models()) == 2
    assert (verify_model(root / "tiny-brain").weights_sha256 == new) == (step != "nothing")
    assert not (home / "swap.json").exists()
    finish_swaps(root)


_LOOP = """
import sys
from pathlib import Path
from DeepSegmentLib.service.learning.promote import promote
print("ready", flush=True)
for n in range(int(sys.argv[3])):
    promote(Path(sys.argv[1 + n % 2]), anyway=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_killed_at_any_moment_a_whole_model_is_there(tmp_path, root):
    folders = [_candidate(tmp_path / name, seed) for seed, name in enumerate("ab")]
    good = {read_spec(folder).weights_sha256 for folder in folders}
    promote(folders[0], anyway=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    for n in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", _LOOP, *map(str, folders), "1000"], stdout=subprocess.PIPE, env=environment
        )
        process.stdout.readline()
        time.sleep(0.02 * (n + 1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert verify_model(find_model("tiny-brain").path).weights_sha256 in good
    assert verify_model(promote(folders[1], anyway=True).path)
    left = [path.name for path in versions_folder(root, "tiny-brain").iterdir()]
    assert not [name for name in left if not re.fullmatch(r"[0-9]{4}-.+", name)]


def test_two_at_once_lose_no_version(tmp_path, root):
    folders = [_candidate(tmp_path / name, seed) for seed, name in enumerate("ab")]
    promote(folders[0], anyway=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, "-c", _LOOP, *map(str, folders), "4"]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    versions = [find_model("tiny-brain").version, *(each.version for each in earlier_versions("tiny-brain"))]
    assert sorted(versions) == [f"1.{n}" for n in range(9)]
