"""A command that is killed (SIGKILL) at one of its file operations, in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Python tells a program of each file that it opens, makes, moves or removes (sys.addaudithook): of all moments these
# are the ones at which something may be half done. A delay gets the kill into the middle of what is written then.
_CHILD = """
import os, signal, sys, threading
from importlib import import_module
from DeepSegmentLib.hosts.command.main import main

modules, watched, last, delay_s, *arguments = sys.argv[1:]
for module in modules.split(","):
    import_module(module)
seen, killing = 0, False

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.link", "os.symlink"}

def count(event, details):
    global seen, killing
    if killing or not (event in CHANGES or event == "open" and str(details[0]).startswith(watched)):
        return
    seen += 1
    if seen == int(last):
        killing = True
        threading.Timer(float(delay_s), kill).start() if float(delay_s) else kill()

sys.addaudithook(count)
code = main(arguments)
if killing:
    kill()
print(seen)
sys.exit(code)
"""


def killed_command(
    arguments: Sequence[str], watched: Path, modules: Sequence[str], *, kill_at: int = 0, delay_s: float = 0.0
) -> list[str]:
    """The words of a process that runs a command; undisturbed it prints how many operations it made.

    Args:
        arguments: Of the command.
        watched: Folder below which files that are opened count; what is made, moved or removed counts everywhere.
        modules: What is imported before, so that this is not counted.
        kill_at: The operation, counted from 1; 0 for none.
        delay_s: How much later the kill comes.
    """
    return [sys.executable, "-c", _CHILD, ",".join(modules), str(watched), str(kill_at), str(delay_s), *arguments]


def report_of_kills(text: str | None, measure: Callable[[Path, int, np.random.Generator], dict[str, object]]) -> None:
    """What a script does that kills commands many times: measure, print, and with --json write.

    Args:
        text: Of the script's help.
        measure: Gets an empty folder, how often each action is killed, and the source of the moments.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30, help="kills of each action")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options.repeats, np.random.default_rng(options.seed))
    machine = f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    told = json.dumps({"machine": machine} | results, indent=2)
    print(told)
    if options.json:
        options.json.write_text(told + "\n")


def start_quietly(words: Sequence[str]) -> subprocess.Popen[str]:
    """Begin a process of `killed_command`, on one processor; see `finish`."""
    return subprocess.Popen(
        words,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end; what it printed.

    Raises:
        RuntimeError: It failed and was not killed.
    """
    out, err = process.communicate(timeout=300)
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(err)
    return out
