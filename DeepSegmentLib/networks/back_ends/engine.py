"""What is asked of the arithmetic on the CPU, and where choices are kept: torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, Protocol, get_args

from DeepSegmentLib.errors import InvalidInputError

Precision = Literal["checked", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def version_of(package: str) -> str:
    """Of a package that is installed, otherwise empty; nothing is imported for it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def versions() -> str:
    """Of what computes networks, as it is kept with a choice."""
    return ", ".join(f"{package} {version_of(package) or 'none'}" for package in ("torch", "openvino"))


class Record(Protocol):
    """Remembers which back end was chosen, so that they are compared once for a model and a machine."""

    def known(self, key: str) -> str | None:
        """What was kept under a key; None where nothing was."""

    def keep(self, key: str, choice: str) -> None:
        """Keep a choice."""


@dataclass(frozen=True)
class Engine:
    """How networks are computed on the CPU.

    Attributes:
        precision: "float32": the fastest back end whose convolutions keep float32's digits. "checked": the fastest of
            any whose labels are those of float32, but for less than one in a thousand voxels of the foreground; this is
            looked at once. "bfloat16": the fastest of this precision where the processor has it, unchecked.
        record: Where choices are kept; None to compare anew in each process.
        weights_sha256: Of the network, so that the choice is kept for it.
        exclusive: Whether the largest logit is the label; otherwise each channel is a region of its own, where its
            logit is above 0.
    """

    precision: Precision = "checked"
    record: Record | None = None
    weights_sha256: str = ""
    exclusive: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InvalidInputError(f"unknown precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
