"""A Slicer application without windows: the scene and the logics, wired as the desktop does."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import slicer
import vtk

_GENERAL = "Segmentation category and type - 3D Slicer General Anatomy list"
_MASTER = "Segmentation category and type - DICOM master list"
_REGIONS = "Anatomic codes - DICOM master list"


@dataclass
class Application:
    """What other parts of Slicer find through `slicer.app` and `slicer.modules`.

    Attributes:
        scene: The vtkMRMLScene.
        logic: The vtkSlicerApplicationLogic.
        logics: Module logics by name.
    """

    scene: object
    logic: object
    logics: dict


def make_application():
    """A new scene with its logics; independent of any other."""
    scene = slicer.vtkMRMLScene()
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    logic = slicer.vtkSlicerApplicationLogic()
    logic.SetMRMLScene(scene)
    logic.GetColorLogic().SetMRMLScene(scene)
    logic.GetColorLogic().AddDefaultColorNodes()
    logic.SetSliceLogics(vtk.vtkCollection())
    logic.SetViewLogics(vtk.vtkCollection())
    for factory in (
        slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
        slicer.vtkMRMLSliceViewDisplayableManagerFactory,
    ):
        factory.GetInstance().SetMRMLApplicationLogic(logic)
    application = Application(scene, logic, {})
    for name, kind in (
        ("Colors", slicer.vtkMRMLColorLogic),
        ("Volumes", slicer.vtkSlicerVolumesLogic),
        ("Terminologies", slicer.vtkSlicerTerminologiesModuleLogic),
        ("Segmentations", slicer.vtkSlicerSegmentationsModuleLogic),
        ("SubjectHierarchy", slicer.vtkSlicerSubjectHierarchyModuleLogic),
        ("Markups", slicer.vtkSlicerMarkupsLogic),
        ("Sequences", slicer.vtkSlicerSequencesLogic),
        ("Tables", slicer.vtkSlicerTablesLogic),
    ):
        _add_logic(application, name, kind())
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    return application


def _add_logic(application, name, logic):
    if name == "Terminologies":
        logic.SetModuleShareDirectory(str(_terminology_folder()))
    logic.SetMRMLScene(application.scene)
    logic.SetMRMLApplicationLogic(application.logic)
    application.logic.SetModuleLogic(name, logic)
    application.logics[name] = logic


def _terminology_folder():
    """The terminology files that the logic loads at start, one entry each; Slicer's own do not come with its C++."""
    folder = Path(tempfile.gettempdir()) / "deepsegment-host-terminologies"
    folder.mkdir(exist_ok=True)
    category = {
        "CodeMeaning": "Anatomical Structure", "CodingSchemeDesignator": "SCT", "CodeValue": "123037004",
        "showAnatomy": "false",
        "Type": [{
            "CodeMeaning": "Liver", "CodingSchemeDesignator": "SCT", "CodeValue": "10200004",
            "recommendedDisplayRGBValue": [221, 130, 101],
        }],
    }  # fmt: skip
    schema = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/schemas/"
    types = {"@schema": schema + "segment-context-schema.json#"}
    for name, context in (("SlicerGeneralAnatomy", _GENERAL), ("DICOM-Master", _MASTER)):
        content = {
            **types,
            "SegmentationCategoryTypeContextName": context,
            "SegmentationCodes": {"Category": [category]},
        }
        (folder / f"SegmentationCategoryTypeModifier-{name}.term.json").write_text(json.dumps(content))
    region = {"CodeMeaning": "Liver", "CodingSchemeDesignator": "SCT", "CodeValue": "10200004"}
    content = {
        "@schema": schema + "anatomic-context-schema.json#",
        "AnatomicContextName": _REGIONS,
        "AnatomicCodes": {"AnatomicRegion": [region]},
    }
    (folder / "AnatomicRegionAndModifier-DICOM-Master.term.json").write_text(json.dumps(content))
    return folder
