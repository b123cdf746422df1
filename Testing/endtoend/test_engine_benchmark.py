"""The comparison of engines in its short form: the same labels as MONAI's sliding window. No time is looked at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("monai")
pytest.importorskip("dynamic_network_architectures")
pytest.importorskip("psutil")

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "Testing" / "benchmarks" / "engine" / "compare.py"


def compare(work, *options):
    """Run the short form; what it prints and writes."""
    files = ["--json", work / "engine.json", "--markdown", work / "engine.md"]
    words = [sys.executable, SCRIPT, "--short", "--work", work, *files, *options]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((work / "engine.json").read_text()), (work / "engine.md").read_text()


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    work = tmp_path_factory.mktemp("engines")
    return work, *compare(work, "--ours", "raw=--raw")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="waits for processes and looks at their memory as Linux has it")
class TestShort:
    def test_labels_are_those_of_monai(self, compared):
        _, content, _ = compared
        (kept,) = content["cases"].values()
        (found,) = [each for each in kept["agreement"] if each["engines"] == ["DeepSegment", "MONAI"]]
        assert found["differ"] < 1e-3
        assert found["least_dice"] > 0.99
        assert found["classes_there"] == 5
        assert found["foreground"] > 0.05

    def test_each_engine_has_its_turn_and_tells_its_steps(self, compared):
        _, content, page = compared
        (kept,) = content["cases"].values()
        assert [run["engine"] for run in kept["runs"]] == ["DeepSegment", "DeepSegment, raw", "MONAI"]
        for run in kept["runs"]:
            assert not run["failure"]
            assert run["peak_bytes"] > 1 << 26
            assert 0 < sum(run["seconds"].values()) < 1.1 * run["wall_seconds"]
            assert f"| {run['engine']} |" in page
        assert {"network", "blending", "resample and argmax", "write"} <= kept["runs"][-1]["seconds"].keys()

    def test_what_there_is_is_not_measured_again(self, compared):
        work, content, page = compared
        again, same_page = compare(work, "--ours", "raw=--raw")
        assert again["cases"] == content["cases"]
        assert same_page == page
