"""One volume by nnU-Net's own predictor, in its environment, with the seconds of its steps.

    PEER_PYTHON .../peer_nnunet.py --trained FOLDER --volume FILE --output FILE --seconds FILE [--processes]

As `nnUNetv2_predict -device cpu --disable_tta` does it: `--processes` with its processes for preprocessing and export,
else in one process (`-npp 0 -nps 0`), which spares one volume the time that these take to start.
"""

from __future__ import annotations

import time

BEGUN = time.perf_counter()

import argparse
import json
from functools import wraps
from pathlib import Path
from typing import Any

SECONDS: dict[str, float] = {}


def timed(owner: Any, name: str, step: str) -> None:
    """Let a function add its seconds to those of a step."""
    inner = getattr(owner, name)

    @wraps(inner)
    def outer(*arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return inner(*arguments, **options)
        finally:
            SECONDS[step] = SECONDS.get(step, 0.0) + time.perf_counter() - begun

    setattr(owner, name, outer)


def predictor_of(trained: Path, *, processes: bool) -> Any:
    """nnU-Net's predictor on the CPU, with its steps timed; not those that further processes are sent by name."""
    import torch
    from nnunetv2.inference import export_prediction, predict_from_raw_data
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    SECONDS["start"] = time.perf_counter() - BEGUN
    timed(predict_from_raw_data.nnUNetPredictor, "initialize_from_trained_model_folder", "model")
    timed(predict_from_raw_data.nnUNetPredictor, "_internal_maybe_mirror_and_predict", "network")
    timed(predict_from_raw_data.nnUNetPredictor, "predict_logits_from_preprocessed_data", "tiles")
    if not processes:
        timed(DefaultPreprocessor, "run_case", "read and prepare")
        timed(predict_from_raw_data, "export_prediction_from_logits", "export")
        timed(export_prediction, "convert_predicted_logits_to_segmentation_with_correct_shape", "resample and argmax")
    predictor = predict_from_raw_data.nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(trained), (0,))
    return predictor


def steps() -> dict[str, float]:
    """The seconds of steps that do not hold each other, in their order; none of what further processes did."""
    found = dict(SECONDS)
    found["blending"] = found.pop("tiles") - found["network"]
    if "export" in found:
        found["write"] = found.pop("export") - found["resample and argmax"]
    order = ("start", "model", "read and prepare", "network", "blending", "resample and argmax", "write")
    return {step: round(found[step], 3) for step in order if step in found}


def main() -> None:
    """Predict and tell the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--trained", "--volume", "--output", "--seconds"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--processes", action="store_true")
    options = parser.parse_args()
    predictor = predictor_of(options.trained, processes=options.processes)
    stem = str(options.output)[: -len(".nii.gz")]
    if options.processes:
        predictor.predict_from_files(
            [[str(options.volume)]], [stem], num_processes_preprocessing=3, num_processes_segmentation_export=3
        )
    else:
        predictor.predict_from_files_sequential([[str(options.volume)]], [stem])
    options.seconds.write_text(json.dumps({"seconds": steps()}))


if __name__ == "__main__":
    main()
