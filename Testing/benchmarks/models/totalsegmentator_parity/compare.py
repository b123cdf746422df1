"""Our models of TotalSegmentator beside its own code: tables, resampling, and whole runs with weights of our making.

    python Testing/benchmarks/models/totalsegmentator_parity/compare.py PEER DATA [--half] [--json FILE]

PEER: Python of an environment with PyPI's TotalSegmentator 2.18.0. DATA: folder with ct (see CONTRIBUTING.md).

Its real weights are not needed: networks of random weights stand in for them, with its real data set names, classes and
spacings. Random networks answer by noise, in which the smallest difference of a sample turns a label. nnU-Net sums up
logits of tiles as float16; so that this does not hide the rest, it does not here unless `--half` is given.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[4]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing")]

from foreign_models.totalsegmentator import TRAINER, task_named, write_weights

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.files.models import load_model
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.files.models.importers.totalsegmentator import IMPORTER
from DeepSegmentLib.files.models.importers.totalsegmentator.stages import OWN_RESAMPLING
from DeepSegmentLib.files.models.importers.totalsegmentator.tasks import totalsegmentator_tasks
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.files.volumes.writing import write_image
from DeepSegmentLib.networks.stage_spec import StageSpec
from DeepSegmentLib.segmentation.on_device.planes_back import WayBack, planes_back
from DeepSegmentLib.segmentation.predict import predict
from DeepSegmentLib.segmentation.regrid import network_geometry, to_network

TASKS = totalsegmentator_tasks()
CT, THICK, TURNED, ON_GRID = "ct", "oblique, 5 mm planes", "LPS, odd spacings", "on a grid of 3 mm"
RUNS = (
    ("totalseg-total-fast", ON_GRID), ("totalseg-total-fast", CT), ("totalseg-total", TURNED),
    ("totalseg-headneck_muscles", THICK), ("totalseg-body", TURNED), ("totalseg-kidney_cysts", TURNED),
    ("totalseg-lung_vessels_LEGACY", TURNED),
)  # fmt: skip
"""Parts; one network on its own grid, where nothing is resampled; clean-up; structures taken out; nnU-Net's grid."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("data", type=Path)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(options.peer, Path(folder))
        volumes = volumes_of(options.data, Path(folder))
        report = {
            "TotalSegmentator": TASKS.read_from,
            "tables": compare_tables(peer),
            "resampling": [compare_resampling(peer, name, path) for name, path in volumes.items()],
            "runs": [compare_run(peer, task, name, volumes[name], half=options.half) for task, name in RUNS],
        }
    print(json.dumps(report, indent=1))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


class Peer:
    """TotalSegmentator in its own environment."""

    def __init__(self, python, folder):
        self.python, self.folder = python, folder

    def do(self, what, weights=None, **job):
        file = self.folder / "job.json"
        file.write_text(json.dumps({"do": what} | job, default=str))
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"TOTALSEG_HOME_DIR": str(self.folder / "home"), "nnUNet_compile": "f"}
        environment |= {"TOTALSEG_WEIGHTS_PATH": str(weights)} if weights else {}
        script = Path(__file__).with_name("peer.py")
        command = [self.python, str(script), str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{what}: {done.stderr[-3000:]}")


def volumes_of(data, folder):
    """Real CT, and waves on other grids: thick oblique planes, another orientation, a network's own spacing."""
    found = {CT: data / "ct" / "example_ct_sm.nii.gz"}
    wave = np.indices((18, 70, 60)).astype(np.float32)
    smooth = 400 * np.sin(wave[0] / 3) * np.cos(wave[1] / 9) + 300 * np.sin(wave[2] / 7)
    angle = np.deg2rad(14)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    for name, directions, spacing in (
        (THICK, turn, (0.9, 0.9, 5.0)),
        (TURNED, np.diag([-1.0, -1.0, 1.0]), (1.13, 0.97, 2.3)),
        (ON_GRID, np.eye(3), (3.0, 3.0, 3.0)),
    ):
        affine = np.eye(4)
        affine[:3, :3] = directions @ np.diag(spacing)
        affine[:3, 3] = (-20, 31, -77)
        geometry = Geometry((18, 70, 60), affine[:, [2, 1, 0, 3]])
        found[name] = folder / f"{len(found)}.nii.gz"
        write_image(smooth[None].astype(np.int16), geometry, found[name])
    return found


def compare_tables(peer):
    """How many tasks and structures have just its names, numbers, figures, codes and colours."""
    modes = {"-fast": (True, False), "-fastest": (False, True)}
    wanted = {
        task.name: (task.task, *modes.get(task.name.removeprefix(f"totalseg-{task.task}"), (False, False)))
        for task in TASKS.tasks
    }
    result = peer.folder / "tables.json"
    peer.do("tables", tasks=wanted, result=result)
    theirs = json.loads(result.read_text())
    wrong = [task.name for task in TASKS.tasks if not same_task(task, theirs)]
    structures = [each for each in TASKS.structures if each.name in theirs["codes"]]
    odd = [each.name for each in structures if not same_structure(each, theirs)]
    return {"tasks": len(TASKS.tasks), "structures with codes": len(structures), "that differ": wrong + odd}


def same_task(task, theirs):
    config = theirs["tasks"][task.name]
    classes = theirs["classes"][task.task]
    numbers = config["task_id"] if isinstance(config["task_id"], list) else [config["task_id"]]
    spacing = config["resample"]
    if isinstance(spacing, (int, float)):
        spacing = [spacing] * 3
    return (
        {str(n + 1): name for n, name in enumerate(task.classes)} == classes
        and list(task.datasets) == numbers
        and (list(task.spacing_mm[::-1]) if task.spacing_mm else None) == spacing
        and task.configuration == config["model"]
        and list(task.crop) == (config["crop"] or [])
    )


def same_structure(structure, theirs):
    codes, color = theirs["codes"][structure.name], theirs["colors"].get(structure.name)
    terms = structure.terminology
    pairs = [
        (terms.category, "property_category"),
        (terms.type, "property_type"),
        (terms.modifier, "property_modifier"),
    ]
    return list(structure.color) == color and all(
        codes[key] == (None if code is None else {"scheme": code.scheme, "value": code.value, "meaning": code.meaning})
        for code, key in pairs
    )


def compare_resampling(peer, name, path, spacing=(1.5, 1.5, 1.5), threshold=50.0):
    """The largest difference of intensities on its grid, and how many labels agree on the way back."""
    result, labels = peer.folder / "there.npy", peer.folder / "labels.nii.gz"
    peer.do("resample", volume=path, spacing=list(spacing), threshold=threshold, result=result, labels=labels)
    theirs = np.load(result).T
    stage = stage_at(spacing[::-1])
    volume = read_volume(path)
    oriented = volume.oriented("RAS")
    grid = network_geometry(oriented.geometry, stage)
    ours = to_network(oriented, grid, stage).voxels[0]
    planes = (
        (k, torch.from_numpy(np.stack([plane <= threshold, plane > threshold]).astype(np.float32)))
        for k, plane in enumerate(theirs)
    )
    back = np.stack(
        [plane.numpy().argmax(0) for _, plane in planes_back(planes, WayBack(grid, oriented.geometry, stage))]
    )
    expected = read_volume(labels).oriented("RAS").voxels[0]
    return {
        "volume": name,
        "grid": list(ours.shape),
        "same grid": ours.shape == theirs.shape,
        "largest difference of intensities": float(np.abs(ours - theirs).max()),
        "labels that agree on the way back": float((back == expected).mean()),
    }


def stage_at(spacing):
    model = task_named("totalseg-body")
    with tempfile.TemporaryDirectory() as folder:
        source = write_weights(Path(folder), model, 299)
        stage: StageSpec = IMPORTER.convert([source], Path(folder) / "model", Words()).stages[0]
    return replace(stage, spacing_mm=spacing, resampling=OWN_RESAMPLING)


def compare_run(peer, name, volume_name, path, *, half):
    """Which voxels get the same label by its whole way and by ours."""
    task = task_named(name)
    with tempfile.TemporaryDirectory() as folder:
        sources = [write_weights(Path(folder) / "weights", task, number) for number in task.datasets]
        IMPORTER.convert(sources, Path(folder) / "model", Words())
        result = peer.folder / "result.nii.gz"
        numbers = list(task.datasets)
        peer.do(
            "segment", weights=Path(folder) / "weights", volume=path, task=task.task, result=result, trainer=TRAINER,
            half=half, task_id=numbers if len(numbers) > 1 else numbers[0], model=task.configuration,
            folds=[int(fold) for fold in task.folds], resample=list(task.spacing_mm[::-1]) if task.spacing_mm else None,
        )  # fmt: skip
        model = load_model(Path(folder) / "model", "cpu")
        ours = predict(read_volume(path), model.spec, model.networks).label_map.layers[0]
    theirs = read_volume(result).voxels[0]
    ours = np.where(ours > len(task.classes), 0, ours)
    return {
        "task": name,
        "volume": volume_name,
        "labels found": len(np.unique(theirs)) - 1,
        "voxels that agree": round(float((ours == theirs).mean()), 6),
    }


if __name__ == "__main__":
    main()
