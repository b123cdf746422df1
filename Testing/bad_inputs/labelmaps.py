"""Labelmaps and their tables that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import gzip
import json

import numpy as np
from fuzz.cases import Link, Pipe, Sparse
from fuzz.door import NINE_GB
from fuzz.doors.documents import TABLE
from fuzz.doors.nrrd import SEGMENTS, endless_gzip_behind
from fuzz.doors.nrrd import nrrd as own_nrrd

from .makers import bytes_at, content_at, cut, image, noise, nrrd

LABELMAPS = {
    "fractions": (lambda d: image(d / "a.nii.gz", noise() ** 2 / 1e6 + 0.5), "fractions"),
    "negative labels": (lambda d: image(d / "a.nii.gz", np.full((2, 2, 2), -1, np.int16)), "0 to 65535"),
    "labels too large": (lambda d: image(d / "a.nii.gz", np.full((2, 2, 2), 70000, np.int32)), "0 to 65535"),
    "two values a voxel": (
        lambda d: image(d / "a.nrrd", np.ones((2, 2, 2, 2), np.uint8), vector=True),
        "values a voxel",
    ),
    "broken table": (lambda d: _with_table(d, "{"), "a.labels.json.*(JSON|table of labels)"),
    "table without segments": (lambda d: _with_table(d, "{}"), "table of labels"),
    "table with a bad colour": (
        lambda d: _with_table(d, '{"segments": [{"name": "a", "value": 1, "color": [1, 2, 999]}]}'),
        "colour",
    ),
    "table with a value twice": (
        lambda d: _with_table(
            d, '{"segments": [' + ", ".join(['{"name": "a", "value": 1, "color": [1, 2, 3]}'] * 2) + "]}"
        ),
        "share",
    ),
    "seg.nrrd cut": (lambda d: cut(image(d / "a.seg.nrrd", noise(kind=np.uint8)), 0.6), "cut off"),
    "seg.nrrd of floats": (lambda d: image(d / "a.seg.nrrd", noise()), "whole numbers"),
    "seg.nrrd without a colour": (lambda d: nrrd(d / "a.seg.nrrd", more="Segment0_ID:=x\n"), "Color"),
    "seg.nrrd with a bad colour": (
        lambda d: nrrd(d / "a.seg.nrrd", more="Segment0_ID:=x\nSegment0_Name:=x\nSegment0_Color:=red\n"),
        "red",
    ),
    "seg.nrrd with a bad layer": (
        lambda d: nrrd(
            d / "a.seg.nrrd", more="Segment0_ID:=x\nSegment0_Name:=x\nSegment0_Color:=1 0 0\nSegment0_Layer:=7\n"
        ),
        "layer 7",
    ),
    "seg.nrrd missing": (lambda d: d / "nothing.seg.nrrd", "does not exist"),
    # Tables.
    "a table that is a pipe": (lambda d: _with_odd_table(d, Pipe()), "a.labels.json.*(pipe|plain file)"),
    "a table without end": (lambda d: _with_odd_table(d, Link("/dev/zero")), "a.labels.json.*(device|plain file)"),
    "a table of 9 GB": (lambda d: _with_odd_table(d, Sparse(NINE_GB)), "a.labels.json"),
    "a table of 100,000 brackets": (lambda d: _with_table(d, "[" * 100_000), "a.labels.json.*nested"),
    "a table that is a list": (lambda d: _with_table(d, "[]"), "table of labels.*mend"),
    "a table of another letters": (lambda d: _with_bytes(d, b'{"segments": "\xe9"}'), "a.labels.json"),
    "a table with a key twice": (lambda d: _with_table(d, '{"segments": [], "segments": []}'), "a.labels.json"),
    "a table with NaN": (lambda d: _with_table(d, '{"segments": [NaN]}'), "a.labels.json"),
    **{
        f"a table of segments {wrong!r}": (lambda d, wrong=wrong: _with_json(d, {"segments": wrong}), "table of labels")
        for wrong in (None, 1, "ab", {"a": 1}, [None], [[]], [1])
    },
    **{
        f"a table with the {key} {wrong!r}": (
            lambda d, key=key, wrong=wrong: _with_entry(d, key, wrong),
            "table of labels",
        )
        for key, wrong in (
            ("value", 10**30),
            ("value", 0),
            ("value", 65536),
            ("value", "1"),
            ("value", True),
            ("value", None),
            ("name", None),
            ("name", 7),
            ("color", None),
            ("color", [1, 2]),
            ("color", "red"),
            ("color", [1, 2, -1]),
            ("terminology", 7),
            ("terminology", []),
            ("terminology", {"category": {}}),
        )
    },
    "a table with provenance that is a list": (
        lambda d: _with_json(d, {"segments": [TABLE["segments"][0]], "provenance": [1]}),
        "a.labels.json",
    ),
    # Segmentations of 3D Slicer.
    "seg.nrrd that is a pipe": (lambda d: content_at(d / "a.seg.nrrd", Pipe()), "a.seg.nrrd.*(pipe|plain file)"),
    "seg.nrrd without end": (
        lambda d: content_at(d / "a.seg.nrrd", endless_gzip_behind(_seg(b""), bytes(120))),
        "a.seg.nrrd.*damaged",
    ),
    "seg.nrrd with one bit turned": (lambda d: bytes_at(d / "a.seg.nrrd", _turned(_packed_seg())), "damaged"),
    "seg.nrrd with a value of 5,000 digits": (
        lambda d: bytes_at(
            d / "a.seg.nrrd", _packed_seg("Segment7_ID:=x", "Segment7_Name:=x", "Segment7_Color:=1 0 0", _LONG)
        ),
        "a.seg.nrrd",
    ),
    "seg.nrrd with a colour of NaN": (
        lambda d: bytes_at(
            d / "a.seg.nrrd", _packed_seg("Segment7_ID:=x", "Segment7_Name:=x", "Segment7_Color:=nan 0 0")
        ),
        "a.seg.nrrd",
    ),
    "seg.nrrd with a layer below 0": (
        lambda d: nrrd(
            d / "a.seg.nrrd", more="Segment0_ID:=x\nSegment0_Name:=x\nSegment0_Color:=1 0 0\nSegment0_Layer:=-1\n"
        ),
        "a.seg.nrrd.*layer",
    ),
    "seg.nrrd that is a sequence": (
        lambda d: bytes_at(
            d / "a.seg.nrrd",
            own_nrrd(
                bytes(240),
                type="uchar",
                sizes="6 5 4 2",
                dimension="4",
                kinds="",
                space="",
                space_directions="",
                space_origin="",
            ),
        ),
        "a.seg.nrrd",
    ),
}


def _with_table(folder, text):
    (folder / "a.labels.json").write_text(text)
    return image(folder / "a.nii.gz", np.ones((2, 2, 2), np.uint8))


_LONG = "Segment7_LabelValue:=" + "9" * 5000


def _with_bytes(folder, content):
    bytes_at(folder / "a.labels.json", content)
    return image(folder / "a.nii.gz", np.ones((2, 2, 2), np.uint8))


def _with_odd_table(folder, odd):
    content_at(folder / "a.labels.json", odd)
    return image(folder / "a.nii.gz", np.ones((2, 2, 2), np.uint8))


def _with_json(folder, document):
    return _with_table(folder, json.dumps(document))


def _with_entry(folder, key, value):
    return _with_json(folder, {"segments": [{**TABLE["segments"][0], key: value}]})


def _seg(data, *more):
    return own_nrrd(data, *SEGMENTS, *more, type="uchar", encoding="gzip")


def _packed_seg(*more):
    labels = np.random.default_rng(0).integers(0, 3, 120).astype(np.uint8)
    return _seg(gzip.compress(labels.tobytes()), *more)


def _turned(content):
    changed = bytearray(content)
    changed[-20] ^= 1
    return bytes(changed)


def use(path, _):
    """Read a labelmap."""
    from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap

    read_labelmap(path)
