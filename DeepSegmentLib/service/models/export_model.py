"""A model for other programs: as ONNX graphs, as a trained folder of nnU-Net, or as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.files.models.folder import copy_model
from DeepSegmentLib.files.output_checks import check_no_inputs, inputs_of
from DeepSegmentLib.service.catalogue import find_model

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback

Format = Literal["onnx", "nnunet", "deepsegment"]
FORMATS: tuple[Format, ...] = ("onnx", "nnunet", "deepsegment")


def export_model(name: str, to: Format, folder: Path, on_progress: ProgressCallback = silent) -> tuple[Path, ...]:
    """Write a model in a new folder.

    Args:
        name: Of the model, or its folder.
        to: "onnx": a graph for each member, checked against torch, and a JSON file that says how to use them; "nnunet":
            what nnU-Net v2's own predictor runs; "deepsegment": the files of the model, unchanged.
        folder: Made anew.
        on_progress: Told of each member; may raise `Cancelled`.

    Returns:
        What was written: files, or the one folder that counts.

    Raises:
        InvalidInputError: The folder exists, or the format has no place for something of the model.
        ModelError: There is no such model, it is damaged, or its network cannot be written so.
        MissingPackageError: torch or onnxruntime is not installed.
    """
    source = find_model(name).path
    check_no_inputs([folder], inputs_of([], [source]))
    on_progress(Progress(f"write {to}", 0.0))
    if to == "onnx":
        from DeepSegmentLib.files.models.exporters.onnx import export_onnx

        return export_onnx(source, folder, lambda n, count: on_progress(Progress("write onnx", n / count)))
    if to == "nnunet":
        from DeepSegmentLib.files.models.exporters.nnunet import export_nnunet

        return (export_nnunet(source, folder),)
    copy_model(source, folder)
    return (folder,)
