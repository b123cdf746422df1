"""The diagnosis says what is there, and never fails."""

from importlib.metadata import version

import pytest

from DeepSegmentLib.service import diagnose as module
from DeepSegmentLib.service.diagnose import Diagnosis, Finding, diagnose, format_diagnosis


def test_it_names_versions_memory_and_models():
    text = format_diagnosis(diagnose())
    for word in ("DeepSegment", "Python", f"torch  {'':0s}".strip(), version("torch"), "memory", "cores", "disk"):
        assert word in text


def test_findings_come_with_their_remedy():
    text = format_diagnosis(Diagnosis((("A", (("name", "value"),)),), (Finding("too slow", "buy another"),)))
    assert text.splitlines()[-2:] == ["  - too slow", "    buy another"]


def test_a_folder_that_is_no_model_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    assert any("broken" in finding.problem for finding in diagnose().findings)


@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo 550.54.14", "550.54.14"), ("exit 9", ""), ("echo", ""), ("printf '535.1\\n535.1\\n'", "535.1")],
)
def test_the_driver_is_asked_for_and_may_be_missing(tmp_path, monkeypatch, script, expected):
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert module._nvidia_driver() == expected


def test_a_gpu_with_a_cpu_build_of_torch_is_a_finding(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    if torch.version.cuda:
        pytest.skip("this torch is a CUDA build")
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 550.54.14\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert any("CPU build" in finding.problem for finding in diagnose().findings)
