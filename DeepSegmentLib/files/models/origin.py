"""What a model was made from: how large that is, and its checksum."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress
from DeepSegmentLib.files.opening import is_folder, open_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback

# What importers read; the folder of a training holds pictures and predictions, too.
_COUNTED = (".json", ".yaml", ".yml", ".pt", ".pth", ".ts", ".onnx", ".safetensors", ".pkl")


def bytes_of(source: Path) -> int:
    """Bytes of a file, or of all files in a folder; links count nothing, nor does what cannot be read."""
    return sum(size for _, size in _files(source))


def checksum_of(source: Path, on_progress: ProgressCallback) -> str:
    """SHA-256 of a file, or of the names and digests of the files in a folder that can be part of a model.

    Raises:
        VolumeFileError: A file cannot be read.
        Cancelled: By `on_progress`.
    """
    if not is_folder(source):
        return _digest(source, on_progress)
    parts = hashlib.sha256()
    for path, _ in sorted(_files(source)):
        if path.suffix.lower() in _COUNTED:
            parts.update(f"{path.relative_to(source).as_posix()} {_digest(path, on_progress)}\n".encode())
    return parts.hexdigest()


def _digest(path: Path, on_progress: ProgressCallback) -> str:
    digest = hashlib.sha256()
    with open_file(path) as file:
        while block := file.read(1 << 22):
            digest.update(block)
            on_progress(Progress("check where it came from", 0.5))
    return digest.hexdigest()


def _files(source: Path) -> Iterator[tuple[Path, int]]:
    """Plain files and their bytes."""
    if not is_folder(source):
        yield source, source.stat().st_size if source.is_file() else 0
        return
    for where, _, names in os.walk(source):
        for name in names:
            path = source.__class__(where, name)
            if path.is_file() and not path.is_symlink():
                yield path, path.stat().st_size
