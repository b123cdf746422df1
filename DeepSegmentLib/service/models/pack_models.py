"""Models in one zip file, for machines without network: with checksums, and the wheels of packages where asked for."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import ChecksumError, InvalidInputError, MissingPackageError, ModelError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.models import read_spec, unpacked, verify_model
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.files.models.licences import nobody_agrees
from DeepSegmentLib.files.models.origin import bytes_of, checksum_of
from DeepSegmentLib.files.models.places import user_models_folder
from DeepSegmentLib.files.models.zip_members import ZIP_ERRORS, ShortReads
from DeepSegmentLib.files.opening import inside, is_folder, open_file, read_json
from DeepSegmentLib.files.output_checks import Output, check_outputs, check_room, inputs_of
from DeepSegmentLib.service.catalogue import add_model, check_free, find_model, list_models

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.models.licences import Agrees
    from DeepSegmentLib.service.catalogue import ModelEntry

DOWNLOAD = "download"
"""What is said instead of a folder of wheels: pip shall download them."""

_FORMAT = 1
_MANIFEST, _MODELS, _WHEELS, _README = "manifest.json", "models", "wheels", "README.txt"
_LARGEST_MANIFEST = 4 << 20
_PIP_S = 0.1
_TEXT = """Models for DeepSegment, and perhaps the packages that it needs.

Packages (folder "wheels", if there is one; they are for {platform}, Python {python}):
    python -m zipfile -e THIS_FILE packed
    python -m pip install --no-index --find-links packed/wheels packed/wheels/*.whl
In 3D Slicer: the module DeepSegment, Advanced, install packages from a folder.

Models:
    deepsegment models unpack THIS_FILE
"""


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        models: Names.
        wheels: File names.
        bytes: Of the pack.
    """

    models: tuple[str, ...]
    wheels: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Unpacked:
    """What came out of a pack.

    Attributes:
        added: The models that are new here.
        known: Names of those that were here already.
        wheels: How many wheels it holds, which stay in it.
    """

    added: tuple[ModelEntry, ...]
    known: tuple[str, ...]
    wheels: int


def pack_models(
    names: Sequence[str],
    target: Path,
    on_progress: ProgressCallback = silent,
    *,
    wheels: str = "",
    replace: bool = False,
) -> Packed:
    """Write models into one zip file, each verified before.

    Args:
        names: Of models in the catalogue.
        target: Ends in .zip.
        on_progress: Told how far it is; may raise `Cancelled`.
        wheels: A folder of wheels to pack, too; or `DOWNLOAD`: pip downloads those of all that DeepSegment needs, for
            this kind of machine and this Python; with torch for CUDA these are some gigabytes.
        replace: A file that exists may be replaced.

    Raises:
        ModelError: There is no such model, or it is damaged.
        InvalidInputError, VolumeFileError: The target cannot be written, or there are no wheels in the folder.
        ResourceError: The disk has too little room.
        MissingPackageError: pip cannot download the wheels.
    """
    entries = [*{entry.name: entry for entry in map(find_model, names)}.values()]
    folder = Path(wheels) if wheels not in ("", DOWNLOAD) else None
    inputs = inputs_of([], [*(entry.path for entry in entries), folder])
    check_outputs([Output(target, (".zip",))], inputs, replace=replace)
    with ExitStack() as stack:
        if wheels == DOWNLOAD:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            _download_wheels(folder, entries, on_progress)
        files = _wheels(folder) if folder is not None else []
        check_room({target: sum(map(bytes_of, [*(entry.path for entry in entries), *files]))})
        fresh = stack.enter_context(atomic_path(target))
        _write(fresh, entries, files, on_progress)
    return Packed(tuple(entry.name for entry in entries), tuple(file.name for file in files), target.stat().st_size)


def is_pack(path: Path) -> bool:
    """Whether a file is a zip with the list of a pack in it; nothing is unpacked."""
    try:
        with open_file(path) as file, ZipFile(ShortReads(file)) as pack:
            return {_MANIFEST, _README} <= set(pack.namelist())
    except (*ZIP_ERRORS, VolumeFileError):
        return False


def unpack_models(pack: Path, on_progress: ProgressCallback = silent, *, agrees: Agrees = nobody_agrees) -> Unpacked:
    """Add the models of a pack, each through the same door as any other; those that are here already stay.

    Args:
        pack: A zip file of `pack_models`.
        on_progress: Told how far it is; may raise `Cancelled`.
        agrees: Asked where a licence is not for every use.

    Raises:
        ModelError: It is no pack, or damaged, or another model has a name of one in it; see `catalogue.add_model`.
        ChecksumError: A file is not the one that was packed.
        ResourceError: The disk has too little room.
    """
    on_progress(Progress(f"unpack {pack.name}", 0.0))
    with unpacked(pack, user_models_folder()) as folder:
        manifest = _read_manifest(folder, pack)
        _check_files(folder, manifest, pack, on_progress)
        models = {name: folder / _MODELS / name for name in manifest["models"]}
        known = tuple(name for name, place in models.items() if _is_here(name, place))
        new = [place for name, place in models.items() if name not in known]
        for place in new:
            check_free(read_spec(place).name)
        added = tuple(add_model([place], Words(), on_progress, agrees=agrees) for place in new)
    return Unpacked(added, known, sum(name.startswith(f"{_WHEELS}/") for name in manifest["files"]))


def _write(fresh: Path, entries: Sequence[ModelEntry], wheels: Sequence[Path], on_progress: ProgressCallback) -> None:
    members = [(f"{_WHEELS}/{file.name}", file) for file in wheels]
    for n, entry in enumerate(entries):
        on_progress(Progress(f"check {entry.name}", 0.5 * n / len(entries)))
        verify_model(entry.path)
        files = sorted(path for path in entry.path.iterdir() if path.is_file() and not path.name.startswith("."))
        members += [(f"{_MODELS}/{entry.name}/{path.name}", path) for path in files]
    digests: dict[str, str] = {}
    with ZipFile(fresh, "w", ZIP_STORED) as pack:
        for n, (name, path) in enumerate(members):
            on_progress(Progress("pack", 0.5 + 0.5 * n / len(members)))
            digests[name] = checksum_of(path, silent)
            pack.write(path, name)
        python = ".".join(map(str, sys.version_info[:2]))
        pack.writestr(ZipInfo(_README), _TEXT.format(platform=sys.platform, python=python))
        manifest = {"format": _FORMAT, "models": [entry.name for entry in entries], "files": digests}
        pack.writestr(ZipInfo(_MANIFEST), json.dumps(manifest, indent=1))


def _wheels(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.whl")) if is_folder(folder) else []
    if not files:
        raise InvalidInputError(f"{folder} holds no wheels (.whl); fill it with `pip download`, or say {DOWNLOAD!r}")
    return files


def _download_wheels(folder: Path, entries: Sequence[ModelEntry], on_progress: ProgressCallback) -> None:
    """Have pip download all that DeepSegment needs, for this kind of machine and this Python."""
    command = [sys.executable, "-m", "pip", "download", "--only-binary", ":all:", "--dest", str(folder)]
    with (folder / "pip.log").open("w+b") as log:
        pip = subprocess.Popen([*command, *_requirements(entries)], stdout=log, stderr=subprocess.STDOUT)
        try:
            while pip.poll() is None:
                on_progress(Progress("download wheels by pip", 0.0))
                _wait(pip)
        finally:
            pip.kill()
            pip.wait()
        log.seek(0)
        told = log.read().decode("utf-8", errors="replace").strip().splitlines()[-3:]
    if pip.returncode:
        raise MissingPackageError(f"pip cannot download the wheels ({' '.join(told)}); give a folder of them instead")


def _wait(pip: subprocess.Popen[bytes]) -> None:
    try:
        pip.wait(_PIP_S)
    except subprocess.TimeoutExpired:
        return


def _requirements(entries: Sequence[ModelEntry]) -> list[str]:
    """What pip is asked for: the packages of the library, and onnxruntime where a model needs it."""
    try:
        lines = requires("DeepSegmentLib") or []
    except PackageNotFoundError as error:
        raise MissingPackageError(
            "what DeepSegment needs is known only where pip installed it; fill a folder by `pip download -r "
            "requirements.txt` and give that"
        ) from error
    graphs = any(file.file.endswith(".onnx") for entry in entries for file in read_spec(entry.path).weights)
    plain = [line for line in lines if "extra ==" not in line]
    return [*plain, *(["onnxruntime"] if graphs else [])]


def _read_manifest(folder: Path, pack: Path) -> dict[str, Any]:
    try:
        manifest = read_json(folder / _MANIFEST, largest=_LARGEST_MANIFEST)
    except VolumeFileError as error:
        told = f"{pack} is no pack of models, it has no {_MANIFEST} that can be read"
        raise ModelError(f"{told}; a model is added by: deepsegment models add") from error
    kinds = {"format": int, "models": list, "files": dict}
    if (
        not isinstance(manifest, dict)
        or not all(isinstance(manifest.get(key), kind) for key, kind in kinds.items())
        or not all(isinstance(name, str) for name in manifest["models"])
    ):
        raise ModelError(f"{pack}: {_MANIFEST} is not that of a pack; pack the models again")
    if manifest["format"] > _FORMAT:
        raise ModelError(f"{pack} is of the newer format {manifest['format']}; update DeepSegment")
    return manifest


def _check_files(folder: Path, manifest: dict[str, Any], pack: Path, on_progress: ProgressCallback) -> None:
    """Refuse what is missing, changed, or not in the manifest."""
    there = {path.relative_to(folder).as_posix() for path in _files_in(folder)} - {_MANIFEST, _README}
    odd = sorted(there ^ set(map(str, manifest["files"])))
    unknown = [str(name) for name in manifest["models"] if f"{_MODELS}/{name}/model.json" not in there]
    if odd or unknown:
        raise ModelError(
            f"{pack}: {(odd or unknown)[0][:200]!r} is not both in the pack and its manifest; pack it again"
        )
    for n, (name, digest) in enumerate(manifest["files"].items()):
        on_progress(Progress("check the pack", n / len(manifest["files"])))
        if checksum_of(inside(folder, name), silent) != digest:
            raise ChecksumError(f"{pack}: {name[:200]!r} is not the file that was packed; copy the pack again")


def _files_in(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _is_here(name: str, place: Path) -> bool:
    """Whether the same model is in the catalogue."""
    spec = read_spec(place)
    same = [entry for entry in list_models() if entry.name == name and not entry.damage]
    return any(read_spec(entry.path).weights_sha256 == spec.weights_sha256 for entry in same)
