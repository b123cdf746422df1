"""Auto3DSeg checkpoints: the result of the transforms that SlicerMONAIAuto3DSeg runs, names, codes, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from DeepSegmentLib.data import Code
from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.folder import load_model, read_spec
from DeepSegmentLib.files.models.importers import auto3dseg
from DeepSegmentLib.files.models.importers.door import Words, importer_of
from DeepSegmentLib.files.volumes.reading import read_volume
from DeepSegmentLib.segmentation.predict import predict

BLOCKS = [1, 1, 1]
CONFIG = {
    "network": {
        "_target_": "SegResNetDS", "init_filters": 8, "blocks_down": BLOCKS, "norm": "INSTANCE_NVFUSER",
        "in_channels": 1, "out_channels": 3, "dsdepth": 2,
    },
    "sigmoid": False, "roi_size": [32, 32, 32], "normalize_mode": "ct", "intensity_bounds": [-250, 250],
    "resample_resolution": [1.5, 1.5, 1.5], "orientation_ras": True, "crop_foreground": True, "modality": "CT",
    "class_names": ["liver", "spleen"], "bundle_root": "/data/abdomen",
}  # fmt: skip
COLUMNS = [
    "LabelValue", "Name",
    *(
        f"SegmentedProperty{kind}CodeSequence.{part}"
        for kind in ("Category", "Type", "TypeModifier")
        for part in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
    ),
]  # fmt: skip
LIVER = "1,Liver,SCT,123037004,Anatomical Structure,SCT,10200004,Liver,,,"
KIDNEY = "2,Left kidney,SCT,123037004,Anatomical Structure,SCT,64033007,Kidney,SCT,7771000,Left"


def theirs(config: dict[str, Any]) -> torch.nn.Module:
    from monai.networks.nets import SegResNetDS

    torch.manual_seed(2)
    arguments = {key: value for key, value in config["network"].items() if key != "_target_"}
    network: torch.nn.Module = SegResNetDS(**arguments | {"norm": "instance"}).eval()
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=1.5 / np.sqrt(weight[0].numel()))
    return network


def write_checkpoint(folder: Path, config: dict[str, Any], state: dict[str, Any], table: str = "") -> Path:
    folder.mkdir(parents=True)
    torch.save({"epoch": 3, "best_metric": 0.5, "config": config, "state_dict": state}, folder / "model.pt")
    if table:
        (folder / "labels.csv").write_text(f"{','.join(COLUMNS)}\n{table}\n")
    return folder


def convert(source: Path, target: Path) -> Any:
    return importer_of([source]).convert([source], target, Words())


def script_labels(config: dict[str, Any], network: torch.nn.Module, volume: Path) -> Any:
    """Labels as the published script makes them, by MONAI's own transforms."""
    from monai.inferers import SlidingWindowInferer
    from monai.transforms import (
        Compose,
        CropForegroundd,
        Invertd,
        Lambdad,
        LoadImaged,
        NormalizeIntensityd,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    pixdim = np.array(config["resample_resolution"])
    steps: list[Any] = [
        LoadImaged(keys="image", ensure_channel_first=True),
        Orientationd(keys="image", axcodes="RAS"),
        CropForegroundd(keys="image", source_key="image", margin=10, allow_smaller=True),
        Spacingd(
            keys="image", pixdim=list(pixdim), mode="bilinear", dtype=torch.float, min_pixdim=pixdim * 0.75,
            max_pixdim=pixdim * 1.25,
        ),
    ]  # fmt: skip
    if config["normalize_mode"] == "ct":
        low, high = config["intensity_bounds"]
        steps.append(ScaleIntensityRanged(keys="image", a_min=low, a_max=high, b_min=-1, b_max=1, clip=False))
        steps.append(Lambdad(keys="image", func=torch.sigmoid))
    else:
        steps.append(NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True))
    preparation = Compose(steps)
    case = preparation({"image": str(volume)})
    inferer = SlidingWindowInferer(config["roi_size"], overlap=0.625, mode="gaussian")
    with torch.no_grad():
        logits = inferer(case["image"][None], network)[0]
    case["pred"] = torch.sigmoid(logits) if config["sigmoid"] else torch.softmax(logits, dim=0)
    back = Invertd(keys="pred", orig_keys="image", transform=preparation, nearest_interp=False)(case)["pred"]
    return np.asarray(back >= 0.5 if config["sigmoid"] else back.argmax(dim=0, keepdim=True))


def volume_with_air(path: Path, spacing: tuple[float, float, float]) -> Path:
    import nibabel
    from scipy.ndimage import gaussian_filter

    voxels = gaussian_filter(np.random.default_rng(5).standard_normal((44, 48, 36)), 2.0) * 2500
    voxels[:14], voxels[:, -15:] = -1000, -1000
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), np.diag([-spacing[0], *spacing[1:], 1])), path)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("changes", "spacing"),
    [
        ({}, (1.0, 1.7, 2.2)),
        ({"normalize_mode": "meanstd"}, (1.5, 1.5, 3.0)),
        ({"sigmoid": True, "network": CONFIG["network"] | {"resolution": [1, 1, 4]}}, (1.1, 1.3, 2.0)),
    ],
    ids=["ct", "meanstd, two axes keep their spacing", "regions, thick slices"],
)
def test_the_labels_are_those_of_the_script(
    tmp_path: Path, changes: dict[str, Any], spacing: tuple[float, float, float]
) -> None:
    pytest.importorskip("monai")
    config = CONFIG | changes
    network = theirs(config)
    source = write_checkpoint(tmp_path / "abdomen-v1.2.0", config, network.state_dict())
    spec = convert(source, tmp_path / "m")
    assert read_spec(tmp_path / "m") == spec
    volume = volume_with_air(tmp_path / "v.nii", spacing)
    expected = script_labels(config, network, volume)
    found = np.asarray(predict(read_volume(volume), spec, load_model(tmp_path / "m", "cpu").networks).label_map.layers)
    labels = found > 0 if config["sigmoid"] else found
    assert len(np.unique(expected)) > 1
    assert (labels.transpose(0, 3, 2, 1) == expected).mean() >= 0.9999


def test_names_version_and_codes(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    source = write_checkpoint(tmp_path / "abdomen-v1.2.0", CONFIG, theirs(CONFIG).state_dict(), f"{LIVER}\n{KIDNEY}")
    spec = convert(source, tmp_path / "m")
    assert (spec.name, spec.version) == ("abdomen", "1.2.0")
    liver, kidney = spec.segments
    assert (liver.name, kidney.name) == ("Liver", "Left kidney")
    assert liver.terminology is not None
    assert liver.terminology.type == Code("SCT", "10200004", "Liver")
    assert liver.terminology.modifier is None
    assert kidney.terminology is not None
    assert kidney.terminology.modifier == Code("SCT", "7771000", "Left")
    assert [(channel.name, channel.modality) for channel in spec.channels] == [("CT", "CT")]


def test_regions_of_challenges_have_the_values_of_these(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    config = CONFIG | {"sigmoid": True, "bundle_root": "/data/brats23", "class_names": ["wt", "tc", "et"]}
    spec = convert(write_checkpoint(tmp_path / "b", config, theirs(config).state_dict()), tmp_path / "m")
    assert [(segment.name, segment.value) for segment in spec.segments] == [("wt", 2), ("tc", 1), ("et", 3)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalize_mode": "meanstdtanh"}, "normalize_mode='meanstdtanh'"),
        ({"network": {"_target_": "subprocess.run", "args": "x"}}, r"subprocess\.run"),
        ({"network": CONFIG["network"] | {"out_channels": "$__import__('os').getpid()"}}, "would have to be run"),
        ({"network": None}, "_target_ is needed"),
        ({"roi_size": "large"}, "large|iterable|invalid literal"),
        ({"roi_size": [32, 32]}, "does not fit"),
        ({"resample_resolution": [1, 1]}, "three lengths"),
        ({"resample_resolution": [0, 1, 1]}, "spacing_mm"),
        ({"intensity_bounds": [5, 5]}, "std > 0"),
        ({"intensity_bounds": None}, "auto|None"),
    ],
)
def test_configurations_that_are_not_understood_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    source = write_checkpoint(tmp_path / "b", CONFIG | changes, {})
    with pytest.raises(ModelError, match=message):
        convert(source, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("monai")
    source = write_checkpoint(tmp_path / "b", CONFIG, theirs(CONFIG).state_dict(), "one,Liver")
    with pytest.raises(ModelError, match="LabelValue"):
        convert(source, tmp_path / "m")


def test_other_checkpoints_are_not_recognised(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "model.pt")
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04 not a zip")
    assert not auto3dseg.IMPORTER.recognises([tmp_path / "model.pt"])
    assert not auto3dseg.IMPORTER.recognises([tmp_path])
    assert not auto3dseg.IMPORTER.recognises([tmp_path / "x.pt"])
    assert auto3dseg.IMPORTER.recognises([write_checkpoint(tmp_path / "b", CONFIG, {}) / "model.pt"])
    assert auto3dseg.IMPORTER.recognises([tmp_path])
