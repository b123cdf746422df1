"""Segmentations: what `segment` and `correct` give, and other functions take in any of its forms."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import LabelMap, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.output_checks import check_outputs, inputs_of
from DeepSegmentLib.files.segmentations import labelmaps as files
from DeepSegmentLib.files.segmentations.grids_and_layers import flatten
from DeepSegmentLib.files.segmentations.label_values import as_labels, unnamed_segments

from .python_words import in_python_words
from .volumes import VolumeLike, file_path, read_volume, to_nibabel, to_sitk

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Segment


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Segments of a volume, and how they were made.

    Attributes:
        label_map: The labels, in layers where segments overlap.
        provenance: What is written with them: model, version, parameters and so on.
        notes: What speaks against them, and what had to be changed on the way, as sentences.
        probabilities: Probability maps in [0, 1] by the names of the segments, where they were asked for.
        uncertainty: Entropy in [0, 1] (1: all classes equally likely), where it was asked for.
        volume_files: What was read for them, and is never overwritten by `save`.

    Example:
        >>> import numpy as np
        >>> result = read_segmentation((np.array([[[0, 1, 1]]]), np.diag([10, 10, 10, 1])))
        >>> result
        Segmentation(1 segment, 1 x 1 x 3 voxels (k, j, i) of 10 x 10 x 10 mm, SAR)
          label 1         2.000 ml
        >>> result.masks["label 1"]
        array([[[False,  True,  True]]])
    """

    label_map: LabelMap
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    probabilities: Mapping[str, Volume] = field(default_factory=dict)
    uncertainty: Volume | None = None
    volume_files: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        notes = [f"  note: {note}" for note in self.notes]
        return "\n".join(["Segmentation" + repr(self.label_map).removeprefix("LabelMap"), *notes])

    @property
    def geometry(self) -> Geometry:
        """Where the voxels are."""
        return self.label_map.geometry

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Names, label values, colours and codes."""
        return self.label_map.segments

    @property
    def labels(self) -> NDArray[Any]:
        """The label of each voxel, a read-only array (k, j, i); of the pair's axes where the volume was a pair.

        They are the values of `segments`; 1, 2, ... in their order where there are several layers. `labels.copy()` can
        be changed, and given to other functions with its affine, `geometry.affine`.

        Raises:
            InvalidInputError: Segments overlap; take `masks`.
        """
        try:
            layer: NDArray[Any] = flatten(self.label_map).layers[0]
        except InvalidInputError as error:
            told = str(error).partition(", which")[0]
            raise InvalidInputError(f"{told}, so one array cannot hold them; take masks, or only() some") from error
        return layer

    @property
    def masks(self) -> Mapping[str, NDArray[np.bool_]]:
        """Boolean arrays (k, j, i) by the names of the segments."""
        return self.label_map.masks

    def volumes_ml(self) -> dict[str, float]:
        """Volume of each segment in millilitres, by name."""
        return self.label_map.volumes_ml()

    @in_python_words
    def only(self, names: Collection[str]) -> Segmentation:
        """Some of the segments; label values stay.

        Raises:
            InvalidInputError: A name is unknown, or there is none.
        """
        return replace(self, label_map=self.label_map.only(names))

    @in_python_words
    def to_sitk(self) -> Any:
        """A `SimpleITK.Image` of the labels, in the same place.

        Raises:
            InvalidInputError: Segments overlap; `only` takes some of them.
        """
        return to_sitk(self._flat())

    @in_python_words
    def to_nibabel(self) -> Any:
        """A `nibabel.Nifti1Image` of the labels with axes (i, j, k), in the same place.

        Raises:
            InvalidInputError: Segments overlap; `only` takes some of them.
            MissingPackageError: nibabel is not installed.
        """
        return to_nibabel(self._flat())

    def save(self, path: str | PathLike[str], *, replace: bool = False) -> None:
        """Write it to a file: see `write_segmentation`."""
        write_segmentation(self, path, replace=replace)

    def _flat(self) -> Volume:
        return Volume(self.labels[None], self.geometry)


SegmentationLike = Segmentation | LabelMap | VolumeLike
"""A segmentation in any of its forms: those of a volume, with labels for intensities, or as it is."""


@in_python_words
def read_segmentation(source: SegmentationLike) -> Segmentation:
    """A segmentation from any of the forms it may come in.

    Args:
        source: A path (str or Path) of a `.seg.nrrd`, or of a NIfTI, NRRD or MetaImage file of labels, with its table
            beside it (`name.labels.json`) if there is one, or a folder with a file for each segment and its
            `segments.json`; a SimpleITK or nibabel image of labels; a pair of an array
            of labels and its affine, see `read_volume`; a `LabelMap`; or a `Segmentation`.

    Returns:
        The segments with their names; "label 3" and the like where nothing tells them.

    Raises:
        InvalidInputError: `source` is nothing of this, or its numbers are no labels.
        VolumeFileError: A file is missing or damaged, or its numbers are no labels.
        ResourceError: It does not fit into memory.

    Example:
        >>> import numpy as np
        >>> read_segmentation((np.array([[[0, 7, 7]]]), np.eye(4))).volumes_ml()
        {'label 7': 0.002}
    """
    if isinstance(source, Segmentation):
        return source
    if isinstance(source, LabelMap):
        return Segmentation(source)
    if isinstance(source, str | PathLike):
        path = file_path(source)
        return Segmentation(files.read_labelmap(path), files.read_provenance(path))
    return Segmentation(_labels_of(read_volume(source)))


@in_python_words
def write_segmentation(segmentation: SegmentationLike, path: str | PathLike[str], *, replace: bool = False) -> None:
    """Write a segmentation with its provenance; files appear complete or not at all.

    Args:
        segmentation: In any form, see `read_segmentation`.
        path: Where: .seg.nrrd for 3D Slicer, which keeps names, colours and codes; or .nii.gz, .nii, .nrrd or .mha,
            with a table of labels beside it; or a file named `segments.json`, the table of a folder with a .nii.gz for
            each segment. Missing folders are made.
        replace: Files that exist may be replaced; the volume that was segmented never.

    Raises:
        InvalidInputError: A file exists, is the volume that was segmented, or see `read_segmentation`.
        VolumeFileError: The suffix is unknown, the format has no place for overlapping segments, or a file cannot be
            written.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_segmentation((np.array([[[0, 7, 7]]]), np.eye(4)), f"{folder}/seven.seg.nrrd")
        ...     read_segmentation(f"{folder}/seven.seg.nrrd").volumes_ml()
        {'label 7': 0.002}
    """
    known, target = read_segmentation(segmentation), file_path(path)
    outputs = files.segmentation_outputs(target, known.masks)
    check_outputs(outputs, inputs_of(known.volume_files), replace=replace)
    files.write_segmentation(known.label_map, target, known.provenance)


def _labels_of(volume: Volume) -> LabelMap:
    """Labels that were given in memory."""
    if volume.channels > 1:
        raise InvalidInputError(
            f"{volume.channels} values a voxel are no labels; give overlapping segments as a LabelMap with layers"
        )
    try:
        layers = as_labels(Path("the image of labels"), volume.voxels)
    except VolumeFileError as error:
        raise InvalidInputError(str(error)) from error
    return LabelMap(layers, volume.geometry, unnamed_segments(layers))
