"""The diagnosis says what is there, and never fails."""

import subprocess
import sys
import types
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.service import diagnose as module
from DeepSegmentLib.service.diagnose import (
    Diagnosis,
    Finding,
    diagnose,
    format_diagnosis,
    free_disk_bytes,
    has_kernels,
    usable_cores,
)
from DeepSegmentLib.service.models import openvino_package

REPOSITORY = Path(__file__).resolve().parents[3]


def test_it_names_versions_memory_and_models():
    text = format_diagnosis(diagnose())
    for word in ("DeepSegment", "Python", version("torch"), version("numpy"), "memory", "cores", "disk", "brain-mr"):
        assert word in text


def test_findings_come_with_their_remedy():
    text = format_diagnosis(Diagnosis((("A", (("name", "value"),)),), (Finding("too slow", "buy another"),)))
    assert text.splitlines()[-2:] == ["  - too slow", "    buy another"]


def test_a_folder_that_is_no_model_is_a_finding(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text("{")
    assert any("broken" in finding.problem for finding in diagnose().findings)


WITHOUT = """
import importlib.metadata, sys
missing = {missing!r}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
known = importlib.metadata.version
def version(name):
    if {told!r} and {{"scikit-image": "skimage", "pillow": "PIL"}}.get(name, name) in missing:
        raise importlib.metadata.PackageNotFoundError(name)
    return known(name)
importlib.metadata.version = version
from DeepSegmentLib.hosts.command.main import main
sys.exit(main(["diagnose"]))
"""
ALL = ["torch", "numpy", "scipy", "SimpleITK", "skimage", "safetensors", "PIL"]


@pytest.mark.parametrize("missing", [["numpy"], ["safetensors"], ALL], ids="-".join)
def test_packages_may_be_missing(missing):
    code = WITHOUT.format(missing=missing, told=True)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("    pip install ") == len(missing)


def test_a_torch_that_is_there_and_does_not_work_is_a_finding():
    code = WITHOUT.format(missing=["torch"], told=False)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert "torch does not work: No module named 'torch'" in done.stdout


def _driver_says(folder, monkeypatch, script):
    """Put a program in the place of NVIDIA's."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in is a shell script")
@pytest.mark.parametrize(
    ("script", "driver", "gpus"),
    [
        ("echo 550.54.14, NVIDIA H200, 143771 MiB", "550.54.14", ["NVIDIA H200, 143771 MiB"]),
        ("printf '535.1, A, 1 MiB\\n535.1, B, 2 MiB\\n'", "535.1", ["A, 1 MiB", "B, 2 MiB"]),
        ("echo 550.54.14", "550.54.14", []),
        ("echo failed because it could not talk to the driver; exit 9", "", []),
        ("echo", "", []),
        ("printf '\\377\\376'", "", []),
    ],
)
def test_the_driver_is_asked_for_and_may_be_missing(tmp_path, monkeypatch, script, driver, gpus):
    _driver_says(tmp_path, monkeypatch, script)
    found, rows = module._nvidia()
    assert found == driver
    assert rows == [("NVIDIA driver", driver or "none found"), *((f"GPU {n}", gpu) for n, gpu in enumerate(gpus))]


@pytest.mark.parametrize("has", [True, False])
def test_what_the_processor_computes_in_is_told(monkeypatch, has):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr("DeepSegmentLib.networks.back_ends.machine.has_bfloat16", lambda: has)
    assert ("CPU computes in", "float32, bfloat16" if has else "float32") in module._torch_rows(torch)


@pytest.mark.parametrize("version", ["2026.4.1", ""])
def test_openvino_is_offered_and_never_missed(monkeypatch, version):
    monkeypatch.setattr(openvino_package, "installed_version", lambda: version)
    monkeypatch.setattr(openvino_package, "download_mb", lambda: 59)
    _, rows, findings = module._software()
    told = dict(rows)["openvino"]
    assert told == (version or openvino_package.how_to_install())
    assert version or ("59 MB" in told and told.endswith(": pip install openvino"))
    assert not [finding for finding in findings if "openvino" in finding.problem]


def _torch(cuda="12.8", hip=None, capabilities=(), kernels=("sm_80", "sm_90")):
    """What a build of torch tells of itself and its GPUs; no such machine is at hand."""
    return types.SimpleNamespace(
        version=types.SimpleNamespace(cuda=cuda, hip=hip),
        cuda=types.SimpleNamespace(
            is_available=lambda: bool(capabilities),
            device_count=lambda: len(capabilities),
            get_device_capability=lambda n: capabilities[n],
            get_arch_list=lambda: list(kernels),
        ),
    )


@pytest.mark.parametrize(
    ("torch", "driver", "problem"),
    [
        (_torch(cuda=None), "550", "is a CPU build"),
        (_torch(cuda=None), "", None),
        (_torch(cuda=None, hip="6.2", capabilities=[(9, 4)], kernels=["gfx942"]), "", None),
        (_torch(), "470", "cannot use the GPU with driver 470"),
        (_torch(), "", None),
        (_torch(capabilities=[(9, 0)]), "550", None),
        (_torch(capabilities=[(9, 0), (12, 0)]), "550", "no kernels for cuda:1 (sm_120); it has sm_80, sm_90"),
        (_torch(capabilities=[(7, 0)]), "", "no kernels for cuda:0 (sm_70)"),
    ],
)
def test_a_torch_that_does_not_fit_the_gpu_is_a_finding(monkeypatch, torch, driver, problem):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = module._device_findings(torch, driver)
    assert len(found) == (problem is not None)
    assert all(problem in finding.problem and finding.remedy for finding in found)


def test_hidden_gpus_are_told_from_an_old_driver(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (found,) = module._device_findings(_torch(), "550")
    assert "CUDA_VISIBLE_DEVICES is '-1'" in found.problem


@pytest.mark.parametrize(
    ("kernel", "gpu", "runs"),
    [
        ("sm_80", (8, 6), True),
        ("sm_86", (8, 0), False),
        ("sm_80", (9, 0), False),
        ("compute_80", (12, 0), True),
        ("compute_90", (8, 9), False),
        ("sm_90a", (9, 0), True),
        ("sm_100a", (10, 3), False),
        ("sm_100f", (10, 3), True),
        ("compute_90a", (10, 0), False),
        ("compute_100f", (12, 0), False),
        ("sm_120", (12, 0), True),
        ("sm_120", (1, 2), False),
        ("gfx90a", (9, 0), False),
    ],
)
def test_kernels_run_where_nvidia_says(kernel, gpu, runs):
    assert has_kernels([kernel], *gpu) is runs


@given(st.integers(3, 13), st.integers(0, 9), st.sampled_from(["sm", "compute"]), st.sampled_from(["", "a", "f"]))
def test_kernels_run_on_what_they_were_built_for_and_more_kernels_never_hurt(major, minor, kind, suffix):
    built = f"{kind}_{major}{minor}{suffix}"
    assert has_kernels([built], major, minor)
    assert has_kernels(["sm_30", built], major, minor)
    assert not has_kernels([], major, minor)


@pytest.mark.parametrize(("limit", "cores"), [("150000 100000", 1.5), ("max 100000", None), ("", None), ("5 0", None)])
def test_a_containers_share_of_the_cores_counts(tmp_path, monkeypatch, limit, cores):
    monkeypatch.setattr(module, "_CPU_LIMIT", tmp_path / "absent")
    unlimited = usable_cores()
    assert unlimited >= 1
    monkeypatch.setattr(module, "_CPU_LIMIT", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert usable_cores() == min(unlimited, cores or unlimited)


def test_free_space_is_that_of_the_folder_that_holds_it(tmp_path):
    assert free_disk_bytes(tmp_path / "not" / "yet") > 0
    assert free_disk_bytes(Path("relative/and/absent")) is not None
