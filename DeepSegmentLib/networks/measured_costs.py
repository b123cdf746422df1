"""What a network costs that no arithmetic on its spec tells: measured once, kept in the spec. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from DeepSegmentLib.errors import InvalidInputError


@dataclass(frozen=True)
class MeasuredCosts:
    """What a forward pass of one patch took, and how many weights there are.

    Attributes:
        weights: Numbers in the weights.
        operations_per_voxel: Multiplications, divided by the patch's voxels.
        features_per_voxel: Numbers in the feature maps that are alive at once, at most, divided likewise.
    """

    weights: int
    operations_per_voxel: float
    features_per_voxel: float

    def __post_init__(self) -> None:
        if not (self.weights >= 0 and self.operations_per_voxel >= 0 and self.features_per_voxel >= 0):
            raise InvalidInputError(f"costs of a network must be 0 or more, got {self}")
