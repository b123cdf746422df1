"""Commands as a user gives them, and steps that are not done twice."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path[:0] = [str(REPOSITORY), str(HERE.parent / "engine")]
from machine import commit, machine
from measure import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

RESULTS = HERE.parent / "results"
_OF_FREE_MEMORY = 0.95


def parser_of(text: str | None) -> argparse.ArgumentParser:
    """The options that all benchmarks of learning have; the text is that of the script."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEGMENT_TEST_DATA"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--held-out", type=int, help="score so many only; the report then stays in WORK")
    return parser


def parsed_by(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was asked for, with whole paths."""
    options = parser.parse_args()
    if options.data is None:
        parser.error("give --data, or set DEEPSEGMENT_TEST_DATA")
    options.data, options.work = Path(options.data).resolve(), options.work.resolve()
    return options


@dataclass(frozen=True)
class Ran:
    """A command that came to its end.

    Attributes:
        answer: What it printed as its last line of JSON; empty where it printed none.
        took: Seconds and memory, and what other processes took in that time.
        failure: Why it did not end well; empty where it did.
    """

    answer: dict[str, Any]
    took: dict[str, Any]
    failure: str


def run_words(words: Sequence[str], environment: Mapping[str, str], log: Path) -> Ran:
    """Run a command alone, with what it prints in a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    load = [round(each, 2) for each in os.getloadavg()]
    measured = run(words, environment, log, int(_OF_FREE_MEMORY * psutil.virtual_memory().available))
    took = {
        "wall_seconds": measured.wall_seconds,
        "cpu_seconds": measured.cpu_seconds,
        "others_seconds": measured.others_seconds,
        "peak_bytes": measured.peak_bytes,
        "load": load,
        "commit": commit(),
    }
    return Ran(last_json(log.read_text(errors="replace")), took, measured.failure)


def last_json(text: str) -> dict[str, Any]:
    """The last line that is an object of JSON; empty where there is none."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return dict(json.loads(line))
            except ValueError:
                continue
    return {}


@dataclass(frozen=True)
class Shell:
    """Where commands run.

    Attributes:
        work: Folder for their models and logs; the user's own catalogue is left alone.
    """

    work: Path

    def deepsegment(self, *words: object, name: str) -> Ran:
        """Run `deepsegment` to a good end.

        Args:
            words: Behind its name.
            name: Of the log.

        Raises:
            SystemExit: It failed.
        """
        ran = self.attempt(*words, name=name)
        if ran.failure:
            told = " ".join(map(str, words))
            raise SystemExit(f"deepsegment {told}: {ran.failure}; see {self._log(name)}")
        return ran

    def attempt(self, *words: object, name: str) -> Ran:
        """Run `deepsegment`, which may fail."""
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "DEEPSEGMENT_MODELS": str(self.work / "models")}
        return run_words([sys.executable, "-m", "DeepSegmentLib", *map(str, words)], environment, self._log(name))

    def peer(self, python: str, script: Path, *words: object, name: str, workers: int = 1) -> Ran:
        """Run a script in nnU-Net's environment to a good end.

        Raises:
            SystemExit: It failed.
        """
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment = kept | {"nnUNet_n_proc_DA": str(workers), "nnUNet_compile": "f", "nnUNet_def_n_proc": "2"}
        ran = run_words([python, str(script), *map(str, words)], environment, self._log(name))
        if ran.failure:
            raise SystemExit(f"{script.name} {' '.join(map(str, words))}: {ran.failure}; see {self._log(name)}")
        return ran

    def _log(self, name: str) -> Path:
        return self.work / "logs" / f"{name.replace(' ', '-')}.log"


class Steps:
    """Results of steps, kept in a file after each: a run that was stopped goes on with the first one that is missing.

    Args:
        path: Of the file.
        settings: What all steps follow from: a file of other settings is refused.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._path = path
        told = json.loads(json.dumps(settings))
        self.content: dict[str, Any] = {"settings": told, "machine": machine(), "steps": {}}
        if path.is_file():
            found = json.loads(path.read_text())
            if found["settings"] != told:
                raise SystemExit(f"{path} is of other settings: {found['settings']}; give --work another folder")
            if found["machine"]["processor"] != self.content["machine"]["processor"]:
                raise SystemExit(f"{path} is of another machine; give --work another folder")
            self.content = found

    def done(self, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a step gave, now or before."""
        steps: dict[str, dict[str, Any]] = self.content["steps"]
        if name not in steps:
            print(f"== {name}", flush=True)
            steps[name] = json.loads(json.dumps(work()))
            self.write(self._path, self.content)
        return steps[name]

    @staticmethod
    def write(path: Path, content: dict[str, Any]) -> None:
        """Write JSON, completely or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".part")
        fresh.write_text(json.dumps(content, indent=1) + "\n")
        fresh.replace(path)


def minutes_name(minutes: float) -> str:
    """Minutes as part of a name of a model."""
    return f"{minutes:g}".replace(".", "-") + "min"
