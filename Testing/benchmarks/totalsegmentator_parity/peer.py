"""TotalSegmentator's side of `compare.py`; runs in its own environment.

    TOTALSEGMENTATOR/bin/python peer.py JOB.json

Its own functions are called, on weights of our making; nothing is downloaded, and no usage is told to anybody.
"""

import json
import sys
import time
import types
from pathlib import Path


def tables(job):
    """Its names, numbers, codes and colours."""
    from totalsegmentator.dicom_utils import load_color_mapping, load_snomed_mapping
    from totalsegmentator.map_to_binary import class_map
    from totalsegmentator.python_api import get_task_config

    configs = {}
    for name, (task, fast, fastest) in job["tasks"].items():
        config = get_task_config_of(get_task_config, task, fast, fastest)
        configs[name] = {
            key: config.get(key) for key in ("task_id", "resample", "model", "folds", "crop", "crop_addon")
        }
    Path(job["result"]).write_text(
        json.dumps(
            {"classes": class_map, "codes": load_snomed_mapping(), "colors": load_color_mapping(), "tasks": configs}
        )
    )


def get_task_config_of(get_task_config, task, fast, fastest):
    """Its configuration, without its question for a licence."""
    import totalsegmentator.python_api as api

    api.show_license_info = lambda: None
    return get_task_config(task, fast=fast, fastest=fastest, quiet=True)


def resample(job):
    """Its resampling of an image, as it goes to the network, and of labels back."""
    import nibabel
    import numpy as np
    from totalsegmentator.alignment import as_closest_canonical, undo_canonical
    from totalsegmentator.resampling import change_spacing

    stored = nibabel.load(job["volume"])
    image = as_closest_canonical(nibabel.Nifti1Image(stored.get_fdata(), stored.affine))
    there = change_spacing(image, job["spacing"], order=1)
    np.save(job["result"], there.get_fdata().astype(np.float32))
    labels = nibabel.Nifti1Image((there.get_fdata() > job["threshold"]).astype(np.uint8), there.affine)
    back = change_spacing(labels, job["spacing"], image.shape, order=0, dtype=np.uint8, force_affine=image.affine)
    nibabel.save(undo_canonical(back, stored), job["labels"])


def segment(job):
    """Its whole way of segmenting, with the networks of one task."""
    import nibabel
    from totalsegmentator.config import setup_nnunet

    setup_nnunet()
    # nnU-Net imports every trainer to find one; those for this network need packages that nobody needs here.
    unused = types.ModuleType("primus")
    for name in ("Primus", "PrimusV2S", "PrimusV2B", "PrimusV2M", "PrimusV2L"):
        setattr(unused, name, object)
    sys.modules["dynamic_network_architectures.architectures.primus"] = unused
    import torch
    from totalsegmentator.nnunet import nnUNet_predict_image

    if not job["half"]:
        torch.half = torch.float32

    began = time.perf_counter()
    image, *_ = nnUNet_predict_image(
        Path(job["volume"]), None, job["task_id"], model=job["model"], folds=job["folds"], trainer=job["trainer"],
        tta=False, multilabel_image=True, resample=job["resample"], task_name=job["task"], nr_threads_resampling=1,
        nr_threads_saving=1, quiet=True, device="cpu", plans="nnUNetPlans", output_type="nifti",
    )  # fmt: skip
    nibabel.save(nibabel.Nifti1Image(image.get_fdata().astype("uint8"), image.affine), job["result"])
    print(f"TotalSegmentator took {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    work = json.loads(Path(sys.argv[1]).read_text())
    {"tables": tables, "resample": resample, "segment": segment}[work["do"]](work)
