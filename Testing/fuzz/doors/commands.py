"""The command line: options and paths of all kinds, on files that are whole or not."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random

from ..cases import Case, Content, Link, Pipe
from ..door import Door, head_first, odd_files, packed, texts_and_data
from ..json_mutators import mutate_json
from ..mutators import BYTES, NUMBER_WORDS, mutated
from . import nrrd
from .dicom import mutate_dicom, slice_file
from .documents import PROMPTS, dataset_seeds, text
from .models import sound_model
from .nifti import nifti1, voxels

_SHAPE = (8, 10, 12)
_COMMANDS = (
    "segment head.nii out.seg.nrrd --model m",
    "segment head.nii new/out.nii.gz --model m --report r.json --preview p.png --save-uncertainty --overlap 0.3",
    "segment head.nii out.nrrd --model m --save-probabilities left,right --raw --tta --json",
    "segment head.nii out --model m --subset left --statistics s.csv --format per-segment --quiet",
    "segment head.nii out.mha --model m --roi 0 0 0 5 5 5",
    "segment series out.seg.nrrd --model m",
    "segment volumes results --model m --report reports --skip-existing",
    "correct head.nii labels.seg.nrrd --prompts prompts.json --output fixed.seg.nrrd",
    "correct head.nii labels.seg.nrrd --prompts prompts.json --output fixed.nii.gz --journal journal --radius 3 --json",
    "correct head.nii labels.seg.nrrd --prompts prompts.json --output fixed.seg.nrrd --mode grow --overwrite",
    "models list --json",
    "models info m",
    "models verify m",
    "models add m",
    "models remove tiny-brain",
    "evaluate labels.seg.nrrd labels.seg.nrrd --csv scores.csv --report scores.json",
    "evaluate labels.seg.nrrd labels.seg.nrrd --tolerance 2 --json",
    "export head.nii labels.seg.nrrd --to nifti --output exported",
    "export head.nii labels.seg.nrrd --to csv --output volumes.csv --case x",
    "export head.nii labels.seg.nrrd --to seg-nrrd --output exported.seg.nrrd --json",
    "export head.nii labels.seg.nrrd --to nnunet --output Dataset502_New --channel-name CT",
    "export head.nii labels.seg.nrrd --to nnunet --output Dataset501_Test --new-labels --case a --replace",
    "export series labels.seg.nrrd --to dicom-seg --output seg.dcm --made-by manual",
    "export head.nii labels.seg.nrrd --to glb --output surfaces.glb --smoothing 3",
    "export head.nii labels.seg.nrrd --to monai-label --output store --case x",
    "dataset check Dataset501_Test --pictures pictures",
    "dataset splits Dataset501_Test --folds 2 --output splits.json",
    "train-synthetic recipe.json nothing trained --checkpoint c.pt",
    "diagnose",
)
_PATHS = (
    *(
        "pipe.nii",
        "zero.nii",
        "loop.nii",
        "empty.nii",
        "nodir/x.nii",
        "nodir/deep/x.seg.nrrd",
        "\udcff.nii",
        "é.nii.gz",
    ),
    *("a" * 250 + ".nii.gz", "a" * 300, "x\0y.nii", "", ".", "./head.nii", "m/../head.nii", "head.nii/", "linked.nii"),
    *(
        "\x1b[2J.nii.gz",
        "=1+1.csv",
        "%s%n.nii",
        "out.txt",
        "m",
        "series",
        "volumes",
        "labels.seg.nrrd",
        "head.nii",
        "prompts.json",
    ),
    *(
        "m/model.json",
        "Dataset501_Test",
        "Dataset501_Test/dataset.json",
        "reports",
        "-",
        "~",
        "con.nii",
        "/proc/self/x.nii",
    ),
)
_OPTIONS = (
    *("--json", "--tta", "--raw", "--skip-existing", "--replace", "--overwrite", "--save-uncertainty", "--new-labels"),
    *("--any-spacing", "--help", "--no-such-option", "--device=cuda:99", "--device=x", "--device=", "--series=1.2.3"),
    *(f"--overlap={number}" for number in ("0", "0.99", "1", "-1", "nan", "inf", "1e308")),
    *(f"--radius={number}" for number in ("0", "1e9", "1e308", "-1", "nan", "1e-300")),
    *(f"--tolerance={number}" for number in ("0", "1e308", "-1", "nan")),
    *(f"--aggressiveness={number}" for number in ("2", "nan", "-1")),
    *(f"--segment={name}" for name in ("\ud800", "", "nobody", "\x1b[31m")),
    *(f"--case={name}" for name in ("..", "///", "con", "a" * 300, "\udcff", "a/b")),
    *(f"--model={name}" for name in ("", "..", "brain-mr2", "\udcff", "pipe.nii", "m/model.json", "\0")),
    *(
        f"--{option}={path}"
        for option in ("report", "preview", "csv", "output", "journal", "resume", "channel")
        for path in ("head.nii", "nodir/x", "pipe.nii", "")
    ),
)
_OUTPUTS = ("utf-8", "ascii", "closed")


@cache
def files() -> dict[str, Content]:
    """A volume, a segmentation, prompts, models, a series, a dataset, and what cannot be read."""
    labels = (voxels("u1", *_SHAPE) % 3).tobytes()
    sizes = " ".join(map(str, _SHAPE[::-1]))
    directions = "(-1,0,0) (0,-1,0) (0,0,1.5)"
    segments = [line.replace("Größe", "right").replace("left \\\\ right", "left") for line in nrrd.SEGMENTS]
    segmentation = nrrd.nrrd(
        labels, *segments, type="uchar", sizes=sizes, space_directions=directions, space_origin="(3,4,-5)"
    )
    prompts = [{**each, "segment": "left"} for each in PROMPTS]
    return {
        "head.nii": nifti1("i2", _SHAPE),
        "linked.nii": Link("head.nii"),
        "labels.seg.nrrd": segmentation,
        "prompts.json": text(prompts),
        "volumes/a.nii": nifti1("i2", _SHAPE),
        "volumes/b.nii": nifti1("f4", _SHAPE),
        "recipe.json": text({}),
        "empty.nii": b"",
        "pipe.nii": Pipe(),
        "zero.nii": Link("/dev/zero"),
        "loop.nii": Link("loop.nii"),
        **{f"series/{n}.dcm": slice_file(n) for n in range(3)},
        **{f"m/{name}": content for name, content in sound_model().items()},
        **{f"models/tiny-brain/{name}": content for name, content in sound_model().items()},
        **dataset_seeds()[0].files,
    }


def seeds() -> list[Case]:
    """Each command as it is meant."""
    return [Case(files(), ("utf-8", *command.split())) for command in _COMMANDS]


_CHANGES = {
    ".nii": head_first(352),
    ".nii.gz": packed(head_first(352)),
    ".nrrd": texts_and_data(b"\n\n", nrrd.text),
    ".json": mutate_json,
    ".dcm": mutate_dicom,
    ".safetensors": lambda random, content: mutated(random, content, BYTES),
}


def mutate(random: Random, cases: Sequence[Case]) -> Case:
    """Arguments replaced, left out, added; now and then a file gone wrong."""
    seed = random.choice(cases)
    arguments = list(seed.arguments[1:])
    for _ in range(random.choice((1, 1, 2, 3))):
        _mutate_arguments(random, arguments)
    files_now = _mutate_file(random, seed.files) if random.random() < 0.3 else seed.files
    output = random.choice(_OUTPUTS) if random.random() < 0.2 else "utf-8"
    return replace(seed, files=files_now, arguments=(output, *arguments), note=" ".join(arguments)[:120])


def _mutate_arguments(random: Random, arguments: list[str]) -> None:
    at = random.randrange(1, len(arguments)) if len(arguments) > 1 else 0
    action = random.randrange(6)
    if action == 0 and len(arguments) > 1:
        del arguments[at]
    elif action == 1:
        arguments.insert(at + 1, random.choice(_OPTIONS))
    elif action == 2:
        arguments[at] = random.choice(NUMBER_WORDS)[:400]
    elif action == 3:
        arguments.append(random.choice(_OPTIONS))
    else:
        arguments[at] = random.choice(_PATHS)


def _mutate_file(random: Random, files: dict[str, Content]) -> dict[str, Content]:
    known = [(name, ending) for name in sorted(files) for ending in _CHANGES if name.endswith(ending)]
    name, ending = random.choice([each for each in known if isinstance(files[each[0]], bytes) and files[each[0]]])
    fresh = random.choice(odd_files()[:8]) if random.random() < 0.1 else _CHANGES[ending](random, files[name])
    return {key: value for key, value in {**files, name: fresh}.items() if value is not None}


def hostile() -> list[Case]:
    """What filled memory, hung, or destroyed what was read."""
    lines = (
        "segment far.nii out.seg.nrrd --model m",
        "segment near.nii out.seg.nrrd --model m",
        "segment far.nii out.seg.nrrd --model m --any-spacing",
        "segment near.nii out.seg.nrrd --model m --any-spacing",
        "segment long.nii out.seg.nrrd --model m --preview p.png --any-spacing",
        "segment pipe.nii out.seg.nrrd --model m",
        "segment zero.nii out.seg.nrrd --model m",
        "correct head.nii labels.seg.nrrd --prompts prompts.json --output o.seg.nrrd --radius 1e9",
        "correct head.nii labels.seg.nrrd --prompts prompts.json --output o.seg.nrrd --radius 1e308",
        "correct head.nii labels.seg.nrrd --prompts far.json --output o.seg.nrrd",
        "correct head.nii labels.seg.nrrd --prompts long.json --output o.seg.nrrd",
        "correct head.nii labels.seg.nrrd --prompts many.json --output o.seg.nrrd",
        "evaluate labels.seg.nrrd labels.seg.nrrd --tolerance 1e308",
        f"segment head.nii {'a' * 250}.seg.nrrd --model m",
        "export head.nii labels.seg.nrrd --to nnunet --output Dataset503_Out --replace",
        "models list",
        "models info pipe.nii",
        "models add pipe.nii",
        "models add zero.nii",
    )
    odd = {"models/pipe": Pipe(), "models/p/model.json": Pipe(), "models/zero/model.json": Link("/dev/zero")}
    cases = [
        Case(
            {**files(), **named_in(line), **(odd if line.startswith("models") else {})}, ("utf-8", *line.split()), line
        )
        for line in lines
    ]
    shown = [
        replace(seed, arguments=(kind, *seed.arguments[1:]), note=f"{kind} output")
        for seed in seeds()
        for kind in ("ascii", "closed")
    ]
    return [*cases, *shown]


@cache
def far_files() -> dict[str, Content]:
    """Volumes of odd spacing, prompts that are far, long or many, and a dataset that names files outside."""

    def spaced(*steps: float) -> bytes:
        content = bytearray(nifti1("i2", _SHAPE))
        struct.pack_into("<3f", content, 80, *steps)
        struct.pack_into("<2h", content, 252, 0, 0)
        return bytes(content)

    scribble = {**PROMPTS[1], "segment": "left"}
    corners = [[n % 12 * 0.5, n % 10 * 0.5, n % 8] for n in range(300_000)]
    outside = {"a": {"images": ["../outside.txt"], "label": "../../outside.txt"}}
    return {
        "far.nii": spaced(1000, 1000, 1000),
        "near.nii": spaced(1e-4, 1e-4, 1e-4),
        "long.nii": spaced(0.01, 0.01, 300),
        "far.json": text([{**scribble, "points_ras": [[0, 0, 0], [1e12, 0, 0]]}]),
        "long.json": text([{**scribble, "points_ras": corners}]),
        "many.json": text([{**PROMPTS[0], "segment": "left"}] * 20_000),
        "Dataset503_Out/dataset.json": text(
            {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0, "left": 1},
                "numTraining": 1,
                "file_ending": ".nii.gz",
                "dataset": outside,
            }
        ),
    }


def named_in(line: str) -> dict[str, Content]:
    """Those of `far_files` that a command names; the dataset comes with its folder."""
    return {name: content for name, content in far_files().items() if name.partition("/")[0] in line}


def run(folder: Path, case: Case) -> None:
    """Run a command in the folder; its standard output may be narrow, or closed."""
    from DeepSegmentLib.errors import DeepSegmentError
    from DeepSegmentLib.hosts.command.main import main

    os.environ["DEEPSEGMENT_MODELS"], os.environ["XDG_DATA_HOME"] = str(folder / "models"), str(folder / "data")
    os.environ["DEEPSEGMENT_TRACEBACK"] = "1"
    kind, *arguments = case.arguments
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(_output(kind)):
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = ended.code
    said = errors.getvalue()
    if "memory ran out" in said:
        raise MemoryError(said[-600:])
    if "by a fault of DeepSegment" in said or "Traceback" in said:
        raise RuntimeError(said[-900:-300])
    if code:
        raise DeepSegmentError(said[-400:])


def _output(kind: str) -> io.TextIOBase:
    if kind != "closed":
        return io.TextIOWrapper(io.BytesIO(), encoding=kind, write_through=True)
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", encoding="utf-8", buffering=1)  # noqa: PTH123 - closed with the process


DOORS = (Door("command", seeds, mutate, run, hostile),)
