"""Stand-in of Slicer's module SampleData: keeps what is registered, downloads nothing."""


class SampleDataLogic:
    """Where modules register volumes to try.

    Attributes:
        sources: What was registered: the arguments by name, by category and sample name.
    """

    sources: dict = {}  # noqa: RUF012 - Slicer's registry is one of the process, too

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
        loadFileType=None,
    ):
        """Register one sample; several files are given as lists of one length."""
        counts = {len(value) for value in (uris, fileNames, nodeNames, checksums) if isinstance(value, list)}
        if len(counts) > 1:
            raise ValueError(f"{sampleName}: lists of {sorted(counts)} entries; Slicer wants one length")
        SampleDataLogic.sources[category, sampleName] = {
            "uris": uris, "fileNames": fileNames, "nodeNames": nodeNames, "customDownloader": customDownloader,
            "thumbnailFileName": thumbnailFileName, "loadFileTypes": loadFileTypes or loadFileType,
            "loadFiles": loadFiles, "loadFileProperties": loadFileProperties, "checksums": checksums,
        }  # fmt: skip
