"""The same models by nnU-Net's own predictor and by this library: how many voxels and probabilities agree.

    python Testing/benchmarks/models/nnunet_parity/compare.py --peer PYTHON --work FOLDER --data FOLDER [--only NAME...]

PYTHON is an environment's with `pip install nnunetv2`; DATA holds `hippocampus` and `headneck_ct` (see
`peer_datasets.py` for what is read of them). Models that are not below WORK yet are trained there first, by nnU-Net
(about an hour on two cores); then all test volumes are predicted by both, with mirroring and the same step. The table
goes to Testing/benchmarks/results/nnunet_parity.json and docs/nnunet-parity.md.

nnU-Net sums up logits in float16; compared is with sums in float32, and beside it with nnU-Net as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from peer_train import TRAININGS, Training, model_folder

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "nnunet_parity.json"
COMMAND = (
    "python Testing/benchmarks/models/nnunet_parity/compare.py --peer nnunet/bin/python --work parity "
    "--data $DEEPSEGMENT_TEST_DATA"
)
PAGE = HERE.parents[3] / "docs" / "nnunet-parity.md"


@dataclass(frozen=True)
class Row:
    """One volume by both.

    Attributes:
        model: Name of the training.
        volume: Name of the test volume.
        voxels: All of the volume.
        foreground: Those with a label, by nnU-Net.
        different: Those with another label.
        different_float16: Likewise, against nnU-Net as it is.
        float16_itself: Those where nnU-Net as it is differs from itself with sums in float32.
        probability: Largest difference of a probability inside the box that both predicted.
    """

    model: str
    volume: str
    voxels: int
    foreground: int
    different: int
    different_float16: int
    float16_itself: int
    probability: float

    @property
    def equal_percent(self) -> float:
        """Share of voxels with the same label."""
        return 100 * (1 - self.different / self.voxels)


def peer(options: argparse.Namespace, script: str, *arguments: str) -> None:
    """Run one of the scripts that belong to nnU-Net's environment."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [str(options.peer), str(HERE / script), "--work", str(options.work), "--data", str(options.data)]
    subprocess.run([*command, *arguments], check=True, env=environment, stdout=subprocess.DEVNULL)


def compare(options: argparse.Namespace, training: Training) -> list[Row]:
    """Predict all test volumes of a model by both."""
    from DeepSegmentLib.files.models import load_model
    from DeepSegmentLib.service.catalogue import add_model

    output = options.work / "predicted" / training.name.replace(" ", "-")
    peer(options, "peer_predict.py", "--name", training.name, "--output", str(output))
    with tempfile.TemporaryDirectory() as models:
        os.environ["DEEPSEGMENT_MODELS"] = models
        source = model_folder(options.work, training)
        entry = add_model([source])
        model = load_model(entry.path, "cpu")
        images = options.work / "raw" / source.parent.name / "imagesTs"
        names = sorted(path.name[: -len(".nii.gz")] for path in (output / "float32").glob("*.nii.gz"))
        return [_row(training, name, model, images, output) for name in names]


def _row(training: Training, name: str, model: Any, images: Path, output: Path) -> Row:
    import SimpleITK as sitk

    from DeepSegmentLib.files.volumes import read_channels
    from DeepSegmentLib.segmentation.outputs import PredictSettings
    from DeepSegmentLib.segmentation.predict import predict

    first, *further = sorted(images.glob(f"{name}_[0-9]*.nii.gz"))
    volume = read_channels(first, tuple(further), None)
    segments = tuple(segment.name for segment in model.spec.segments)
    settings = PredictSettings(mirror=True, probabilities=segments, any_spacing=True, clean_up=False)
    prediction = predict(volume, model.spec, model.networks, settings=settings)
    layers = [np.where(layer > 0, layer, 0) for layer in prediction.label_map.layers]
    labels = layers[0]
    for layer in layers[1:]:
        labels = np.where(layer > 0, layer, labels)
    theirs, half = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(output / kind / f"{name}.nii.gz"))) for kind in ("float32", "float16")
    )
    packed = np.load(output / "float32" / f"{name}.npz")["probabilities"]
    first_channel = packed.shape[0] - len(segments)
    gaps = [
        float(np.abs(prediction.probabilities[segment].voxels[0] - packed[first_channel + n]).max())
        for n, segment in enumerate(segments)
    ]
    return Row(
        training.name,
        name,
        int(labels.size),
        int((theirs > 0).sum()),
        int((labels != theirs).sum()),
        int((labels != half).sum()),
        int((half != theirs).sum()),
        max(gaps),
    )


def page(rows: list[Row], machine: dict[str, str]) -> str:
    """The table as Markdown."""
    head = [
        "model",
        "volume",
        "voxels",
        "foreground",
        "equal",
        "differ",
        "nnU-Net's own float16 differs",
        "largest difference of a probability",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (
            row.model, row.volume, f"{row.voxels:,}", f"{row.foreground:,}", f"{row.equal_percent:.4f} %",
            f"{row.different}", f"{row.float16_itself}", f"{row.probability:.1e}",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    words = ", ".join(f"{key} {value}" for key, value in machine.items())
    return f"""# The same answer as nnU-Net

Models trained by nnU-Net for a few minutes each, predicted by its own predictor and by this library: mirroring, tiles
that overlap by half. nnU-Net sums up logits in float16 to save memory; "equal" and "differ" are against the same code
with sums in float32, and beside it stands in how many voxels nnU-Net differs from itself by that. The weights by which
tiles are blended are nnU-Net's own for both, in float16; in float32 they would differ in the corners of tiles.

Made by
`{COMMAND}`,
`nnunet` an environment with PyPI's nnunetv2; it trains what is missing in `parity` ({words}).

{chr(10).join(lines)}
"""


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--peer", "--work", "--data"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args()
    chosen = [each for each in TRAININGS if options.only is None or each.name in options.only]
    peer(options, "peer_train.py", "--only", *(each.name for each in chosen))
    rows: list[Row] = []
    for training in chosen:
        rows += (found := compare(options, training))
        for row in found:
            print(row, f"{row.equal_percent:.4f} %", flush=True)
    if options.only is None:
        machine = {"processor": platform.processor() or platform.machine(), "Python": platform.python_version()}
        RESULTS.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
        PAGE.write_text(page(rows, machine))


if __name__ == "__main__":
    main()
