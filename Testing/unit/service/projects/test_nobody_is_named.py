"""Nothing that the headers, tables and paths of what is collected say of a patient is kept."""

import gzip
import json
import zlib

import nibabel
import numpy as np
import pytest

from DeepSegmentLib.data import LabelMap, Segment
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.hosts.command.main import main

SECRET = b"Doe^John"


def _contents(folder):
    """All files, also as they are unpacked."""
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        yield path.name, content
        if path.name.endswith(".gz"):
            assert content[3] & 0b1000 == 0, "gzip keeps the name of the file that was packed (RFC 1952, FNAME)"
            yield path.name, gzip.decompress(content)
        if path.name.endswith(".seg.nrrd"):
            header, _, packed = content.partition(b"\n\n")
            yield path.name, header + zlib.decompressobj(wbits=47).decompress(packed)


def _nifti(path):
    image = nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3), np.diag([2, 1, 3, 1]))
    image.header["descrip"] = image.header["aux_file"] = SECRET
    image.header["db_name"] = SECRET
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", SECRET))
    nibabel.save(image, path)


def _nrrd(path):
    head = (
        b"NRRD0004\n# " + SECRET + b"\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 5 4 3\n"
        b"space directions: (-2,0,0) (0,-1,0) (0,0,3)\nspace origin: (0,0,0)\nencoding: raw\nendian: little\n"
        b"content: " + SECRET + b"\nPatientName:=" + SECRET + b"\n\n"
    )
    path.write_bytes(head + np.arange(60, dtype="<i2").tobytes())


@pytest.mark.parametrize(("make", "ending"), [(_nifti, ".nii.gz"), (_nrrd, ".nrrd")])
def test_no_word_of_header_table_path_or_option_is_kept(tmp_path, capsys, make, ending):
    there = tmp_path / SECRET.decode()
    there.mkdir()
    volume, labels = there / f"{SECRET.decode()}{ending}", there / "truth.seg.nrrd"
    make(volume)
    grid = read_volume(volume).geometry
    write_segmentation(LabelMap(np.ones((1, *grid.shape), np.uint8), grid, (Segment("Cyst", 1),)), labels)
    labels.write_bytes(labels.read_bytes().replace(b"\n\n", b"\nPatientName:=" + SECRET + b"\n\n", 1))
    assert SECRET in (gzip.decompress(volume.read_bytes()) if ending == ".nii.gz" else volume.read_bytes())
    project = tmp_path / "p"
    words = ["project", "add", str(project), str(volume), str(labels), "--patient", SECRET.decode(), "-q"]
    assert main(words) == 0
    assert main(words) == 0  # another revision
    named = [name for name, content in _contents(project) if SECRET in content or b"Doe" in content]
    assert named == []
    assert not [path for path in project.rglob("*") if "Doe" in path.name]
    capsys.readouterr()
    assert main(["project", "check", str(project), "-q", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
