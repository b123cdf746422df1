"""TorchScript archives, looked through before torch opens them.

Such an archive is a zip file of weights, of pickles that say which weight belongs where, and of a program in a small
language of torch's own. Opening it compiles the program without running it, but for the functions `__setstate__`, which
are refused here by their name. What the compiled program would do is looked through by `torchscript_operators`.

References:
    torch/csrc/jit/docs/serialization.md of PyTorch.
"""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.models.pickle_names import wants_of
from DeepSegmentLib.files.models.zip_members import ZIP_ERRORS, ShortReads, open_zip_of_one_reading
from DeepSegmentLib.files.opening import open_file

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_GRAPH = 4 << 30
"""Bytes, packed and unpacked; as for the weights of any network."""

_LARGEST_TEXT = 64 << 20

_MEMBERS = re.compile(
    r"data\.pkl|constants\.pkl|version|byteorder|\.format_version|\.storage_alignment|\.data/[\w.-]+|"
    r"code/[\w./]+\.py(\.debug_pkl)?|(data|constants|traced_inputs)/\d+|traced_inputs\.pkl|extra/[\w ./-]+",
    re.ASCII,
)
_TEXTS = re.compile(r"code/.*\.py", re.ASCII)

# Words of programs that do something while the archive is opened, or reach outside of it.
_REFUSED = re.compile(rb"\b(__setstate__|__getstate__|from_file|torch\s*\.\s*classes)\b")

_NAMES = re.compile(
    r"__torch__\.(?!torch\.classes\.)[\w.]+|"
    r"torch\.jit\._pickle\.(build_(int|tensor|double|bool)list|build_tensor_from_id|restore_type_tag)|"
    r"torch\._utils\._rebuild_tensor(_v2)?|collections\.OrderedDict|torch\.device|"
    r"torch\.(cuda\.)?(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage",
    re.ASCII,
)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a zip file with the program of a TorchScript archive; its content is not judged."""
    try:
        with open_file(path) as file, ZipFile(ShortReads(file)) as members:
            names = [name.partition("/")[2] for name in members.namelist()]
    except (*ZIP_ERRORS, VolumeFileError):
        return False
    return "constants.pkl" in names and any(name.startswith("code/") for name in names)


def check_torchscript(path: Path) -> None:
    """Refuse what torch must not open.

    Raises:
        ModelError: It is damaged, too large, or holds what no graph needs; the message names it.
    """
    try:
        with open_file(path) as file:
            _check_start(path, file)
            with open_zip_of_one_reading(file) as archive:
                _check_archive(path, archive)
    except (*ZIP_ERRORS, VolumeFileError) as error:
        raise ModelError(
            f"{path} is no intact TorchScript archive ({error}); get it again, or save it anew by torch.jit.save"
        ) from error


def _check_start(path: Path, file: IO[bytes]) -> None:
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_GRAPH:
        raise ModelError(f"{path} has {size} bytes, more than the {LARGEST_GRAPH} that a graph may have")
    start = file.read(4)
    file.seek(0)
    if start != b"PK\x03\x04":
        raise ModelError(f"{path} is no TorchScript archive; save it anew by torch.jit.save")


def _check_archive(path: Path, archive: ZipFile) -> None:
    infos = archive.infolist()
    names = _names_of(path, infos)
    if sum(info.file_size for info in infos) > LARGEST_GRAPH:
        raise ModelError(f"{path} unpacks to more than the {LARGEST_GRAPH} bytes that a graph may have")
    for info, name in zip(infos, names, strict=True):
        if name.endswith(".pkl"):
            _check_pickle(path, archive, info)
        elif _TEXTS.fullmatch(name):
            _check_text(path, archive, info)


def _names_of(path: Path, infos: list[ZipInfo]) -> list[str]:
    """The members' names below the archive's folder."""
    roots = {info.filename.partition("/")[0] for info in infos}
    names = [info.filename.partition("/")[2] for info in infos]
    for info, name in zip(infos, names, strict=True):
        if not _MEMBERS.fullmatch(name) or ".." in name or "\\" in info.orig_filename:
            raise ModelError(f"{path} holds {info.filename[:200]!r}, which is no part of a TorchScript archive")
        if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or info.flag_bits & 1:
            raise ModelError(f"{path}: member {info.filename[:200]!r} is packed in an unusual way")
    if len(roots) != 1 or len({name.casefold() for name in names}) < len(names):
        raise ModelError(f"{path} has two folders, or two members of one name, as no TorchScript archive has")
    if not {"data.pkl", "constants.pkl"} <= {*names}:
        raise ModelError(f"{path} lacks the data.pkl or constants.pkl of a TorchScript archive")
    return names


def _check_pickle(path: Path, archive: ZipFile, info: ZipInfo) -> None:
    if info.file_size > _LARGEST_TEXT:
        raise ModelError(f"{path}: {info.filename[:200]} has {info.file_size} bytes, more than {_LARGEST_TEXT}")
    with archive.open(info) as pickle:
        wants = wants_of(pickle)
    strangers = [name for name in wants.names if not _NAMES.fullmatch(name)]
    if strangers or wants.instructions:
        what = repr(strangers[0][:200]) if strangers else f"the instruction {wants.instructions[0]}"
        raise ModelError(
            f"{path}: {info.filename[:200]} asks for {what}, which no graph needs; it may be an attack, "
            "and was not opened"
        )


def _check_text(path: Path, archive: ZipFile, info: ZipInfo) -> None:
    if info.file_size > _LARGEST_TEXT:
        raise ModelError(f"{path}: {info.filename[:200]} has {info.file_size} bytes, more than {_LARGEST_TEXT}")
    found = _REFUSED.search(archive.read(info))
    if found:
        raise ModelError(
            f"{path}: its program has {found[0].decode('ascii', 'replace')!r} ({info.filename[:200]}), which may read "
            "files or run while the graph is opened; it was not opened"
        )
