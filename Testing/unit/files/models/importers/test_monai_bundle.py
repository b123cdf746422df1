"""MONAI bundles: the result of MONAI itself, and refusals by name of all that is not data."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from foreign_models.monai_networks import AFTER, BEFORE, IMAGE, METADATA, UNET, configuration, write_bundle

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.folder import load_model, read_spec
from DeepSegmentLib.files.models.importers import monai_bundle
from DeepSegmentLib.files.models.importers.door import Words, importer_of
from DeepSegmentLib.files.volumes.reading import read_volume
from DeepSegmentLib.networks.model_spec import Cleanup
from DeepSegmentLib.networks.monai_specs import DynUNetSpec, SwinUNETRSpec
from DeepSegmentLib.segmentation.predict import predict

ALL = {"_target_": "Compose", "transforms": BEFORE}
BRATS = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"


def before(*transforms: dict[str, Any]) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": [BEFORE[0], *transforms]}


def after(*transforms: dict[str, Any]) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": list(transforms)}


def read(folder: Path, **changes: Any) -> monai_bundle.Bundle:
    return monai_bundle.read_bundle(write_bundle(folder, configuration(**changes)), Words())


# What a bundle says ---------------------------------------------------------------------------------------------------


def test_a_bundle_becomes_a_spec(tmp_path: Path) -> None:
    bundle = read(tmp_path / "spleen-test")
    (stage,) = bundle.spec.stages
    assert (bundle.spec.name, bundle.spec.version) == ("spleen-test", "0.5.1")
    assert bundle.spec.description == "Finds two structures."
    assert bundle.spec.citation == "A paper. 2020. Another. 2021."
    assert [segment.name for segment in bundle.spec.segments] == ["liver", "spleen"]
    assert [(channel.name, channel.modality) for channel in bundle.spec.channels] == [("CT", "CT")]
    assert stage.spacing_mm == (1.5, 1.5, 2.0)
    assert (stage.axes, stage.orientation, stage.normalize) == ((2, 1, 0), "RAS", "after")
    assert (stage.tiling.overlap, stage.tiling.last_tile, stage.tiling.importance) == (0.5, "at_border", "uniform")
    assert bundle.weights == tmp_path / "spleen-test" / "models" / "model.pt"


def test_words_of_the_user_win(tmp_path: Path) -> None:
    words = Words(name="mine", version="7", license="CC0-1.0")
    spec = monai_bundle.read_bundle(write_bundle(tmp_path / "b"), words).spec
    assert (spec.name, spec.version, spec.license) == ("mine", "7", "CC0-1.0")


def test_the_licence_is_that_of_its_file(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    assert monai_bundle.read_bundle(folder, Words()).spec.license == "not stated"
    (folder / "LICENSE").write_text("Apache License\nVersion 2.0")
    assert monai_bundle.read_bundle(folder, Words()).spec.license == "Apache-2.0"


def test_references_constants_and_choices_are_looked_up(tmp_path: Path) -> None:
    network = UNET | {"out_channels": "$len(@labels)", "channels": "@shape::features", "strides": "%shape#strides"}
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": "$[32, 32, 16] if @fine else [8, 8, 8]", "overlap": "@o"}
    bundle = read(
        tmp_path / "b",
        network_def=network,
        inferer=inferer,
        labels={"background": 0, "liver": 1, "spleen": 2},
        shape={"features": [4, 8, 16], "strides": [2, "@two"]},
        two=2,
        fine=True,
        o="$0.25 + 0.25",
        name="$'model' + @ending",
        ending=".pt",
        checkpointloader={"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/models/' + @name"},
        preprocessing={"_target_": "Compose", "transforms": "$@first + @second"},
        first=BEFORE[:4],
        second=[BEFORE[4] | {"_disabled_": "$False"}, {"_target_": "ScaleIntensityd", "_disabled_": True, **IMAGE}],
    )
    (stage,) = bundle.spec.stages
    assert stage.patch_shape == (32, 32, 16)
    assert stage.normalizations[0].kind == "window"


def test_yaml_says_the_same_as_json(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    folder = write_bundle(tmp_path / "b")
    expected = monai_bundle.read_bundle(folder, Words()).spec
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "inference.yaml").write_text(yaml.safe_dump(configuration()))
    assert monai_bundle.read_bundle(folder, Words()).spec == expected


def test_regions_that_are_flattened_in_another_order(tmp_path: Path) -> None:
    sigmoid = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    threshold = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    bundle = read(
        tmp_path / "b",
        network_def={"_target_": "SegResNet", "in_channels": 1, "out_channels": 3, "init_filters": 8},
        postprocessing=after(sigmoid, threshold, {"_target_": "Lambdad", "keys": "pred", "func": BRATS}),
    )
    assert bundle.spec.output == "regions"
    assert [segment.value for segment in bundle.spec.segments] == [2, 1, 4]
    assert bundle.order == (1, 0, 2)


def test_clean_ups_are_taken_over(tmp_path: Path) -> None:
    largest = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [2]}
    filled = {"_target_": "FillHolesd", "keys": "pred"}
    spec = read(tmp_path / "b", postprocessing=after(*AFTER[:3], largest, filled)).spec
    assert spec.cleanups == (
        Cleanup("spleen", keep_largest=True, neighbours=26),
        Cleanup("liver", fill_holes=True, neighbours=26),
        Cleanup("spleen", fill_holes=True, neighbours=26),
    )
    together = largest | {"applied_labels": [1, 2], "independent": False, "connectivity": 1}
    spec = read(tmp_path / "c", postprocessing=after(*AFTER[:3], together)).spec
    assert spec.cleanups == (Cleanup("liver", keep_largest=True, together_with=("spleen",)),)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({"_target_": "NormalizeIntensityd", "nonzero": True}, ("zscore", "nonzero")),
        ({"_target_": "NormalizeIntensityD"}, ("zscore", "all")),
        ({"_target_": "ScaleIntensityDict", "minv": -1.0, "maxv": 1.0}, ("percentile", "all")),
        (
            {"_target_": "ScaleIntensityRangePercentilesd", "lower": 1, "upper": 99, "b_min": 0, "b_max": 1},
            ("percentile", "all"),
        ),
        ({"_target_": "NormalizeIntensityd", "subtrahend": 5, "divisor": 2.5}, ("window", "all")),
    ],
)
def test_intensities(tmp_path: Path, transform: dict[str, Any], expected: tuple[str, str]) -> None:
    (rule,) = read(tmp_path / "b", preprocessing=before(transform | IMAGE)).spec.stages[0].normalizations
    assert (rule.kind, rule.over) == expected


def test_a_crop_after_scaling_is_one_of_the_intensities_before(tmp_path: Path) -> None:
    crop = {"_target_": "CropForegroundd", **IMAGE, "source_key": "image", "margin": 3, "allow_smaller": True}
    stage = read(tmp_path / "b", preprocessing=before(BEFORE[4], crop)).spec.stages[0]
    assert (stage.crop, stage.crop_above, stage.crop_margin) == ("above", -57, 3)


def test_planes_of_a_2d_network(tmp_path: Path) -> None:
    network = UNET | {"spatial_dims": 2}
    inferer = {"_target_": "SliceInferer", "roi_size": [64, 48], "spatial_dim": 2}
    stage = read(tmp_path / "b", network_def=network, inferer=inferer).spec.stages[0]
    assert (stage.patch_shape, stage.axes) == ((1, 64, 48), (0, 2, 1))
    assert stage.spacing_mm == (2.0, 1.5, 1.5)


def test_the_merging_of_swin_unetr_goes_by_the_version_of_monai(tmp_path: Path) -> None:
    network = {"_target_": "SwinUNETR", "img_size": 96, "in_channels": 1, "out_channels": 3, "feature_size": 12}
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": 64}
    old = read(tmp_path / "old", network_def=network, inferer=inferer).network
    assert isinstance(old, SwinUNETRSpec)
    assert old.merging == "published"
    folder = write_bundle(
        tmp_path / "new",
        configuration(network_def=network, inferer=inferer),
        metadata=METADATA | {"monai_version": "1.5.0"},
    )
    assert monai_bundle.read_bundle(folder, Words()).network == replace(old, merging="all")


def test_a_network_by_its_full_name(tmp_path: Path) -> None:
    network = {
        "_target_": "monai.networks.nets.DynUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 3,
        "kernel_size": [3, 3, 3], "strides": [1, 2, [2, 2, 1]], "upsample_kernel_size": [2, [2, 2, 1]],
    }  # fmt: skip
    assert read(tmp_path / "b", network_def=network).network == DynUNetSpec(
        1, 3, 3, (32, 64, 128), ((3, 3, 3),) * 3, ((1, 1, 1), (2, 2, 2), (2, 2, 1))
    )


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network_def": {"_target_": "subprocess.run", "args": ["touch", "CANARY"]}}, r"'subprocess\.run'"),
        ({"extra": [{"deep": {"_target_": "os.system", "command": "touch CANARY"}}]}, r"'os\.system'"),
        ({"network_def": UNET | {"out_channels": "$__import__('os').system('touch CANARY')"}}, "__import__"),
        ({"network_def": "$monai.networks.nets.UNet(2, 1, 1, (4, 8), (2,))"}, "would have to be run"),
        ({"network_def": UNET | {"channels": "$[open('CANARY', 'w') for _ in (1,)]"}}, "would have to be run"),
        ({"network_def": UNET | {"channels": "$().__class__.__base__.__subclasses__()"}}, "would have to be run"),
        ({"network_def": UNET | {"channels": "$" + "[" * 400}}, "would have to be run"),
        ({"network_def": UNET | {"channels": "$" + "1+" * 400 + "1"}}, "would have to be run"),
        ({"network_def": UNET | {"channels": "$'a' * 10**9"}}, "would have to be run"),
        ({"network_def": UNET | {"channels": "@nothing#here"}}, "refers to nothing"),
        ({"network_def": "@network_def"}, "circle"),
        ({"a": "$@b + @b", "b": "$@a + @a", "network_def": UNET | {"channels": "@a"}}, "circle"),
        ({"network_def": UNET | {"surprise": 1}}, "surprise=1 is not supported"),
        ({"network_def": UNET | {"norm": "layer"}}, "norm='layer' is not supported"),
        ({"network_def": UNET | {"act": ["prelu", {"num_parameters": 9}]}}, "act="),
        ({"network_def": UNET | {"channels": [1 << 40, 8, 16]}}, "channels of a network"),
        ({"network_def": UNET | {"channels": "many"}}, "channels='many'"),
        ({"network_def": {"_target_": "DiNTS"}}, "'DiNTS'"),
        ({"network_def": {"_target_": "scripts.networks.unest.UNesT"}}, "UNesT"),
        ({"network_def": {"_target_": ["UNet"]}}, r"\['UNet'\]"),
        ({"preprocessing": before({"_target_": "Resized", **IMAGE, "spatial_size": [9, 9, 9]})}, "'Resized'"),
        ({"preprocessing": before({"_target_": "Lambdad", **IMAGE, "func": "$lambda x: x"})}, "'Lambdad'"),
        ({"preprocessing": before(BEFORE[4], BEFORE[4])}, "after another transform of intensities"),
        ({"preprocessing": before({"_target_": "Spacingd", **IMAGE, "pixdim": [1, 1, 1], "mode": 5})}, "mode=5"),
        ({"preprocessing": before({"_target_": "CropForegroundd", "source_key": "image", "margin": 9})}, "allow_small"),
        ({"preprocessing": before({"_target_": "SpatialPadd", **IMAGE, "spatial_size": 64})}, "SpatialPadd"),
        ({"postprocessing": after({"_target_": "Lambdad", "keys": "pred", "func": "$lambda x: x[1:]"})}, "func="),
        ({"postprocessing": after({"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.7})}, "threshold=0.7"),
        ({"postprocessing": after({"_target_": "VoteEnsembled", "keys": "pred"})}, "VoteEnsembled"),
        ({"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [-1, 32, 32]}}, "roi_size"),
        ({"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32] * 3, "sigma_scale": 0.5}}, "sigma_scale"),
        ({"inferer": {"_target_": "scripts.Mine"}}, r"scripts\.Mine"),
        ({"inferer": None}, "'inferer' is missing"),
        (
            {"checkpointloader": {"_target_": "CheckpointLoader", "load_path": "$@bundle_root + '/../../secret.pt'"}},
            "leads out of the folder",
        ),
        ({"checkpointloader": {"_target_": "CheckpointLoader", "load_path": "models/gone.pt"}}, "is missing"),
    ],
)
def test_what_is_not_data_or_not_known_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before_it = {*sys.modules}
    with pytest.raises(ModelError, match=message):
        read(tmp_path / "b", **changes)
    assert not (tmp_path / "CANARY").exists()
    assert not any(name.startswith(("monai", "scripts")) for name in {*sys.modules} - before_it)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network_def: !!python/object/apply:os.system ['touch CANARY']", "python/object/apply:os.system"),
        ("network_def: !include secret", "YAML tag"),
        ("a: &a [x, x]\nb: [*a, *a]", "anchor or alias 'a'"),
        ("[" * 100_000, "nested deeper"),
        ("- 1\n- 2", "not an object"),
        ("a: {b", "no YAML that can be read"),
        ("a: \xff".encode("latin-1"), "no YAML that can be read"),
        ("x: 1\n" * 12_000, "entries"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes, message: str
) -> None:
    pytest.importorskip("yaml")
    monkeypatch.chdir(tmp_path)
    folder = write_bundle(tmp_path / "b")
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "inference.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ModelError, match=message):
        monai_bundle.read_bundle(folder, Words())
    assert not (tmp_path / "CANARY").exists()


def test_a_network_twice_as_long_doubles_nothing(tmp_path: Path) -> None:
    """References that double at each step end, and soon."""
    names = [f"n{n}" for n in range(35)]
    doubling = {name: f"$@{then} + @{then}" for name, then in pairwise(names)}
    with pytest.raises(ModelError, match=r"circle, or are nested too deep|would have to be run"):
        read(tmp_path / "b", **doubling, n34=[1], network_def=UNET | {"channels": "@n0"})


# The result -----------------------------------------------------------------------------------------------------------


def random_state(document: dict[str, Any]) -> tuple[torch.nn.Module, dict[str, Any]]:
    from monai.bundle import ConfigParser

    torch.manual_seed(1)
    network: torch.nn.Module = ConfigParser(document).get_parsed_content("network_def").eval()
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=1.5 / np.sqrt(weight[0].numel()))
    return network, {"model": network.state_dict()}


def smooth_volume(path: Path) -> Path:
    """A blurred noise on an oblique, anisotropic grid, and air at two of its sides."""
    import nibabel
    from scipy.ndimage import gaussian_filter

    voxels = gaussian_filter(np.random.default_rng(3).standard_normal((40, 52, 36)), 2.0) * 2500
    voxels[:5], voxels[:, -7:] = -1000, -1000
    cosine, sine = np.cos(0.15), np.sin(0.15)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[-cosine, sine, 0], [-sine, -cosine, 0], [0, 0, 1]]) @ np.diag([1.0, 1.2, 2.6])
    affine[:3, 3] = 30, -20, 11
    nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), path)
    return path


def labels_of_monai(document: dict[str, Any], network: torch.nn.Module, volume: Path) -> Any:
    from monai.bundle import ConfigParser

    steps = [step for step in document["postprocessing"]["transforms"] if step["_target_"] != "SaveImaged"]
    parser = ConfigParser(document | {"postprocessing": after(*steps)})
    finish = parser.get_parsed_content("postprocessing")
    case = parser.get_parsed_content("preprocessing")({"image": str(volume)})
    with torch.no_grad():
        case["pred"] = parser.get_parsed_content("inferer")(case["image"][None], network)[0]
    return np.asarray(finish(case)["pred"])


NO_SPACING = {"_target_": "Compose", "transforms": [each for each in BEFORE if each["_target_"] != "Spacingd"]}
CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "another grid, oblique": configuration,
    "its own grid": lambda: configuration(
        preprocessing=NO_SPACING,
        inferer={"_target_": "SlidingWindowInferer", "roi_size": [32, 24, 16], "overlap": 0.4, "mode": "gaussian"},
    ),
    "crop, labels brought back": lambda: configuration(
        preprocessing={
            "_target_": "Compose",
            "transforms": [
                *NO_SPACING["transforms"],
                {"_target_": "CropForegroundd", **IMAGE, "source_key": "image", "margin": 2, "allow_smaller": True},
                {"_target_": "NormalizeIntensityd", **IMAGE} | {"_disabled_": True},
            ],
        },
        postprocessing=after(AFTER[0], AFTER[2], AFTER[1] | {"nearest_interp": True}),
    ),
    "regions": lambda: configuration(
        network_def={"_target_": "SegResNet", "in_channels": 1, "out_channels": 3, "init_filters": 8},
        postprocessing=after(
            {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
            AFTER[1],
            {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
        ),
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_the_labels_are_those_of_monai(tmp_path: Path, case: str) -> None:
    pytest.importorskip("monai")
    document = CASES[case]()
    network, state = random_state(document)
    source = write_bundle(tmp_path / "bundle", document, state=state)
    importer = importer_of([source])
    spec = importer.convert([source], tmp_path / "model", Words())
    assert read_spec(tmp_path / "model") == spec
    volume = smooth_volume(tmp_path / "v.nii")
    expected = labels_of_monai(document, network, volume)
    found = predict(read_volume(volume), spec, load_model(tmp_path / "model", "cpu").networks).label_map.layers
    labels = np.stack([layer > 0 for layer in found]) if spec.output == "regions" else np.asarray(found)
    assert len(np.unique(expected)) > 1
    assert (labels.transpose(0, 3, 2, 1) == expected).mean() >= 0.9999


def test_weights_of_another_network_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    source = write_bundle(tmp_path / "b", state={"model": {"model.0.conv.unit0.conv.weight": torch.zeros(1)}})
    with pytest.raises(ModelError, match="is missing"):
        importer_of([source]).convert([source], tmp_path / "m", Words())
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_is_no_bundle_is_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({}))
    assert not monai_bundle.IMPORTER.recognises([tmp_path])
    assert not monai_bundle.IMPORTER.recognises([tmp_path / "configs" / "metadata.json"])
    assert monai_bundle.IMPORTER.recognises([write_bundle(tmp_path / "zip" / "spleen").parent])
