"""Puts the stand-ins of what modules extend where they look for it: effects, plugins, sample data."""

import sys
import types

import slicer

from host.modules import sample_data, segment_editor, segment_effects, subject_hierarchy
from host.widgets import pythonqt, view_widgets

CLASSES = (
    segment_editor.qMRMLSegmentEditorWidget,
    segment_effects.qSlicerSegmentEditorEffectFactory,
    segment_effects.qSlicerSegmentEditorScriptedEffect,
    subject_hierarchy.qSlicerSubjectHierarchyPluginHandler,
    subject_hierarchy.qSlicerSubjectHierarchyScriptedPlugin,
    view_widgets.qMRMLSliceView,
    view_widgets.qMRMLSliceWidget,
    view_widgets.qMRMLThreeDView,
    view_widgets.qMRMLThreeDWidget,
)


def install():
    """Add the classes to `slicer`, and the modules that Slicer's Python path has."""
    for kind in CLASSES:
        setattr(slicer, kind.__name__, pythonqt.Class(kind))
    sys.modules["SampleData"] = sample_data
    plugin = subject_hierarchy.AbstractScriptedSubjectHierarchyPlugin
    effect = segment_effects.AbstractScriptedSegmentEditorEffect
    _add_module("SubjectHierarchyPlugins", AbstractScriptedSubjectHierarchyPlugin=plugin)
    _add_module("SegmentEditorEffects", AbstractScriptedSegmentEditorEffect=effect)
    scripted = slicer.qSlicerSegmentEditorScriptedEffect
    _add_module("qSlicerSegmentationsEditorEffectsPythonQt", qSlicerSegmentEditorScriptedEffect=scripted)


def _add_module(name, **members):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


def forget():
    """Forget what modules registered."""
    segment_editor.close_editors()
    segment_effects.qSlicerSegmentEditorEffectFactory._instance = None
    subject_hierarchy.qSlicerSubjectHierarchyPluginHandler._instance = None
    sample_data.SampleDataLogic.sources.clear()
