"""TotalSegmentator's tasks, read from its installed package (its tables are data; nothing of it runs)."""

from __future__ import annotations

import csv
import importlib.util
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Code, Terminology
from DeepSegmentLib.files.models.importers.totalsegmentator.tasks import Dataset, Structure, Task, Tasks
from DeepSegmentLib.files.models.known_models import Download, KnownModel, ModelList, Origin
from DeepSegmentLib.networks.model_spec import Cleanup

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

_RELEASES = "https://github.com/wasserth/TotalSegmentator/releases/download"
_README = "https://github.com/wasserth/TotalSegmentator#subtasks"
_KEY = "https://backend.totalsegmentator.com/license-academic/"
_CITATION = (
    "Wasserthal et al., TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in CT Images, Radiology: "
    "Artificial Intelligence 2023, https://doi.org/10.1148/ryai.230024; Isensee et al., nnU-Net, Nat Methods 2021"
)
_FILES = ("map_to_binary.py", "map_tasks_config.py", "libs.py", "resources/totalsegmentator_snomed_mapping.csv")
_MODES = {"default": "", "fast": "-fast", "fastest": "-fastest"}
_LEFT_OUT = (
    "Sizes and digests, which it does not publish; tasks without published weights (test, total_highres_test, body_mr "
    "at 6 mm); vertebrae_pp_refined, which is vertebrae_pp clipped by vertebrae_body. Weights behind a licence number "
    "are listed without address."
)
_UNPUBLISHED = {"test", "total_highres_test", "vertebrae_pp_refined"}
_UNTRAINED = [598]
"""Of its own notes: "todo: train"."""

# Title and region: our words.
_WORDS = {
    "total": ("Whole body, 117 structures", "whole body"),
    "total_v3": ("Whole body, 117 structures, version 3", "whole body"),
    "total_mr": ("Whole body in MR, 50 structures", "whole body"),
    "body": ("Body: trunk and limbs", "whole body"),
    "body_mr": ("Body in MR: trunk and limbs", "whole body"),
    "lung_vessels": ("Lung vessels and airways", "thorax"),
    "lung_vessels_LEGACY": ("Lung vessels and airways, older model", "thorax"),
    "cerebral_bleed": ("Intracerebral haemorrhage", "head"),
    "hip_implant": ("Hip implant", "pelvis"),
    "vertebrae_mr": ("Vertebrae in MR", "spine"),
    "pleural_pericard_effusion": ("Pleural and pericardial effusion", "thorax"),
    "liver_vessels": ("Liver vessels and tumour", "abdomen"),
    "head_glands_cavities": ("Glands and cavities of the head", "head"),
    "headneck_bones_vessels": ("Bones and vessels of head and neck", "head and neck"),
    "head_muscles": ("Muscles of the head", "head"),
    "headneck_muscles": ("Muscles of head and neck", "head and neck"),
    "oculomotor_muscles": ("Eye muscles", "head"),
    "lung_nodules": ("Lung nodules", "thorax"),
    "kidney_cysts": ("Kidney cysts", "abdomen"),
    "breasts": ("Breasts", "thorax"),
    "ventricle_parts": ("Parts of the brain's ventricles", "head"),
    "liver_segments": ("Liver segments", "abdomen"),
    "liver_segments_mr": ("Liver segments in MR", "abdomen"),
    "liver_lesions": ("Liver lesions", "abdomen"),
    "liver_lesions_mr": ("Liver lesions in MR", "abdomen"),
    "craniofacial_structures": ("Craniofacial structures", "head"),
    "abdominal_muscles": ("Muscles of the trunk", "abdomen"),
    "teeth": ("Teeth and jaws", "head"),
    "trunk_cavities": ("Cavities of the trunk", "thorax and abdomen"),
    "brain_aneurysm": ("Brain aneurysms in TOF MR", "head"),
    "vertebrae_body": ("Vertebral bodies and discs", "spine"),
    "vertebrae_pp": ("Vertebral bodies, numbered", "spine"),
    "heartchambers_highres": ("Heart chambers", "thorax"),
    "appendicular_bones": ("Bones of the limbs", "limbs"),
    "appendicular_bones_mr": ("Bones of the limbs in MR", "limbs"),
    "tissue_types": ("Fat and muscle", "whole body"),
    "tissue_types_mr": ("Fat and muscle in MR", "whole body"),
    "tissue_4_types": ("Fat and muscle, four tissues", "whole body"),
    "face": ("Face", "head"),
    "face_mr": ("Face in MR", "head"),
    "brain_structures": ("Brain structures in CT", "head"),
    "thigh_shoulder_muscles": ("Muscles of thigh and shoulder", "limbs"),
    "thigh_shoulder_muscles_mr": ("Muscles of thigh and shoulder in MR", "limbs"),
    "coronary_arteries": ("Coronary arteries", "thorax"),
    "coronary_arteries_LEGACY": ("Coronary arteries, older model", "thorax"),
    "aortic_sinuses": ("Aortic sinuses", "thorax"),
    "renal_arteries": ("Renal arteries", "abdomen"),
    "aorta_annulus": ("Aortic annulus", "thorax"),
    "aortic_dissection": ("Aortic dissection", "thorax"),
    "pulmonary_artery_landmarks": ("Landmarks of the pulmonary artery", "thorax"),
}

# Of its python code rather than its tables: steps after the network that have a word in our specs, and those without.
_CLEANUPS = {
    "body": (Cleanup("body_trunc", keep_largest=True), Cleanup("body_extremities", minimum_ml=50.0)),
}
_AFTERWARDS = {
    "heartchambers_highres": "voxels further than 10 mm from heart, aorta and inferior vena cava are removed there",
    "vertebrae_pp": "vertebrae that touch are numbered anew from below and grown by 3 mm there",
    "body": "skin, derived from body and intensities, is written there beside the labels",
}


@dataclass(frozen=True)
class _Tables:
    """The modules that hold its tables, and its codes."""

    classes: ModuleType
    tasks: ModuleType
    codes: Path

    @property
    def keys(self) -> dict[str, int]:
        """Tasks that need a licence number, as both of its tables have them."""
        marked = {task for task, config in self.tasks.TASK_CONFIGS.items() if config.get("commercial")}
        keys: dict[str, int] = self.classes.commercial_models
        if marked != set(keys):
            raise ValueError(f"its tables disagree on which tasks need a licence: {marked ^ set(keys)}")
        return keys


def read_totalsegmentator(package: Path, version: str) -> tuple[ModelList, Tasks]:
    """What it publishes, and how its tasks are to be run."""
    tables = _Tables(
        _module(package / "map_to_binary.py"), _module(package / "map_tasks_config.py"), package / _FILES[-1]
    )
    origin = tuple(Origin(f"PyPI TotalSegmentator {version}", f"totalsegmentator/{name}") for name in _FILES)
    tasks = tuple(_tasks(tables))
    numbers = sorted({number for task in tasks for number in task.datasets})
    datasets = tuple(_dataset(tables, number) for number in numbers)
    models = tuple(_known(tables, task, version) for task in tasks)
    return ModelList(origin, _LEFT_OUT, models), Tasks(
        f"TotalSegmentator {version}", tasks, datasets, _structures(tables, datasets)
    )


def _module(file: Path) -> ModuleType:
    """One of its files of tables, without the package round it, which needs torch."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _tasks(tables: _Tables) -> list[Task]:
    tasks = []
    for name, config in tables.tasks.TASK_CONFIGS.items():
        modes = config.get("sub_modes", {"default": config})
        published = [mode for mode in modes if name not in _UNPUBLISHED and modes[mode]["task_id"] not in _UNTRAINED]
        coarser = ""
        for mode in sorted(published, key=list(_MODES).index, reverse=True):
            settings = tables.tasks.DEFAULT_CONFIG | config | modes[mode]
            tasks.append(_task(tables, name, f"totalseg-{name}{_MODES[mode]}", settings, coarser))
            coarser = tasks[-1].name
    return sorted(tasks, key=lambda task: task.name)


def _task(tables: _Tables, task: str, name: str, settings: dict[str, Any], coarser: str) -> Task:
    modality = "MR" if task.endswith("_mr") or task == "brain_aneurysm" else "CT"
    numbers = settings["task_id"]
    classes = tables.classes.class_map[task]
    auxiliary = tables.classes.class_map.get(f"{task}_auxiliary", {})
    return Task(
        name=name,
        task=task,
        title=_WORDS[task][0],
        modality=modality,
        licence=_licence(tables, task),
        needs_key=task in tables.keys,
        datasets=tuple(numbers if isinstance(numbers, list) else [numbers]),
        configuration=settings["model"],
        folds=tuple(map(str, settings["folds"] or ())),
        classes=tuple(classes[value] for value in sorted(classes)),
        auxiliary=tuple(auxiliary[value] for value in sorted(auxiliary)),
        spacing_mm=_spacing(settings["resample"]),
        overlap=0.2 if task in ("total", "total_v3", "total_mr") else 0.5,
        coarse_model=coarser,
        crop=tuple(settings["crop"] or ()),
        crop_by=_crop_by(settings, modality),
        crop_margin_mm=_margin(settings),
        cleanups=_CLEANUPS.get(task, ()),
        not_done=_AFTERWARDS.get(task, ""),
    )


def _licence(tables: _Tables, task: str) -> str:
    if task in tables.keys:
        return "TotalSegmentator licence number (free for non-commercial use)"
    return "CC-BY-NC-4.0" if task == "brain_aneurysm" else "Apache-2.0"


def _spacing(resample: Any) -> tuple[float, float, float] | None:
    """Its spacings are of axes (i, j, k)."""
    if resample is None:
        return None
    i, j, k = resample if isinstance(resample, list) else (resample,) * 3
    return float(k), float(j), float(i)


def _crop_by(settings: dict[str, Any], modality: str) -> str:
    """Which of our models finds the structures that it crops to."""
    if not settings["crop"]:
        return ""
    if settings["crop_model"]:
        return f"totalseg-{settings['crop_model']}"
    if "body_trunc" in settings["crop"]:
        return "totalseg-body-fast"
    if modality == "MR":
        return "totalseg-total_mr-fast"
    return "totalseg-total-fast" if settings["robust_crop"] else "totalseg-total-fastest"


def _dataset(tables: _Tables, number: int) -> Dataset:
    weights = _weights(tables, number)
    release = weights.get("version", "").removeprefix("v").removesuffix("-weights")
    return Dataset(number, weights["foldername"], release, _classes_of(tables, number))


def _margin(settings: dict[str, Any]) -> tuple[float, float, float]:
    """Of axes (k, j, i). Round what its own models find, it leaves 20 mm, whatever the task says."""
    i, j, k = map(float, settings["crop_addon"] if settings["crop_model"] else (20, 20, 20))
    return k, j, i


def _weights(tables: _Tables, number: int) -> dict[str, str]:
    weights: dict[str, str] = tables.tasks.TASK_ID_WEIGHTS_CONFIGS[number]
    return weights


def _classes_of(tables: _Tables, number: int) -> tuple[str, ...]:
    """The structures that a data set's network finds, in the order of its outputs after background."""
    names = tables.classes
    for parts, classes in (
        (names.map_taskid_to_partname_ct, names.class_map_5_parts),
        (names.map_taskid_to_partname_ct_v3, names.class_map_5_parts_total_v3),
        (names.map_taskid_to_partname_mr, names.class_map_parts_mr),
        (names.map_taskid_to_partname_headneck_muscles, names.class_map_parts_headneck_muscles),
    ):
        if number in parts:
            return _in_order(classes[parts[number]])
    task = next(task.task for task in _tasks(tables) if number in task.datasets)
    return _in_order(names.class_map[task] | names.class_map.get(f"{task}_auxiliary", {}))


def _in_order(classes: dict[int, str]) -> tuple[str, ...]:
    if sorted(classes) != list(range(1, len(classes) + 1)):
        raise ValueError(f"labels must be 1, 2, 3..., got {sorted(classes)}")
    return tuple(classes[value] for value in sorted(classes))


def _structures(tables: _Tables, datasets: tuple[Dataset, ...]) -> tuple[Structure, ...]:
    """Colours and codes of all structures; those that it has no colour for get one by their place."""
    with tables.codes.open(encoding="utf-8", newline="") as file:
        rows = {row["Structure"]: row for row in csv.DictReader(file)}
    names = list(dict.fromkeys(name for dataset in datasets for name in dataset.classes))
    return tuple(_structure(name, rows.get(name), n) for n, name in enumerate(sorted(names)))


def _structure(name: str, row: dict[str, str] | None, place: int) -> Structure:
    if row is None:
        red, green, blue = (round(255 * part) for part in hsv_to_rgb(place * 0.618034 % 1, 0.45 + place % 3 / 5, 0.9))
        return Structure(name, (red, green, blue), None)
    red, green, blue = (int(part) for part in row["DicomRGBColor"].split(","))
    category, kind, modifier = (_code(row, f"SegmentedProperty{what}CodeSequence") for what in _CODES)
    return Structure(name, (red, green, blue), Terminology(category, kind, modifier) if category and kind else None)


_CODES = ("Category", "Type", "TypeModifier")


def _code(row: dict[str, str], key: str) -> Code | None:
    parts = [row[f"{key}.{what}"] for what in ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")]
    return Code(*parts) if parts[1] else None


def _known(tables: _Tables, task: Task, version: str) -> KnownModel:
    title, region = _WORDS[task.task]
    speed = {"-fast": ", coarse", "-fastest": ", very coarse"}.get(task.name.removeprefix(f"totalseg-{task.task}"), "")
    return KnownModel(
        name=task.name,
        title=f"{title}{speed} (TotalSegmentator)",
        source=f"TotalSegmentator {version}",
        kind="TotalSegmentator model",
        files=() if task.needs_key else tuple(_download(tables, number) for number in task.datasets),
        licence=task.licence,
        licence_url=_KEY if task.needs_key else _README,
        non_commercial=task.needs_key or "-NC-" in task.licence,
        needs_key=task.needs_key,
        citation=_CITATION,
        modality=task.modality,
        structures=task.classes,
        body_region=region,
        spacing_mm=task.spacing_mm,
        sample_data="",
        description=_description(task),
    )


def _download(tables: _Tables, number: int) -> Download:
    weights = _weights(tables, number)
    return Download(f"{_RELEASES}/{weights['version']}/{weights['foldername']}.zip")


def _description(task: Task) -> str:
    count = f"{len(task.classes)} structures" if len(task.classes) > 1 else "one structure"
    text = f"TotalSegmentator's task {task.task}: {count} in {task.modality}."
    if task.crop:
        text += f" It looks round what {task.crop_by} finds: get that, too; without it, it looks everywhere."
    if task.needs_key:
        text += " Its weights are given to holders of a licence number only: get them with TotalSegmentator, then add"
        text += f" the folder of {', '.join(f'Dataset{n:03d}' for n in task.datasets)}."
    return text
