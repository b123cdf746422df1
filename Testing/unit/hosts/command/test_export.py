"""`deepsegment export` through its front door."""

import json

import numpy as np
import pytest
from dicom_series import write_slices
from pydicom import dcmread

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.dicom import read_series
from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command import export as export_options
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.service.export import FORMATS, SMOOTHING

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))


@pytest.fixture
def files(tmp_path):
    """A volume and its segmentation."""
    rng = np.random.default_rng(0)
    write_volume(Volume(rng.integers(0, 99, (1, *GRID.shape), dtype=np.int16), GRID), tmp_path / "scan.nrrd")
    labels = LabelMap(rng.integers(0, 2, (1, *GRID.shape)).astype(np.uint8), GRID, (Segment("liver", 1),))
    write_segmentation(labels, tmp_path / "scan.seg.nrrd")
    return [str(tmp_path / "scan.nrrd"), str(tmp_path / "scan.seg.nrrd")]


def test_the_formats_are_those_of_the_service():
    assert export_options._FORMATS == FORMATS
    assert export_options._SMOOTHING == SMOOTHING


@pytest.mark.parametrize(
    ("kind", "output", "options"),
    [
        ("nifti", "out", []),
        ("seg-nrrd", "a.seg.nrrd", []),
        ("csv", "a.csv", []),
        ("nnunet", "Dataset501_Liver", ["--channel-name", "CT"]),
        ("monai-label", "store", []),
        ("stl", "surfaces", ["--smoothing", "0"]),
        ("obj", "a.obj", []),
        ("glb", "a.glb", []),
    ],
)
def test_every_format(tmp_path, files, capsys, kind, output, options):
    command = ["export", *files, "--to", kind, "--output", str(tmp_path / output), *options]
    command += ["--case", "scan"]
    assert main(command) == 0
    assert f"wrote {tmp_path / output}" in capsys.readouterr().out
    assert main(command) == 2
    assert "replace it" in capsys.readouterr().err
    assert main([*command, "--replace", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["case"], report["format"]) == ("scan", kind)


def test_dicom_seg(tmp_path, capsys):
    (tmp_path / "series").mkdir()
    write_slices(tmp_path / "series")
    grid = read_series(tmp_path / "series").geometry
    labels = LabelMap(np.ones((1, *grid.shape), np.uint8), grid, (Segment("liver", 1),))
    write_segmentation(labels, tmp_path / "labels.nii.gz")
    command = ["export", str(tmp_path / "series"), str(tmp_path / "labels.nii.gz"), "--to", "dicom-seg"]
    command += ["--output", str(tmp_path / "a.dcm"), "--made-by", "semiautomatic"]
    assert main(command) == 2
    assert "the name and the version" in capsys.readouterr().err
    assert main([*command, "--algorithm-name", "total", "--algorithm-version", "2"]) == 0
    (segment,) = dcmread(tmp_path / "a.dcm").SegmentSequence
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "total")


def test_help_tells_the_formats(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["export", "--help"])
    assert stop.value.code == 0
    assert "dicom-seg" in capsys.readouterr().out


def test_files_are_named_by_option_and_formats_in_any_case(tmp_path, files, capsys):
    out = str(tmp_path / "a.csv")
    assert main(["export", "-i", files[0], "-s", files[1], "--to", "CSV", "-o", out, "--verbose", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["outputs"][0] == out
    assert "memory at most" in told.err
    assert main(["export", *files, "-i", files[0], "--to", "csv", "-o", out]) == 2
    assert "volume (-i) given twice" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["export", *files, "--to", "nifty", "-o", out])
    assert "did you mean 'nifti'" in capsys.readouterr().err
