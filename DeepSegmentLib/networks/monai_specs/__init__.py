"""The shapes of MONAI's networks as plain data: torch-free, JSON-ready."""

from .layers import Activation, Norm
from .segresnets import SegResNetDSSpec, SegResNetSpec
from .transformers import SwinUNETRSpec, UNETRSpec
from .unets import BasicUNetSpec, DynUNetSpec, MonaiUNetSpec

MonaiSpec = MonaiUNetSpec | BasicUNetSpec | DynUNetSpec | SegResNetSpec | SegResNetDSSpec | SwinUNETRSpec | UNETRSpec

__all__ = [
    "Activation",
    "BasicUNetSpec",
    "DynUNetSpec",
    "MonaiSpec",
    "MonaiUNetSpec",
    "Norm",
    "SegResNetDSSpec",
    "SegResNetSpec",
    "SwinUNETRSpec",
    "UNETRSpec",
]
