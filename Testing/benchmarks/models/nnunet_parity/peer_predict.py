"""Predict with nnU-Net's own predictor: labels and probabilities of every test volume of a model folder.

    PEER_PYTHON .../peer_predict.py --work FOLDER --data FOLDER --name NAME --output FOLDER

Runs in the environment of nnU-Net. Twice: as it is, where logits are summed up in float16, and with sums in float32.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
from peer_train import TRAININGS, Training, model_folder, set_paths

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def sums_in_float32() -> Iterator[None]:
    """Let nnU-Net sum up in float32, not float16; the weights of a tile's voxels stay what they are in float16."""
    import torch
    from nnunetv2.inference import predict_from_raw_data as module

    half, gaussian = torch.half, module.compute_gaussian

    def wider(*arguments: Any, **options: Any) -> Any:
        return gaussian(*arguments, **options).float()

    wider.cache_clear = gaussian.cache_clear  # type: ignore[attr-defined]
    torch.half, module.compute_gaussian = torch.float32, wider
    try:
        yield
    finally:
        torch.half, module.compute_gaussian = half, gaussian


def predictor_of(work: Path, training: Training) -> Any:
    """nnU-Net's predictor as its command makes it, on the CPU, with mirroring."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model_folder(work, training)), training.folds)
    return predictor


def predict(work: Path, training: Training, output: Path, earlier: Path | None) -> None:
    """Write `NAME.nii.gz` and `NAME.npz` for each test volume that has none yet."""
    from peer_datasets import DATASETS

    images = work / "raw" / DATASETS[training.dataset].folder / "imagesTs"
    names = sorted({path.name[: -len("_0000.nii.gz")] for path in images.glob("*_0000.nii.gz")})
    output.mkdir(parents=True, exist_ok=True)
    missing = [name for name in names if not (output / f"{name}.nii.gz").is_file()]
    predictor = predictor_of(work, training) if missing else None
    for name in missing:
        channels = [str(path) for path in sorted(images.glob(f"{name}_*.nii.gz"))]
        previous = None if earlier is None else str(earlier)
        predictor.predict_from_files_sequential(
            [channels], [str(output / name)], save_probabilities=True, folder_with_segs_from_prev_stage=previous
        )


def main() -> None:
    """Predict with one model, the coarse stage of a cascade first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--work", "--data", "--output"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--name", required=True)
    options = parser.parse_args()
    set_paths(options.work)
    by_name = {training.name: training for training in TRAININGS}
    training, low = by_name[options.name], by_name["low resolution"]
    with sums_in_float32():
        earlier = None
        if training.configuration == "3d_cascade_fullres":
            earlier = options.output / "earlier"
            predict(options.work, low, earlier, None)
        predict(options.work, training, options.output / "float32", earlier)
    predict(options.work, training, options.output / "float16", earlier)


if __name__ == "__main__":
    main()
