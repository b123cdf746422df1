"""Sample volumes that the bundled model segments, in the module Sample Data."""

from pathlib import Path

_ICONS = Path(__file__).parent.parent / "Resources" / "Icons"


def register():
    """Offer the head MR of Slicer's own test data under the category DeepSegment."""
    import SampleData

    checksum = "cc211f0dfd9a05ca3841ce1141b292898b2dd2d3f08286affadf823a7e58df93"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="DeepSegment",
        sampleName="DeepSegmentHeadMR",
        uris=f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{checksum}",
        fileNames="DeepSegmentHeadMR.nrrd",
        checksums=f"SHA256:{checksum}",
        nodeNames="HeadMR",
        thumbnailFileName=str(_ICONS / "HeadMR.png"),
    )
