"""Models of others that must be refused: name, maker, and what the message must say.

Each is a small sound model of its kind (see `conformance`), of which one file is exchanged.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from foreign_models.nnunet import write_trained
from foreign_models.totalsegmentator import TRAINER, task_named, write_weights
from fuzz.cases import Case, Link, Pipe, Sparse

from DeepSegmentLib.files.models.importers.totalsegmentator.tasks import totalsegmentator_tasks

from .pickles import CALLS, attack, old_format, zip_format

NINE_GB = 9_000_000_000
SYSTEM = "os.system by REDUCE"


def files_of(make: Callable[[Path], Path]) -> dict[str, bytes]:
    """The files of a source, by name."""
    with tempfile.TemporaryDirectory() as folder:
        source = make(Path(folder))
        return {
            str(path.relative_to(source)): path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()
        }


def with_files(folder: Path, sound: Mapping[str, Any], changes: Mapping[str, Any]) -> Path:
    """A source with files exchanged; None leaves one out."""
    files = {**sound, **changes}
    Case({f"m/{name}": content for name, content in files.items() if content is not None}).write(folder)
    return folder / "m"


def edited(content: bytes, place: str, value: Any) -> bytes:
    """A JSON file with another value at a dotted place."""
    document = json.loads(content)
    *way, last = place.split("/")
    inner = document
    for key in way:
        inner = inner[int(key) if isinstance(inner, list) else key]
    inner[int(last) if isinstance(inner, list) else last] = value
    return json.dumps(document).encode()


def odd_files(sound: Callable[[], Mapping[str, Any]], name: str) -> dict[str, Any]:
    """What must be refused in place of any file that is needed."""
    short = name.rpartition("/")[2].replace(".", r"\.")
    made = {
        "is a pipe": (Pipe(), short),
        "is a device": (Link("/dev/zero"), "link out of the folder"),
        "is a file of the system": (Link("/etc/passwd"), "link out of the folder"),
        "is a link in a circle": (Link(name.rpartition("/")[2]), "in a circle"),
        "has 9 GB": (Sparse(NINE_GB), short),
        "is empty": (b"", short),
        "is text": (b"hello " * 9, short),
    }
    return {
        f"{name} {what}": (lambda d, c=content: with_files(d, sound(), {name: c}), message)
        for what, (content, message) in made.items()
    }


def odd_json(sound: Callable[[], Mapping[str, Any]], name: str) -> dict[str, Any]:
    """What must be refused in place of any JSON file."""
    short = name.rpartition("/")[2].replace(".", r"\.")
    made = {
        "is a list": b"[]",
        "has 100,000 brackets": b"[" * 100_000,
        "has a key twice": b'{"a": 1, "a": 2}',
        "holds NaN": b'{"a": NaN}',
        "holds nothing": b"{}",
        "is 100 MB long": b'{"a": "' + b"x" * 100_000_000 + b'"}',
        "is half": b'{"a": [1, 2',
    }
    return {
        f"{name} {what}": (lambda d, c=content: with_files(d, sound(), {name: c}), short)
        for what, content in made.items()
    }


def attacks(sound: Callable[[], Mapping[str, Any]], name: str) -> dict[str, Any]:
    """All pickles that run something, in place of a checkpoint."""
    return {
        f"{name} with {call}{where}": (
            lambda d, c=call, f=form: with_files(d, sound(), {name: f(attack(c, d))}),
            f"{Path(name).name}.*wants to call.*{message}",
        )
        for call, (_, message) in CALLS.items()
        for where, form in (("", zip_format), (", old format", old_format))
    }


CHECKPOINT = "fold_0/checkpoint_final.pth"


@cache
def nnunet() -> dict[str, bytes]:
    """A sound nnU-Net model."""
    return files_of(write_trained)


def _plans(place: str, value: Any) -> Callable[[Path], Path]:
    return lambda d: with_files(d, nnunet(), {"plans.json": edited(nnunet()["plans.json"], place, value)})


def _dataset(place: str, value: Any) -> Callable[[Path], Path]:
    return lambda d: with_files(d, nnunet(), {"dataset.json": edited(nnunet()["dataset.json"], place, value)})


_FULL = "configurations/3d_fullres"
_ARGUMENTS = f"{_FULL}/architecture/arch_kwargs"

NNUNET = {
    **attacks(nnunet, CHECKPOINT),
    **odd_files(nnunet, CHECKPOINT),
    **odd_files(nnunet, "plans.json"),
    **odd_files(nnunet, "dataset.json"),
    **odd_json(nnunet, "plans.json"),
    **odd_json(nnunet, "dataset.json"),
    "a network that runs a program": (
        _plans(f"{_FULL}/architecture/network_class_name", "subprocess.Popen"),
        r"plans\.json.*subprocess\.Popen",
    ),
    "an activation that runs a program": (_plans(f"{_ARGUMENTS}/nonlin", "os.system"), r"plans\.json.*nonlin.*system"),
    "a norm that runs a program": (_plans(f"{_ARGUMENTS}/norm_op", "os.system"), r"plans\.json.*norm_op.*system"),
    "a convolution that runs a program": (_plans(f"{_ARGUMENTS}/conv_op", "os.system"), "plans.json.*conv_op.*system"),
    "a normalization that runs a program": (
        _plans(f"{_FULL}/normalization_schemes", ["os.system"]),
        r"plans\.json.*os\.system",
    ),
    "a resampling that runs a program": (
        _plans(f"{_FULL}/resampling_fn_data", "os.system"),
        r"plans\.json.*os\.system",
    ),
    "a million features": (_plans(f"{_ARGUMENTS}/features_per_stage", [10**6] * 3), r"plans\.json|features"),
    "10^30 stages": (_plans(f"{_ARGUMENTS}/n_stages", 10**30), r"plans\.json.*n_stages"),
    "kernels of 9,999": (_plans(f"{_ARGUMENTS}/kernel_sizes", [[9999] * 3] * 3), "kernel"),
    "a patch of 10^9": (_plans(f"{_FULL}/patch_size", [10**9] * 3), "patch"),
    "a spacing of 0": (_plans(f"{_FULL}/spacing", [0.0, 1.0, 1.0]), "spacing"),
    "a configuration that inherits itself": (_plans(f"{_FULL}/inherits_from", "3d_fullres"), "in a circle"),
    "transposing to nowhere": (_plans("transpose_forward", [0, 0, 9]), "transpose_forward"),
    "transposing back from nowhere": (_plans("transpose_backward", [0, 1, 9]), "transpose_backward"),
    "no labels": (_dataset("labels", {}), r"dataset\.json.*labels"),
    "labels of expressions": (_dataset("labels", {"background": 0, "a": "$__import__()"}), r"dataset\.json.*labels"),
    "100,000 channels": (
        _dataset("channel_names", {str(n): str(n) for n in range(100_000)}),
        r"dataset\.json|channels",
    ),
}  # fmt: skip


@cache
def totalsegmentator() -> dict[str, bytes]:
    """A sound network of TotalSegmentator, of which one is a model."""
    files = files_of(lambda folder: write_weights(folder, _TASK, 952))
    return {f"{_DATASET}/{name}": content for name, content in files.items()}


_TASK = task_named("totalseg-abdominal_muscles")
_DATASET = totalsegmentator_tasks().by_number[952].folder
_TRAINED = f"{_DATASET}/{TRAINER}__nnUNetPlans__{_TASK.configuration}"

TOTALSEGMENTATOR = {
    **attacks(totalsegmentator, f"{_TRAINED}/{CHECKPOINT}"),
    **odd_files(totalsegmentator, f"{_TRAINED}/{CHECKPOINT}"),
    **odd_json(totalsegmentator, f"{_TRAINED}/plans.json"),
    **odd_json(totalsegmentator, f"{_TRAINED}/dataset.json"),
}


def add(source: Path, folder: Path) -> None:
    """Add a model by the front door, to a catalogue beside it."""
    from DeepSegmentLib.files.models.importers import Words
    from DeepSegmentLib.service.catalogue import add_model

    before = os.environ.get("DEEPSEGMENT_MODELS")
    os.environ["DEEPSEGMENT_MODELS"] = str(folder)
    try:
        add_model([source], Words(name="hostile"))
    finally:
        os.environ.pop("DEEPSEGMENT_MODELS")
        if before is not None:
            os.environ["DEEPSEGMENT_MODELS"] = before
