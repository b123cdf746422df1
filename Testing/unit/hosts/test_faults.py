"""Whatever happens, the user reads a sentence, on whatever terminal; and the exit code is what it should be."""

import errno
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Progress, Segment
from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.evaluation.spreadsheet_cells import text_cell
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.hosts.command.terminal import progress_text, table
from DeepSegmentLib.hosts.faults import ISSUES, as_error
from DeepSegmentLib.networks.architectures.unet import UNet

HOSTILE = "\x1b[2J\x9b31m\u202eevil\r\n\x07"


class _MuteError(Exception):
    def __str__(self):
        raise RuntimeError("cannot even say what it is")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyError("x"), 1),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 6),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 6),
        (RecursionError("deep"), 1),
        (UnicodeEncodeError("ascii", "ä", 0, 1, "no"), 1),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 5000), 3),
        (OSError(errno.EIO, "Input/output error", "a.nrrd"), 3),
        (OSError(errno.EDEADLK, "Deadlock", "a.nrrd"), 1),
        (OSError(errno.ENOSPC, "No space left on device", "a.nrrd"), 6),
        (AssertionError(), 1),
        (ZeroDivisionError("a\x1b[31m\nb"), 1),
        (_MuteError(), 1),
        (MemoryError(), 6),
        (InvalidInputError("ours"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_error_is_a_sentence_with_what_was_done_and_a_code(monkeypatch, capsys, error, code):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("DeepSegmentLib.service.evaluate.evaluate_files", fail)
    assert main(["evaluate", "reference.nrrd", "mine.nrrd"]) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert len(said) < 900
    if code == 1:
        assert "evaluate reference.nrrd mine.nrrd failed by a fault of DeepSegment" in said
        assert ISSUES in said
        assert "deepsegment diagnose" in said
    if isinstance(error, OSError) and code == 6:
        assert "the disk is full (evaluate reference.nrrd mine.nrrd: a.nrrd)" in said
    if isinstance(error, MemoryError):
        assert "memory ran out (evaluate reference.nrrd mine.nrrd); close other programs" in said


def test_where_it_happened_is_shown_on_demand(monkeypatch, capsys):
    monkeypatch.setenv("DEEPSEGMENT_TRACEBACK", "1")
    try:
        raise KeyError("x")  # noqa: TRY301 - it needs a place
    except KeyError as error:
        as_error(error, "segment a.nii")
    assert "test_faults.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["\ud800.nii", "a\0b.nii", "x" * 300 + ".nii", "/proc/self/mem", "", "\udcff/\ud800.nrrd"]
)
@pytest.mark.parametrize("command", [
    "segment {} out.nrrd", "segment {} {}", "correct {} {} --prompts {} --output {}", "evaluate {} {} --csv {}",
    "export {} {} --to nifti --output {}", "export {} {} --to nnunet --output {}", "models add {}", "models info {}",
    "train-synthetic {} {} {} --checkpoint {}", "correct --resume {} --output out.nrrd",
    "segment out out.nrrd --model {}",
])  # fmt: skip
def test_no_name_is_a_fault(tmp_path, monkeypatch, capsys, command, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    assert main([word.format(name) for word in command.split()]) in (2, 3, 4)
    said = capsys.readouterr().err
    assert "by a fault of DeepSegment" not in said
    assert not list(tmp_path.iterdir())


def test_our_errors_stay_what_they_are():
    ours = ResourceError("no room")
    assert as_error(ours, "x") is ours


@given(st.text())
def test_nothing_in_a_plain_text_acts_on_a_terminal(text):
    shown = plain(text)
    assert all(letter in "\u200c\u200d" or unicodedata.category(letter)[0] != "C" or letter.isprintable() or
               unicodedata.category(letter) in ("Co", "Cn") for letter in shown)  # fmt: skip
    assert len(shown.splitlines()) <= 1
    assert plain(shown) == shown
    shown.encode("utf-8")


def test_tables_and_progress_are_plain():
    assert "\x1b" not in table(("name",), [(HOSTILE,)])
    assert len(table(("name",), [(HOSTILE,)]).splitlines()) == 2
    assert plain(HOSTILE) in progress_text(Progress(HOSTILE, 0.5))


@pytest.fixture
def hostile_model(tmp_path, monkeypatch):
    """A model whose every text is written to act on a terminal."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    torch.manual_seed(0)
    spec = model_spec(description=HOSTILE, segments=(Segment(f"=cmd{HOSTILE}", 1), Segment("right", 2)))
    save_model(tmp_path / "models" / "bad", spec, UNet(TINY_UNET), card=f"# {HOSTILE}\nsecond line\n")
    return spec.name


def test_models_cannot_act_on_the_terminal(hostile_model, capsys):
    for command in (["list"], ["info", hostile_model], ["list", "--json"], ["info", hostile_model, "--json"]):
        capsys.readouterr()
        assert main(["models", *command]) == 0
        shown = capsys.readouterr().out
        assert not any(letter in shown for letter in "\x1b\x9b\u202e\r\x07"), command
        if "--json" in command:
            told = json.loads(shown)
            assert HOSTILE in [entry["description"] for entry in (told if isinstance(told, list) else [told])]


@given(st.text(max_size=8))
def test_no_cell_is_a_formula(text):
    cell = text_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix("'") == text.removeprefix("'")


CODE = "import sys; from DeepSegmentLib.hosts.command.main import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.skipif(sys.platform == "win32", reason="shells and names of POSIX")
def test_terminals_of_few_letters_closed_streams_and_readers_that_leave(pytestconfig, hostile_model):
    python = f"{sys.executable} -c '{CODE}'"
    script = f"""
        {python} models info {hostile_model} > info.txt; echo $?
        {python} segment $'gr\\xf6\\xdfe.nii' out.nrrd; echo $?
        {python} segment {"a" * 250}.nii {"b" * 250}.nrrd; echo $?
        {python} models list >&- 2>&-; echo $?
        {python} evaluate a.nrrd b.nrrd 2>&-; echo $?
        {python} models list > /dev/full; echo $?
        {python} --help | true; echo ${{PIPESTATUS[0]}}
        {python} models list | true; echo ${{PIPESTATUS[0]}}
    """
    folder = os.environ["DEEPSEGMENT_MODELS"]
    path = {**os.environ, "PYTHONPATH": str(pytestconfig.rootpath), "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        check=False,
        cwd=folder,
        env={**path, "PYTHONIOENCODING": "ascii", "DEEPSEGMENT_MODELS": folder},
    )
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr, done.stderr
    codes = done.stdout.split()
    assert codes[:-2] == [b"0", b"3", b"3", b"0", b"3", b"6" if Path("/dev/full").exists() else b"0"], done
    assert set(codes[-2:]) <= {b"0", b"141"}  # whether the reader left before the writer was done
    assert b"gr\\udcf6\\udcdfe.nii does not exist" in done.stderr
    assert b"too long" in done.stderr
