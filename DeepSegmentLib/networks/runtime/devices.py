"""Which devices there are, and how they say that memory ran out."""

from __future__ import annotations

import torch

from DeepSegmentLib.errors import InvalidInputError, ResourceError

# What torch, cuDNN, cuBLAS, Metal, oneDNN and OpenVINO say when memory runs out without raising
# torch.OutOfMemoryError.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "could not create a memory object",
    "could not create a primitive",
    "not enough memory",
    "alloc_failed",
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch (or Python) says that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY)


def choose_device(name: str = "auto") -> torch.device:
    """The torch device of this name, for work that takes one; see `choose_devices`.

    "auto" is the first CUDA device, or else the CPU. Apple's "mps" has to be asked for by name: not every torch
    release has all 3D layers for it.

    Args:
        name: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        InvalidInputError: There is no device of this kind anywhere.
        ResourceError: This machine, or this build of torch, does not have it.
    """
    known = available_devices()
    if name == "auto":
        return torch.device("cuda:0" if "cuda:0" in known else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number.isdecimal() if ":" in name else True):
        raise InvalidInputError(f'unknown device {name!r}; known: "auto", "cpu", "cuda", "cuda:1" (and so on), "mps"')
    wanted = f"cuda:{number or 0}" if kind == "cuda" else kind
    if wanted not in known:
        raise ResourceError(
            f"device {name!r} is not there; torch {torch.__version__} finds: {', '.join(known)}. "
            f"Use one of these or auto; a GPU needs its driver and a torch build for it"
        )
    return torch.device(wanted)


def choose_devices(name: str = "auto") -> tuple[torch.device, ...]:
    """The devices that share the tiles of a run.

    For "auto" and "cuda" these are the first CUDA device and all that are of its kind and have half of their memory
    free: others would give other roundings, keep the first one waiting, or belong to somebody else's work. By its
    number a device is named alone.

    Args:
        name: As of `choose_device`, with its errors.
    """
    first = choose_device(name)
    if first.type != "cuda" or name not in ("auto", "cuda"):
        return (first,)
    others = (n for n in range(1, torch.cuda.device_count()) if _kind(n) == _kind(0) and _is_idle(n))
    return (first, *(torch.device(f"cuda:{n}") for n in others))


def _kind(n: int) -> tuple[str, int]:
    properties = torch.cuda.get_device_properties(n)
    return properties.name, properties.total_memory


def _is_idle(n: int) -> bool:
    try:
        free, total = torch.cuda.mem_get_info(n)
    except RuntimeError:  # it is given to one process, which is another one
        return False
    return 2 * free >= total


def available_devices() -> tuple[str, ...]:
    """Names of the devices that `choose_device` would give, such as ("cpu", "cuda:0")."""
    cuda = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ("cpu", *cuda, *mps)
