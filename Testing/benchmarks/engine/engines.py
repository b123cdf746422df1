"""The engines that are compared: how each is started for a case, and what it tells of its steps."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cases import Case

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
PEERS = {
    "nnunet": ("nnU-Net", "peer_nnunet.py", ()),
    "nnunet-processes": ("nnU-Net, with its processes", "peer_nnunet.py", ("--processes",)),
    "monai": ("MONAI", "peer_monai.py", ()),
}
"""By the word of `--engines`: what tables say, script and options."""


def environment(work: Path) -> dict[str, str]:
    """Of our command: this tree's library, and a user who has nothing yet."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_DATA_HOME": str(work / "user")}


def command(*arguments: str) -> list[str]:
    """Our command in a process of its own."""
    return [sys.executable, "-m", "DeepSegmentLib", *arguments]


def make(case: Case, work: Path, *, export: bool) -> None:
    """Volume and model of a case, where they are missing; for peers also as nnU-Net has models."""
    words = [sys.executable, str(HERE / "make.py"), "--case", case.name, "--work", str(work)]
    if not (case.volume_file(work).is_file() and case.model_folder(work).is_dir()):
        subprocess.run(words, check=True, env=environment(work))
    folder = case.exported_folder(work)
    if export and not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = command("models", "export", str(case.model_folder(work)), "--to", "nnunet", str(folder), "--quiet")
        subprocess.run(words, check=True, env=environment(work))


@dataclass(frozen=True)
class Engine:
    """One of them.

    Attributes:
        name: As it stands in tables.
        script: A peer's; empty for ours.
        options: Further ones of its command.
        python: That runs a peer.
    """

    name: str
    script: str = ""
    options: tuple[str, ...] = ()
    python: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it is this library."""
        return not self.script

    @property
    def word(self) -> str:
        """The name as part of a file name."""
        return "".join(c if c.isalnum() else "-" for c in self.name.lower())

    def started(self, case: Case, work: Path) -> tuple[list[str], dict[str, str]]:
        """Command and environment."""
        volume, output, told = (
            str(path) for path in (case.volume_file(work), self.output(case, work), self.told(case, work))
        )
        if self.is_ours:
            files = [volume, output, "--model", str(case.model_folder(work)), "--report", told]
            words = command("segment", *files, "--device", "cpu", "--replace", "--quiet", *self.options)
            return words, environment(work)
        trained = next(case.exported_folder(work).glob("*/nnUNetTrainer__*"))
        files = ["--trained", str(trained), "--volume", volume, "--output", output]
        folders = {key: str(work) for key in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
        given = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return [self.python, str(HERE / self.script), *files, "--seconds", told, *self.options], given | folders

    def output(self, case: Case, work: Path) -> Path:
        """Where the labels go."""
        return work / "labels" / case.name / f"{self.word}.nii.gz"

    def told(self, case: Case, work: Path) -> Path:
        """Where the seconds go."""
        return work / "labels" / case.name / f"{self.word}.json"

    def seconds(self, case: Case, work: Path, wall: float) -> tuple[dict[str, float], dict[str, float]]:
        """Of each step that is told of, and what else is told: what does not count, and the other way of MONAI's."""
        told: dict[str, Any] = json.loads(self.told(case, work).read_text())
        steps = flattened(told.get("seconds", {}))
        if self.is_ours:
            steps = {"start": round(max(0.0, wall - sum(steps.values())), 3)} | steps
        return steps, {key: told[key] for key in ("not_counted", "argmax_on_network_grid") if key in told}


def flattened(seconds: dict[str, Any], before: str = "") -> dict[str, float]:
    """Steps within steps by their joined names."""
    flat: dict[str, float] = {}
    for name, value in seconds.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{before}{name}: ")
        elif isinstance(value, int | float):
            flat[before + name] = float(value)
    return flat


def chosen_engines(words: list[str], variants: list[str], python: str | None) -> list[Engine]:
    """The engines of the words of `--engines`, ours in all its variants.

    Args:
        words: "ours" or a key of `PEERS`.
        variants: NAME=OPTIONS of the command, each a further row of ours.
        python: Of the peers' environment.
    """
    found = []
    for word in words:
        if word == "ours":
            found.append(Engine("DeepSegment"))
            for variant in variants:
                name, _, options = variant.partition("=")
                found.append(Engine(f"DeepSegment, {name}", options=tuple(shlex.split(options))))
        elif python is None:
            raise SystemExit(f"{word} needs --peer, the Python of an environment that has it")
        else:
            name, script, options = PEERS[word]
            found.append(Engine(name, script, options, python))
    return found
