"""A stage of our model as the plans of nnU-Net; the inverse of the importer. What nnU-Net does otherwise is refused.

References:
    nnU-Net 2.8 `PlansManager`, `ConfigurationManager`, `DefaultPreprocessor`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.unet_spec import UNetSpec

if TYPE_CHECKING:
    from DeepSegmentLib.imaging.intensity import Normalization
    from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec

_NETWORKS = {"plain": "PlainConvUNet", "residual": "ResidualEncoderUNet"}
_READERS = {None: "SimpleITKIO", "RAS": "SimpleITKIOWithReorient"}
_SPLINE, _NONE = "resample_data_or_seg_to_shape", "no_resampling_hack"


def configuration_name(stage: StageSpec) -> str:
    """What nnU-Net calls such a stage."""
    return "2d" if stage.network.dimensions == 2 else "3d_fullres"


def plans_of(stage: StageSpec, dataset_name: str) -> dict[str, Any]:
    """The content of `plans.json`.

    Raises:
        InvalidInputError: nnU-Net does something of it otherwise; the message names it.
    """
    network = _checked_network(stage)
    schemes = [_scheme(each) for each in stage.normalizations]
    axes = list(stage.axes)
    spacing = _spacing(stage)
    return {
        "dataset_name": dataset_name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": ([1.0, *spacing])[-3:],
        "original_median_shape_after_transp": list(stage.patch_shape),
        "image_reader_writer": _READERS[stage.orientation],
        "transpose_forward": axes,
        "transpose_backward": [axes.index(axis) for axis in range(3)],
        "configurations": {
            configuration_name(stage): _configuration(stage, network, spacing, [name for name, _ in schemes])
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(n): numbers for n, (_, numbers) in enumerate(schemes)},
    }


def _checked_network(stage: StageSpec) -> UNetSpec:
    """The network, after everything that nnU-Net would do otherwise has been refused."""
    network = stage.network
    if not isinstance(network, UNetSpec):
        _refuse(f"its network is a {network.architecture}", "U-Nets")
    if network.attention:
        _refuse("its network has attention gates", "U-Nets without")
    if network.norm == "group":
        _refuse("its network has group norm", "instance and batch norm")
    if stage.orientation not in _READERS:
        _refuse(f"it turns volumes to {stage.orientation}", "volumes as stored, or RAS")
    if stage.crop != "nonzero":
        _refuse(f"it crops by {stage.crop!r}", "'nonzero'")
    if stage.normalize != "before":
        _refuse("it normalises after resampling", "normalising before")
    return network


def _refuse(what: str, known: str) -> NoReturn:
    raise InvalidInputError(f"this model cannot become an nnU-Net folder: {what}; nnU-Net knows {known}")


def _configuration(stage: StageSpec, network: UNetSpec, spacing: list[float], schemes: list[str]) -> dict[str, Any]:
    patch = list(stage.patch_shape)[-network.dimensions :]
    return {
        "data_identifier": f"nnUNetPlans_{configuration_name(stage)}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "median_image_size_in_voxels": patch,
        "spacing": spacing,
        "normalization_schemes": schemes,
        "use_mask_for_norm": [each.over == "filled_nonzero" for each in stage.normalizations],
        **_resampling(stage),
        "architecture": architecture_of_plans(network),
        "batch_dice": False,
    }


def architecture_of_plans(spec: UNetSpec) -> dict[str, Any]:
    """The entry `architecture`: a class of dynamic-network-architectures and its arguments."""
    axes, residual = spec.dimensions, spec.encoder == "residual"
    norm = ("batchnorm.BatchNorm" if spec.norm == "batch" else "instancenorm.InstanceNorm") + f"{axes}d"
    own: dict[str, Any] = {"n_blocks_per_stage" if residual else "n_conv_per_stage": list(spec.encoder_blocks)}
    imported = ["conv_op", "norm_op", "dropout_op", "nonlin"]
    if spec.stem_features:
        own["stem_channels"] = spec.stem_features
    if spec.bottleneck_features:
        own["block"] = "dynamic_network_architectures.building_blocks.residual.BottleneckD"
        own["bottleneck_channels"] = list(spec.bottleneck_features)
        imported.append("block")
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{_NETWORKS[spec.encoder]}",
        "arch_kwargs": {
            "n_stages": len(spec.features),
            "features_per_stage": list(spec.features),
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [list(size) for size in spec.kernel_sizes],
            "strides": [list(stride) for stride in spec.strides],
            "n_conv_per_stage_decoder": list(spec.decoder_blocks),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.{norm}",
            "norm_op_kwargs": {"eps": spec.norm_epsilon, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True, "negative_slope": spec.leak},
            **own,
        },
        "_kw_requires_import": imported,
    }


def _scheme(each: Normalization) -> tuple[str, dict[str, float]]:
    """The class of nnU-Net's that does the same, and the numbers it needs."""
    numbers = {"mean": 0.0, "std": 1.0, "percentile_00_5": 0.0, "percentile_99_5": 1.0}
    if each.kind == "none":
        return "NoNormalization", numbers
    if each.kind == "zscore" and each.over != "nonzero":
        return "ZScoreNormalization", numbers
    if each.kind == "window" and each.clip:
        return "CTNormalization", {
            "mean": each.mean, "std": each.std, "percentile_00_5": each.low, "percentile_99_5": each.high,
        }  # fmt: skip
    whole_range = (each.low, each.high, each.mean, each.std, each.over) == (0, 100, 0, 1, "all")
    if each.kind != "percentile" or not whole_range:
        _refuse(f"it normalises by {each}", "zscore, window with clipping, percentile from 0 to 100, none")
    return "RescaleTo01Normalization", numbers


def _spacing(stage: StageSpec) -> list[float]:
    """A length an axis of the network; 1 where nothing is resampled."""
    spacing = stage.spacing_mm or (None, None, None)
    if spacing == (None, None, None):
        return [1.0] * stage.network.dimensions
    lengths = [each for each in spacing[-stage.network.dimensions :] if each is not None]
    if len(lengths) < stage.network.dimensions or (stage.network.dimensions == 2 and spacing[0] is not None):
        _refuse(f"it resamples to {spacing} mm", "a spacing for each axis of the network, and for no other")
    return lengths


def _resampling(stage: StageSpec) -> dict[str, Any]:
    resamples = stage.spacing_mm not in (None, (None, None, None))
    functions = _SPLINE if resamples else _NONE
    volume, logits = _spline_arguments(stage.resampling) if resamples else ({}, {})
    return {
        "resampling_fn_data": functions,
        "resampling_fn_data_kwargs": volume,
        "resampling_fn_probabilities": functions,
        "resampling_fn_probabilities_kwargs": logits,
        "resampling_fn_seg": functions,
        "resampling_fn_seg_kwargs": logits | {"is_seg": True, "order": 1, "order_z": 0} if logits else {},
    }


def _spline_arguments(resampling: Resampling) -> tuple[dict[str, Any], dict[str, Any]]:
    """For volumes and for logits."""
    if resampling.antialias or not resampling.keep_extent:
        _refuse("it averages where it shrinks volumes, or does not keep their extent", "splines that keep the extent")
    separate: dict[str, Any] = {"is_seg": False, "force_separate_z": False}
    if resampling.thick_axis_from is not None:
        separate |= {"force_separate_z": None, "separate_z_anisotropy_threshold": resampling.thick_axis_from}
    return (
        {"order": resampling.volume_order, "order_z": resampling.thick_volume_order, **separate},
        {"order": resampling.logits_order, "order_z": resampling.thick_logits_order, **separate},
    )
