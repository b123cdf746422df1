"""Trained folders of nnU-Net become models of ours that say and compute the same."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_models.nnunet import (
    CT,
    DATASET,
    architecture,
    channels_of,
    configuration,
    dataset_of,
    foreign_network,
    plans_of,
    refused_by_name,
    resolved,
    write_trained,
)
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models.folder import load_model, read_card, verify_model
from DeepSegmentLib.files.models.importers import Words, importer_of
from DeepSegmentLib.files.models.importers.foreign_json import Entries
from DeepSegmentLib.files.models.importers.nnunet import IMPORTER
from DeepSegmentLib.files.models.importers.nnunet.channels import channels_of as read_channels
from DeepSegmentLib.files.models.importers.nnunet.labels import outputs_of
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_spec import Cleanup
from DeepSegmentLib.networks.runtime import on_array
from DeepSegmentLib.networks.stage_spec import Resampling, Tiling

REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
NNUNET_RESAMPLING = Resampling(
    volume_order=3, logits_order=1, antialias=False, keep_extent=True, thick_axis_from=3.0, thick_volume_order=0,
    thick_logits_order=0,
)  # fmt: skip
CASCADE = {
    "3d_lowres": configuration(spacing=[5.0, 1.6, 1.6], next_stage="3d_cascade_fullres"),
    "3d_fullres": configuration(),
    "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
}


def convert(source, tmp_path, **words):
    """Through the door, as the catalogue does; the model must be whole."""
    sources = source if isinstance(source, list) else [source]
    spec = importer_of(sources).convert(sources, tmp_path / "model", Words(**words))
    assert verify_model(tmp_path / "model") == spec
    return spec


def assert_same_logits(tmp_path, plans, dataset, name, *, folds=1):
    """The model's last stage against the mean of the networks that `write_trained` made."""
    made = resolved(plans, name)
    channels = channels_of(plans, dataset, name)
    theirs = [foreign_network(made["architecture"], *channels, seed=fold) for fold in range(folds)]
    patch = np.random.default_rng(3).normal(size=(1, channels[0], *(1, *made["patch_size"])[-3:])).astype(np.float32)
    x = torch.from_numpy(patch if len(made["patch_size"]) == 3 else patch[:, :, 0])
    with torch.inference_mode():
        expected = torch.stack([each(x) for each in theirs]).mean(dim=0).numpy()
    got = on_array(load_model(tmp_path / "model", "cpu").networks[-1], patch)
    scale = np.abs(expected).max() + 1
    np.testing.assert_allclose(got.reshape(expected.shape) / scale, expected / scale, atol=1e-5)


VARIANTS = {
    "plain": (configuration(), {}),
    "residual": (configuration(architecture=architecture(residual=True)), {}),
    "planes": (configuration(2, architecture=architecture(2)), {}),
    "anisotropic": (
        configuration(
            spacing=[5.0, 0.5, 0.5],
            architecture=architecture(
                kernel_sizes=[[1, 3, 3], [3, 3, 3], [3, 3, 3]], strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]]
            ),
        ),
        {},
    ),
    "regions": (configuration(), {"labels": REGIONS, "regions_class_order": [1, 2, 3]}),
    "channels": (configuration(channels=3), {"channel_names": {"0": "T1", "1": "FLAIR", "2": "CT"}}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_those_of_the_source(variant, tmp_path):
    made, changes = VARIANTS[variant]
    plans, dataset = plans_of({"own": made}), dataset_of(**changes)
    convert(write_trained(tmp_path, "own", plans=plans, dataset=dataset), tmp_path)
    assert_same_logits(tmp_path, plans, dataset, "own")


def test_folds_are_averaged(tmp_path):
    plans, dataset = plans_of({"3d_fullres": configuration()}), dataset_of()
    source = write_trained(tmp_path, plans=plans, dataset=dataset, folds=("0", "1", "3"))
    spec = convert(source, tmp_path)
    assert [file.file for file in spec.weights] == [
        "weights.safetensors", "weights-2.safetensors", "weights-3.safetensors"
    ]  # fmt: skip
    assert spec.provenance["folds"] == "0, 1, 3"
    assert_same_logits(tmp_path, plans, dataset, "3d_fullres", folds=3)


@pytest.mark.parametrize(
    ("there", "asked", "taken"),
    [
        (("0", "1", "all"), (), "0, 1"),
        (("all",), (), "all"),
        (("0", "1", "all"), ("all",), "all"),
        (("0", "1", "2"), ("2", "fold_0"), "0, 2"),
        (("0", "1"), ("1", "1"), "1"),
    ],
)
def test_the_folds_that_are_asked_for_are_taken(there, asked, taken, tmp_path):
    assert convert(write_trained(tmp_path, folds=there), tmp_path, folds=asked).provenance["folds"] == taken


def test_the_grid_is_that_of_the_plans(tmp_path):
    plans = plans_of({"3d_fullres": configuration()}, transpose_forward=[1, 0, 2], transpose_backward=[1, 0, 2])
    stage = convert(write_trained(tmp_path, plans=plans), tmp_path).stages[0]
    assert (stage.patch_shape, stage.spacing_mm, stage.axes) == ((16, 24, 20), (2.5, 0.8, 0.8), (1, 0, 2))
    assert (stage.orientation, stage.crop, stage.normalize) == (None, "nonzero", "before")
    assert stage.resampling == NNUNET_RESAMPLING
    assert stage.tiling == Tiling(0.5, "spread", "truncated_gaussian")
    assert stage.mirror_axes == (0, 1, 2)


def test_a_network_of_planes_keeps_the_spacing_across_them(tmp_path):
    plans = plans_of({"2d": configuration(2, architecture=architecture(2))})
    source = write_trained(tmp_path, "2d", plans=plans, inference_allowed_mirroring_axes=(0, 1))
    stage = convert(source, tmp_path).stages[0]
    assert (stage.patch_shape, stage.spacing_mm) == ((1, 24, 20), (None, 0.8, 0.8))
    assert stage.mirror_axes == (1, 2)


@pytest.mark.parametrize(
    ("dimensions", "told", "trainer", "axes"),
    [
        (3, {"inference_allowed_mirroring_axes": None}, "nnUNetTrainer", ()),
        (3, {"inference_allowed_mirroring_axes": (2, 0)}, "nnUNetTrainer", (0, 2)),
        (2, {"inference_allowed_mirroring_axes": (0,)}, "nnUNetTrainer", (1,)),
        (3, {}, "nnUNetTrainer", (0, 1, 2)),
        (3, {}, "nnUNetTrainerNoMirroring", ()),
        (3, {}, "nnUNetTrainer_2000epochs_NoMirroring", ()),
        (3, {}, "nnUNetTrainer_onlyMirror01", (0, 1)),
        (2, {}, "nnUNetTrainer_onlyMirror01", (1,)),
        (2, {}, "nnUNetTrainer", (1, 2)),
    ],
)
def test_mirror_axes_are_those_of_the_checkpoint_or_the_trainer(dimensions, told, trainer, axes, tmp_path):
    plans = plans_of({"own": configuration(dimensions, architecture=architecture(dimensions))})
    source = write_trained(tmp_path, "own", plans=plans, trainer_name=trainer, **told)
    if not told:
        edit_checkpoint(source, lambda checkpoint: checkpoint.pop("inference_allowed_mirroring_axes"))
    assert convert(source, tmp_path).stages[0].mirror_axes == axes


def edit_checkpoint(source, change, fold="0"):
    path = source / f"fold_{fold}" / "checkpoint_final.pth"
    checkpoint = torch.load(path, weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, path)


def test_every_normalisation_is_followed(tmp_path):
    schemes = ["CTNormalization", "ZScoreNormalization", "ZScoreNormalization", "NoNormalization"]
    schemes += ["RescaleTo01Normalization", "RGBTo01Normalization"]
    made = configuration(
        channels=6, normalization_schemes=schemes, use_mask_for_norm=[True, True, False, False, True, False]
    )
    dataset = dataset_of(channel_names={str(n): "zscore" for n in range(6)})
    source = write_trained(tmp_path, plans=plans_of({"3d_fullres": made}), dataset=dataset)
    spec = convert(source, tmp_path)
    assert spec.stages[0].normalizations == (
        Normalization("window", low=CT["percentile_00_5"], high=CT["percentile_99_5"], mean=CT["mean"], std=CT["std"]),
        Normalization("zscore", over="filled_nonzero"),
        Normalization("zscore"),
        Normalization("none"),
        Normalization("percentile", low=0, high=100),
        Normalization("window", low=0, high=255, std=255),
    )
    assert len({channel.name for channel in spec.channels}) == 6


def test_channels_and_segments_have_their_names(tmp_path):
    dataset = dataset_of(
        channel_names={"0": "CT", "1": "T2w", "2": "something", "3": "FDG-PET"},
        labels={"background": 0, "spleen": 2, "liver": 1, "ignore": 3},
    )
    plans = plans_of({"3d_fullres": configuration(channels=4)})
    source = write_trained(tmp_path, plans=plans, dataset=dataset)
    spec = convert(source, tmp_path)
    assert [(each.name, each.modality) for each in spec.channels] == [
        ("CT", "CT"), ("T2w", "MR"), ("something", ""), ("FDG-PET", "PT")
    ]  # fmt: skip
    assert [(each.name, each.value) for each in spec.segments] == [("liver", 1), ("spleen", 2)]
    assert spec.segments[0].color != spec.segments[1].color
    assert "ignore" in read_card(tmp_path / "model")


def test_regions_stand_in_their_order_with_the_labels_that_they_become(tmp_path):
    dataset = dataset_of(labels=REGIONS | {"ignore": 4}, regions_class_order=[1, 3, 2])
    spec = convert(write_trained(tmp_path, dataset=dataset), tmp_path)
    assert spec.output == "regions"
    assert [(each.name, each.value) for each in spec.segments] == [("whole", 1), ("core", 3), ("enhancing", 2)]


def write_cascade(root, **changes):
    plans = plans_of(CASCADE)
    for name in ("3d_lowres", "3d_cascade_fullres"):
        source = write_trained(root, name, plans=plans, **changes)
    return source, plans


def test_a_cascade_becomes_two_stages(tmp_path):
    source, plans = write_cascade(tmp_path, folds=("0", "1"))
    spec = convert(source, tmp_path)
    first, second = spec.stages
    assert len(spec.parts) == 1
    assert (first.network.in_channels, second.network.in_channels) == (1, 3)
    assert (first.spacing_mm, second.spacing_mm) == ((5.0, 1.6, 1.6), (2.5, 0.8, 0.8))
    assert [file.file[7:-12] for file in spec.weights] == ["", "-2", "-3", "-4"]
    assert_same_logits(tmp_path, plans, dataset_of(), "3d_cascade_fullres", folds=2)


def test_a_cascade_of_regions_is_refused_where_their_labels_cannot_be_passed_on(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3]}
    source, _ = write_cascade(tmp_path, dataset=dataset_of(labels=labels, regions_class_order=[1, 2]))
    with pytest.raises(ModelError, match="no cascade can pass on"):
        convert(source, tmp_path)


def test_a_cascade_without_its_first_stage_is_refused_with_the_remedy(tmp_path):
    source, _ = write_cascade(tmp_path)
    shutil.rmtree(source.parent / "nnUNetTrainer__nnUNetPlans__3d_lowres")
    with pytest.raises(ModelError, match="nnUNetTrainer__nnUNetPlans__3d_lowres"):
        convert(source, tmp_path)


def write_several(root, *names):
    made = CASCADE | {"2d": configuration(2, architecture=architecture(2))}
    for name in names:
        write_trained(root, name, plans=plans_of(made))
    return root / DATASET


@pytest.mark.parametrize(
    ("names", "asked", "taken"),
    [
        (("2d", "3d_lowres", "3d_fullres"), "", "3d_fullres"),
        (("2d", "3d_lowres", "3d_fullres", "3d_cascade_fullres"), "", "3d_cascade_fullres"),
        (("2d", "3d_fullres", "3d_cascade_fullres"), "", "3d_fullres"),
        (("2d", "3d_lowres"), "", "3d_lowres"),
        (("2d", "3d_lowres", "3d_fullres"), "2d", "2d"),
        (("2d", "3d_fullres"), "nnUNetTrainer__nnUNetPlans__2d", "2d"),
        (("2d", "3d_fullres"), f"{DATASET}/nnUNetTrainer__nnUNetPlans__2d", "2d"),
    ],
)
@pytest.mark.parametrize("root", [True, False])
def test_of_several_configurations_the_asked_or_the_finest_is_taken(names, asked, taken, root, tmp_path):
    folder = write_several(tmp_path / "results", *names)
    spec = convert(folder.parent if root else folder, tmp_path, configuration=asked)
    assert spec.provenance["configuration"] == taken
    assert asked or all(name in read_card(tmp_path / "model") for name in names)


@pytest.mark.parametrize(("score", "taken"), [(0.9, "2d"), (0.95, "3d_fullres"), (float("nan"), "2d")])
def test_what_nnunet_found_best_is_taken(score, taken, tmp_path):
    folder = write_several(tmp_path / "results", "2d", "3d_fullres")
    scores = {f"nnUNetTrainer__nnUNetPlans__{name}": dice for name, dice in (("2d", 0.91), ("3d_fullres", score))}
    ensemble = "ensemble___" + "___".join([*scores, "0_1"])
    found = {"all_results": scores | {ensemble: 0.95}, "best_model_or_ensemble": {"selected_model_or_models": []}}
    (folder / "inference_information.json").write_text(json.dumps(found))
    assert convert(folder, tmp_path).provenance["configuration"] == taken
    assert f"{max(0.91, score):.4f}" in read_card(tmp_path / "model")


def test_an_unknown_configuration_is_refused_with_those_there(tmp_path):
    folder = write_several(tmp_path, "2d", "3d_fullres")
    with pytest.raises(ModelError, match=r"'3d_lowres'.*__2d.*__3d_fullres"):
        convert(folder, tmp_path, configuration="3d_lowres")


def test_models_of_several_data_sets_are_not_mixed(tmp_path):
    folder = write_several(tmp_path / "results", "2d")
    shutil.copytree(folder, folder.with_name("Dataset997_Other"))
    with pytest.raises(ModelError, match=f"{folder.parent / 'Dataset997_Other'}, {folder}$"):
        convert(folder.parent, tmp_path)


@pytest.mark.parametrize("place", ["fold_1", "fold_1/checkpoint_final.pth"])
def test_one_fold_may_be_given_by_itself(place, tmp_path):
    source = write_trained(tmp_path, folds=("0", "1"))
    assert convert(source / place, tmp_path).provenance["folds"] == "1"


def test_the_words_of_the_user_count(tmp_path):
    source = write_trained(tmp_path, dataset=dataset_of(licence="CC-BY-SA-4.0", description="Of rats.\nTwo parts."))
    assert convert(source, tmp_path).license == "CC-BY-SA-4.0"
    shutil.rmtree(tmp_path / "model")
    spec = convert(source, tmp_path, name="rats", version="7", license="CC0-1.0")
    assert (spec.name, spec.version, spec.license, spec.description) == ("rats", "7", "CC0-1.0", "Of rats. Two parts.")


def test_details_are_for_graphs(tmp_path):
    with pytest.raises(InvalidInputError, match="details"):
        convert(write_trained(tmp_path), tmp_path, details={"spacing": 1})


POSTPROCESSING = "remove_all_but_largest_component_from_segmentation"


def write_postprocessing(source, *kwargs, functions=None):
    folder = source / "crossval_results_folds_0_1_2_3_4"
    folder.mkdir()
    functions = functions or [POSTPROCESSING] * len(kwargs)
    document = {
        "input_folder": {"mean": {"2": {"Dice": float("nan")}}},  # no case had the label
        "postprocessing_fns": functions,
        "postprocessing_kwargs": [{"labels_or_regions": each} for each in kwargs],
    }
    (folder / "postprocessing.json").write_text(json.dumps(document))
    (folder / "postprocessing.pkl").write_bytes(b"cposix\nsystem\n(S'touch /tmp/opened'\ntR.")


@pytest.mark.parametrize(
    ("labels", "order", "found", "cleaned"),
    [
        (None, None, [1], [["anterior"]]),
        (None, None, [[2], 1], [["posterior"], ["anterior"]]),
        (None, None, [[1, 2], 1], [["anterior", "posterior"], ["anterior"]]),
        ({"background": 0, "heart": 1}, None, [[1]], [["heart"]]),
        (REGIONS, [1, 2, 3], [[[1, 2, 3], [2, 3], 3]], [["whole", "core", "enhancing"]]),
        (
            REGIONS,
            [1, 2, 3],
            [[1, 2, 3], [2, 3], 3],
            [["whole", "core", "enhancing"], ["core", "enhancing"], ["enhancing"]],
        ),
        (REGIONS, [1, 2, 3], [2], []),
    ],
)
def test_the_post_processing_that_was_found_best_is_done(labels, order, found, cleaned, tmp_path):
    changes = {"labels": labels} if labels else {}
    source = write_trained(tmp_path, dataset=dataset_of(**changes, regions_class_order=order))
    write_postprocessing(source, *found)
    expected = tuple(
        Cleanup(first, keep_largest=True, together_with=tuple(rest), neighbours=26, everywhere=order is not None)
        for first, *rest in cleaned
    )
    assert convert(source, tmp_path).cleanups == expected
    assert cleaned or "the labels 2, which are no segments" in read_card(tmp_path / "model")


def test_a_pickled_post_processing_stays_closed(tmp_path):
    source = write_trained(tmp_path)
    write_postprocessing(source, 1)
    next(source.glob("crossval*/postprocessing.json")).unlink()
    assert convert(source, tmp_path).cleanups == ()
    assert "postprocessing.pkl is a pickle" in read_card(tmp_path / "model")


def test_unknown_post_processing_is_refused_by_name(tmp_path):
    source = write_trained(tmp_path)
    write_postprocessing(source, 1, functions=["my_own_function"])
    with pytest.raises(ModelError, match="my_own_function"):
        convert(source, tmp_path)


@pytest.mark.parametrize(
    ("reader", "orientation"),
    [("NibabelIO", None), ("NibabelIOWithReorient", "RAS"), ("SimpleITKIOWithReorient", "RAS"), ("Tiff3DIO", None)],
)
def test_volumes_are_turned_as_the_reader_does(reader, orientation, tmp_path):
    plans = plans_of({"3d_fullres": configuration()}, image_reader_writer=reader)
    assert convert(write_trained(tmp_path, plans=plans), tmp_path).stages[0].orientation == orientation


TORCH = "resample_torch_fornnunet"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, NNUNET_RESAMPLING),
        (
            {
                f"resampling_fn_{what}_kwargs": {"is_seg": False, "force_separate_z": False, "order": 1}
                for what in ("data", "probabilities")
            },
            Resampling(1, 1, antialias=False, keep_extent=True),
        ),
        (
            {
                key: value
                for what in ("data", "probabilities")
                for key, value in (
                    (f"resampling_fn_{what}", TORCH),
                    (f"resampling_fn_{what}_kwargs", {"is_seg": False, "memefficient_seg_resampling": False}),
                )
            },
            Resampling(1, 1, antialias=False, keep_extent=True, thick_axis_from=3.0),
        ),
        (
            {
                f"resampling_fn_{what}_kwargs": {"order": 2, "order_z": 1, "force_separate_z": None,
                                                 "separate_z_anisotropy_threshold": 4}
                for what in ("data", "probabilities")
            },
            Resampling(2, 2, antialias=False, keep_extent=True, thick_axis_from=4.0, thick_volume_order=1,
                       thick_logits_order=1),
        ),
    ],
)  # fmt: skip
def test_every_resampling_is_followed(changes, expected, tmp_path):
    plans = plans_of({"3d_fullres": configuration(**changes)})
    assert convert(write_trained(tmp_path, plans=plans), tmp_path).stages[0].resampling == expected


def test_without_resampling_volumes_keep_their_spacing(tmp_path):
    changes = {f"resampling_fn_{what}": "no_resampling_hack" for what in ("data", "probabilities", "seg")}
    changes |= {f"{name}_kwargs": {} for name in changes}
    plans = plans_of({"3d_fullres": configuration(**changes)})
    assert convert(write_trained(tmp_path, plans=plans), tmp_path).stages[0].spacing_mm is None


@pytest.mark.parametrize(
    ("of_plans", "of_configuration", "said"),
    [
        ({"image_reader_writer": "MyReader"}, {}, "MyReader"),
        ({"transpose_forward": [0, 0, 1]}, {}, "transpose_forward"),
        ({"transpose_backward": [1, 0, 2]}, {}, "transpose_forward"),
        ({"label_manager": "MyManager"}, {}, "MyManager"),
        ({"foreground_intensity_properties_per_channel": {}}, {"normalization_schemes": ["CTNormalization"]}, "'0'|0"),
        ({}, {"preprocessor_name": "MyPreprocessor"}, "MyPreprocessor"),
        ({}, {"normalization_schemes": ["MyNormalization"]}, "MyNormalization"),
        ({}, {"normalization_schemes": []}, "normalization_schemes"),
        ({}, {"spacing": [1.0, 1.0]}, "spacing"),
        ({}, {"spacing": [1.0, 1.0, -1.0]}, "spacing"),
        ({}, {"spacing": [1.0, 1.0, "1"]}, "spacing"),
        ({}, {"patch_size": [16, 16]}, "patch_size|spacing"),
        ({}, {"patch_size": [10**6] * 3}, "patch_shape"),
        ({}, {"resampling_fn_data": "my_resampling"}, "my_resampling"),
        ({}, {"resampling_fn_data": "no_resampling_hack"}, "resampling_fn_probabilities"),
        ({}, {"resampling_fn_data_kwargs": {"order": 9, "force_separate_z": None}}, "order"),
        ({}, {"resampling_fn_data_kwargs": {"force_separate_z": True}}, "force_separate_z"),
        ({}, {"resampling_fn_data_kwargs": {"force_separate_z": False}}, "resampling_fn_probabilities"),
        ({}, {"resampling_fn_data_kwargs": {"mystery": 1}}, "mystery"),
        ({}, {"resampling_fn_data": TORCH, "resampling_fn_data_kwargs": {"mode": "nearest-exact"}}, "mode"),
        ({}, {"inherits_from": "3d_fullres"}, "circle"),
        ({}, {"inherits_from": "nothing"}, "nothing"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(of_plans, of_configuration, said, tmp_path):
    source = write_trained(tmp_path)
    plans = plans_of({"3d_fullres": configuration(**of_configuration)}, **of_plans)
    (source / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(ModelError, match=said):
        convert(source, tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": {"background": 0, "a": 1, "b": 3}}, "1, 2, ..."),
        ({"labels": {"background": 0, "a": 1, "b": 1}}, "1, 2, ..."),
        ({"labels": {"a": 1, "b": 2}}, "background"),
        ({"labels": {"background": 1, "a": 1}}, "background"),
        ({"labels": {"background": 0}}, "nothing but the background"),
        ({"labels": {"background": 0, "a": "one", "b": 2}}, "'labels.a'"),
        ({"labels": REGIONS}, "regions_class_order"),
        ({"labels": REGIONS, "regions_class_order": [1, 2]}, "regions_class_order"),
        ({"channel_names": {"1": "T1"}}, "channel_names"),
        ({"channel_names": []}, "channel_names"),
    ],
)
def test_odd_datasets_are_refused_by_name(changes, said, tmp_path):
    source = write_trained(tmp_path)
    (source / "dataset.json").write_text(json.dumps(dataset_of(**changes)))
    with pytest.raises(ModelError, match=said):
        convert(source, tmp_path)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json"])
def test_a_missing_or_damaged_description_is_named(name, tmp_path):
    source = write_trained(tmp_path)
    (source / name).write_text("{")
    with pytest.raises(ModelError, match=name):
        convert(source, tmp_path)
    (source / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} is missing.*nnUNetv2_export_model_to_zip"):
        convert(source, tmp_path)


def test_missing_folds_are_named(tmp_path):
    source = write_trained(tmp_path)
    with pytest.raises(ModelError, match=r"fold_3.*folds that have one: 0"):
        convert(source, tmp_path, folds=("3",))
    shutil.rmtree(source / "fold_0")
    with pytest.raises(ModelError, match=r"fold_0/checkpoint_final\.pth"):
        convert(source, tmp_path)


def test_a_truncated_checkpoint_is_named(tmp_path):
    source = write_trained(tmp_path, folds=("0", "1"))
    path = source / "fold_1" / "checkpoint_final.pth"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ModelError, match="fold_1"):
        convert(source, tmp_path)
    assert not (tmp_path / "model").exists()


def test_plans_of_another_training_are_refused(tmp_path):
    source = write_trained(tmp_path)
    other = plans_of({"3d_fullres": configuration(architecture=architecture(features_per_stage=[4, 6, 9]))})
    (source / "plans.json").write_text(json.dumps(other))
    with pytest.raises(ModelError, match=r"checkpoint_final\.pth.*encoder\.stages\.2.*different trainings"):
        convert(source, tmp_path)


@pytest.mark.parametrize("name", ["checkpoint_final.pth", "checkpoint_best.pth"])
def test_the_best_checkpoint_is_taken_where_there_is_no_final_one(name, tmp_path):
    source = write_trained(tmp_path)
    (source / "fold_0" / "checkpoint_final.pth").rename(source / "fold_0" / name)
    assert convert(source, tmp_path).provenance["checkpoints"] == name


def test_other_folders_are_not_taken_for_models(tmp_path):
    (tmp_path / "fold_0").mkdir()
    (tmp_path / "plans.json").write_text("{}")
    (tmp_path / "file.pth").write_text("")
    assert not IMPORTER.recognises([tmp_path])
    assert not IMPORTER.recognises([tmp_path / "file.pth"])
    assert not IMPORTER.recognises([tmp_path / "missing"])


@given(
    st.sampled_from(["labels", "channel_names", "regions_class_order"]), st.sampled_from([None, [], 7, "x", {"": 0}])
)
def test_any_dataset_is_refused_or_understood(key, value):
    dataset = Entries(Path("dataset.json"), dataset_of(**{key: value}))
    with refused_by_name("dataset.json"):
        assert read_channels(dataset)
        assert outputs_of(dataset).channels == 3
