"""Networks in torch, a file each that reads from top to bottom."""

from DeepSegmentLib.networks import monai_specs

from .basic_unet import BasicUNet
from .dyn_unet import DynUNet
from .monai_unet import MonaiUNet
from .segresnet import SegResNet
from .segresnet_ds import SegResNetDS
from .swin_unetr import SwinUNETR
from .unetr import UNETR

MONAI_NETWORKS = {
    monai_specs.MonaiUNetSpec: MonaiUNet,
    monai_specs.BasicUNetSpec: BasicUNet,
    monai_specs.DynUNetSpec: DynUNet,
    monai_specs.SegResNetSpec: SegResNet,
    monai_specs.SegResNetDSSpec: SegResNetDS,
    monai_specs.SwinUNETRSpec: SwinUNETR,
    monai_specs.UNETRSpec: UNETR,
}
"""What builds MONAI's networks, by the types of their specs."""
