"""From what was found to cases: a request each, and a name of its own for each result."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.datasets.channel_files import channel_case
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.output_checks import check_no_inputs, inputs_of
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.files.segmentations.one_file_per_segment import SEGMENTS_FILE
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, volume_stem
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.segment import completed, request_outputs

from .summary_table import SUMMARY_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.service.segment import SegmentRequest

    from .find_inputs import Findings, Found

PER_SEGMENT = "per-segment"
FORMATS = ("seg.nrrd", "nii.gz", "nrrd", "mha", PER_SEGMENT)
"""What results can be written as: suffixes without their dot, or a folder with a .nii.gz for each segment."""

_LONGEST = 160  # bytes of a name before the suffix; file systems take 255 with what maps and tables append
_LIKE_A_COMPANION = re.compile(r".*(_uncertainty|_probability|\.labels)", re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One of many.

    Attributes:
        name: What people read: relative to the input folder, without control characters.
        request: What to do.
        error: Why it cannot be done; empty where it may be tried.
    """

    name: str
    request: SegmentRequest
    error: str = ""


def is_batch(request: SegmentRequest) -> bool:
    """Whether a request is one for many: from a folder to a folder."""
    return is_folder(request.source) and (is_folder(request.target) or not _is_file_name(request.target))


def _is_file_name(path: Path) -> bool:
    return path.name.lower().endswith(tuple(f".{each}" for each in (*FORMATS, "nii")))


def single_target(source: Path, target: Path, form: str | None, *, in_folder: bool = False) -> Path:
    """Where the result of a single input goes.

    Args:
        source: The input, which gives the name where a folder is named.
        target: What was named: a file, or a folder.
        form: One of `FORMATS`; None for what the target's suffix says, or .seg.nrrd in a folder.
        in_folder: Whether the target is a folder even where there is none yet.

    Raises:
        InvalidInputError: The target's suffix is that of another format, or it has none and is no folder.

    Example:
        >>> from pathlib import Path
        >>> single_target(Path("head_0000.nii.gz"), Path("out"), "nii.gz", in_folder=True).as_posix()
        'out/head.nii.gz'
    """
    if form == PER_SEGMENT:
        if _is_file_name(target) and not is_folder(target):
            raise InvalidInputError(f"a file for each segment needs a folder, and {target} is the name of a file")
        return target / SEGMENTS_FILE
    if in_folder or is_folder(target):
        stem = channel_case(source.name) or volume_stem(source.absolute())
        return target / f"{stem}.{form or FORMATS[0]}"
    if form and not target.name.lower().endswith(f".{form}"):
        folder = "" if target.suffix else ", or write / behind the name of a folder that is to be made"
        raise InvalidInputError(f"{target} does not end with .{form}, as --format asks; leave one of them out{folder}")
    if not target.suffix:
        raise InvalidInputError(
            f"{target} is no folder that exists, and no name of a file: these end with "
            f"{', '.join(f'.{each}' for each in FORMATS if each != PER_SEGMENT)}; write / behind it to make a folder"
        )
    return target


def check_batch(request: SegmentRequest) -> None:
    """Check what can be known of a batch before anything is searched.

    Raises:
        InvalidInputError: An option fits no batch, a segment is unknown, or the folders overlap in a way that
            would mix results with inputs.
        ModelError: The model is not there or damaged.
    """
    if request.channels or request.series:
        raise InvalidInputError("further channels or a series cannot be given for a folder of many; name one of them")
    completed(request, read_spec(find_model(request.model).path))
    source = request.source.resolve()
    if source.is_relative_to(request.target.resolve()):
        raise InvalidInputError(
            f"the results would lie among the inputs in {request.target}; name another folder, such as "
            f"{request.source / 'segmented'}"
        )
    for folder in (request.target, request.report, request.preview):
        if folder is not None and os.path.lexists(folder) and not is_folder(folder):
            raise InvalidInputError(f"{folder} must be a folder where the input is a folder; it is a file")


def plan_cases(request: SegmentRequest, findings: Findings, suffix: str = "seg.nrrd") -> tuple[Case, ...]:
    """A case for each input; results mirror the folders of the inputs.

    Args:
        request: For the whole folder; `report` and `preview` are folders too, `statistics` is a table of all.
        findings: What is in it.
        suffix: Of the results, one of `FORMATS`.

    Raises:
        InvalidInputError: There is no input, or a result of one would be written onto another.
        ModelError: The model is not there or damaged.
    """
    if not findings.inputs:
        left = f" beside {len(findings.results)} results" if findings.results else ""
        raise InvalidInputError(
            f"{request.source} holds neither DICOM slices nor volumes{left}; known: {', '.join(VOLUME_SUFFIXES)}"
        )
    spec = read_spec(find_model(request.model).path)
    whole = replace(completed(request, spec), statistics=None, measure=request.statistics is not None)
    names = unique_names([(found.stem, found.name) for found in findings.inputs])
    cases = tuple(
        Case(
            plain(found.path.name if found.name == "." else found.name),
            replace(
                whole,
                source=found.path,
                channels=found.channels,
                series=found.series,
                target=request.target / (f"{name}/{SEGMENTS_FILE}" if suffix == PER_SEGMENT else f"{name}.{suffix}"),
                report=request.report and request.report / f"{name}.json",
                preview=request.preview and request.preview / f"{name}.png",
            ),
            found.error or _wrong_channels(found, spec),
        )
        for found, name in zip(findings.inputs, names, strict=True)
    )
    _check_inputs_stay(request, [case.request for case in cases if not case.error])
    return cases


def _wrong_channels(found: Found, spec: ModelSpec) -> str:
    """Why the numbered channels of a case do not suit the model; empty where they do."""
    have, wanted = len(found.channels) + 1, ", ".join(channel.name for channel in spec.channels)
    if not found.numbered or have == len(spec.channels):
        return ""
    remedy = "add the others" if have < len(spec.channels) else "move those that it does not take elsewhere"
    last = (found.path, *found.channels)[-1].name
    needed = "1 channel" if len(spec.channels) == 1 else f"{len(spec.channels)} channels"
    here = "here is 1" if have == 1 else f"here are {have}"
    return f"model {spec.name} needs {needed} ({wanted}), {here}, up to {last}; {remedy}"


def _check_inputs_stay(request: SegmentRequest, requests: Sequence[SegmentRequest]) -> None:
    model = find_model(request.model).path
    spec = read_spec(model)
    outputs = [output.path for each in requests for output in request_outputs(each, spec)]
    # The table of the batch stands for all that is written beside the results.
    sources = [path for each in requests for path in (each.source, *each.channels)]
    tables = [request.target / SUMMARY_FILE, *([request.statistics] if request.statistics else [])]
    check_no_inputs([*tables, *outputs], inputs_of(sources, [model]))


def existing_results(cases: Sequence[Case]) -> list[Case]:
    """The cases whose results are there already."""
    return [case for case in cases if not case.error and os.path.lexists(case.request.target)]


def unique_names(wishes: Sequence[tuple[str, str]]) -> list[str]:
    """A name for each input, none twice, not even where case or the form of accents does not count.

    Args:
        wishes: Of each input, the name it gets if no other wants it, and the one from which others are made.

    Example:
        >>> unique_names([("a", "a.nii.gz"), ("a", "a.nrrd"), ("b", "b.mha"), ("B", "B.mha")])
        ['a.nii.gz', 'a.nrrd', 'b.mha', 'B.mha-2']
    """
    wanted = [(_storable(first), _storable(second)) for first, second in wishes]
    counts = Counter(_key(first) for first, _ in wanted)
    taken = {key for key, number in counts.items() if number == 1}
    names = []
    for first, second in wanted:
        if counts[_key(first)] == 1 and not _LIKE_A_COMPANION.fullmatch(first):
            names.append(first)
            continue
        name = next(each for each in _numbered(second) if _key(each) not in taken)
        taken.add(_key(name))
        names.append(name)
    return names


def _numbered(name: str) -> Iterator[str]:
    if not _LIKE_A_COMPANION.fullmatch(name):
        yield name
    yield from (f"{name}-{n}" for n in count(2))


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _storable(name: str) -> str:
    """The name in Unicode and short enough, part by part."""
    return "/".join(_shortened(_readable(part)) for part in name.split("/"))


def _readable(part: str) -> str:
    """Bytes that are no text, and controls, as %E9 and the like."""
    codes = {each: ord(each) - (0xDC00 if ord(each) >= 0xDC00 else 0) for each in part if _has_no_letter(each)}
    return "".join(f"%{codes[each]:02X}" if each in codes else each for each in part)


def _has_no_letter(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")


def _shortened(part: str) -> str:
    encoded = part.encode("utf-8")
    if len(encoded) <= _LONGEST:
        return part
    return f"{encoded[: _LONGEST - 9].decode('utf-8', 'ignore')}-{hashlib.sha256(encoded).hexdigest()[:8]}"
