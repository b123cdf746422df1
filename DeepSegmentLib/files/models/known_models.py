"""Models that others publish, as data: what each finds, under which licence, and where its files are. Torch-free.

The data are facts read from the publishers' own files (`Resources/Catalogue`, each with where it was read);
`scripts/make_catalogue.py` makes it anew. Nothing here opens a connection.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import DeepSegmentLib
from DeepSegmentLib.data.dataclass_json import from_json
from DeepSegmentLib.errors import InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.networks.model_spec import check_name

_DIGESTS = {"sha1": re.compile(r"[0-9a-f]{40}", re.ASCII), "sha256": re.compile(r"[0-9a-f]{64}", re.ASCII)}
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(:[0-9]+)?/[!-~]*", re.ASCII)
_LARGEST_LIST = 8 << 20


@dataclass(frozen=True)
class Download:
    """A file to fetch.

    Attributes:
        url: Its address, https only.
        bytes: Its size; None where nobody publishes it.
        sha256: Its digest in hexadecimal; None where nobody publishes it.
        sha1: Likewise; weaker, but all that some publish.
    """

    url: str
    bytes: int | None = None
    sha256: str | None = None
    sha1: str | None = None

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.url):
            raise InvalidInputError(f"url must be an https address, got {self.url[:200]!r}")
        if self.bytes is not None and self.bytes < 1:
            raise InvalidInputError(f"bytes must be 1 or more, got {self.bytes}")
        for name, pattern in _DIGESTS.items():
            digest = getattr(self, name)
            if digest is not None and not pattern.fullmatch(digest):
                raise InvalidInputError(f"{name} must be lower-case hexadecimal digits, got {digest[:80]!r}")


@dataclass(frozen=True)
class KnownModel:
    """A model that somebody publishes.

    Attributes:
        name: What it is called here, and in the catalogue once it is there.
        title: For people, such as "Liver vessels (TotalSegmentator)".
        source: Who publishes it, such as "TotalSegmentator 2.18.0".
        kind: Of its importer, such as "TotalSegmentator".
        files: To fetch; all of them are added together. None where it can only be got by hand, see `description`.
        licence: Of the weights, an SPDX identifier where there is one; empty where the publisher says nothing.
        licence_url: Where it can be read; may be empty.
        non_commercial: Whether commercial use is forbidden, or needs another licence.
        needs_key: Whether its publisher gives it only to those who hold a key or licence number.
        citation: What users are asked to cite; may be empty.
        modality: DICOM modality of what it takes, "CT" or "MR"; several are joined by "/", empty is unknown.
        structures: Names of what it finds, in its order.
        body_region: Such as "abdomen" or "head"; empty where nothing tells.
        spacing_mm: Of its grid (k, j, i); None where its publisher does not say it outside the weights.
        sample_data: A data set of Slicer's module Sample Data that suits it; may be empty.
        description: A sentence or two for people.
    """

    name: str
    title: str
    source: str
    kind: str
    files: tuple[Download, ...]
    licence: str
    licence_url: str
    non_commercial: bool
    needs_key: bool
    citation: str
    modality: str
    structures: tuple[str, ...]
    body_region: str
    spacing_mm: tuple[float, float, float] | None
    sample_data: str
    description: str

    def __post_init__(self) -> None:
        check_name("name", self.name)
        for what in ("title", "source", "kind"):
            if not getattr(self, what):
                raise InvalidInputError(f"{self.name}: {what} is empty")
        addresses = [file.url for file in self.files]
        if len({*addresses}) < len(addresses):
            raise InvalidInputError(f"{self.name}: an address is there twice")


@dataclass(frozen=True)
class Origin:
    """A file that facts were read from.

    Attributes:
        repository: Such as "lassoan/SlicerMONAIAuto3DSeg", or the package and its version.
        path: In it.
        commit: Which one; empty for a released package.
    """

    repository: str
    path: str
    commit: str = ""


@dataclass(frozen=True)
class ModelList:
    """One file of `Resources/Catalogue`.

    Attributes:
        read_from: Where its facts are from.
        left_out: What could not be read, or is left out, and why.
        models: The models.
    """

    read_from: tuple[Origin, ...]
    left_out: str
    models: tuple[KnownModel, ...]


def known_models() -> tuple[KnownModel, ...]:
    """All models that others publish and that we know of, by name.

    Raises:
        ModelError: A file of the list is damaged; it came with DeepSegment, so install that again.
    """
    return read_known_models(catalogue_folder())


def known_model(name: str) -> KnownModel | None:
    """The known model of this name, in letters of any case; None where there is none.

    Raises:
        ModelError: As `known_models`.
    """
    return next((known for known in known_models() if known.name.casefold() == name.casefold()), None)


def catalogue_folder() -> Path:
    """Where the lists are: a wheel has them inside the package, a checkout and a Slicer extension beside it.

    `DEEPSEGMENT_CATALOGUE` names another folder, for places that keep the models on a server of their own.
    """
    if chosen := os.environ.get("DEEPSEGMENT_CATALOGUE"):
        return Path(chosen)
    package = Path(DeepSegmentLib.__file__).resolve().parent
    inside = package / "resources" / "Catalogue"
    return inside if inside.is_dir() else package.parent / "Resources" / "Catalogue"


@lru_cache(maxsize=4)
def read_known_models(folder: Path) -> tuple[KnownModel, ...]:
    """The models of all lists in a folder, by name; read once.

    Raises:
        ModelError: A list is damaged, or two models share a name; the message names the file and the key.
    """
    models = [model for file in sorted(folder.glob("*.json")) for model in read_model_list(file).models]
    twice = [name for name, count in Counter(model.name for model in models).items() if count > 1]
    if twice:
        raise ModelError(f"{folder}: two known models are called {twice[0]!r}; install DeepSegment again")
    return tuple(sorted(models, key=lambda model: model.name.casefold()))


def read_model_list(file: Path) -> ModelList:
    """One list, with where its facts are from.

    Raises:
        ModelError: The file is damaged; the message names it and the key.
    """
    try:
        listed: ModelList = from_json(ModelList, read_json(file, largest=_LARGEST_LIST), "list")
    except (VolumeFileError, ModelError) as error:
        raise ModelError(f"{file}: {error}; install DeepSegment again") from error
    return listed
