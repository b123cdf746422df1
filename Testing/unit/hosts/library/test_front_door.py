"""The front door: every name is there, documented and typed, and importing costs nothing."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import DeepSegmentLib
from DeepSegmentLib.segmentation.outputs import PredictSettings

REPOSITORY = Path(__file__).resolve().parents[4]
FUNCTIONS = [name for name in DeepSegmentLib.__all__ if inspect.isfunction(getattr(DeepSegmentLib, name))]
CLASSES = [name for name in DeepSegmentLib.__all__ if inspect.isclass(getattr(DeepSegmentLib, name))]


def _run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    ).stdout


def test_every_name_is_a_function_or_a_class():
    assert sorted(FUNCTIONS + CLASSES) == sorted(DeepSegmentLib.__all__)
    assert set(DeepSegmentLib.__all__) == set(DeepSegmentLib._HOMES)
    assert set(DeepSegmentLib.__all__) <= set(dir(DeepSegmentLib))
    with pytest.raises(AttributeError, match="has no attribute 'segmentt'"):
        _ = DeepSegmentLib.segmentt


def test_importing_loads_nothing_and_nouns_little():
    code = "import sys; before = set(sys.modules); import DeepSegmentLib; dir(DeepSegmentLib)"
    code += "; new = {name.partition('.')[0] for name in set(sys.modules) - before}"
    assert _run(f"{code}; print(new - sys.stdlib_module_names)") == "{'DeepSegmentLib'}\n"
    heavy = {"torch", "SimpleITK", "scipy", "skimage", "nibabel"}
    assert (
        _run(f"import sys; from DeepSegmentLib import Point, Volume; print({heavy!r} & set(sys.modules))") == "set()\n"
    )
    light = {"torch", "nibabel"}
    code = "from DeepSegmentLib import read_volume, read_segmentation, correct, export, evaluate, list_models"
    assert _run(f"import sys; {code}; print({light!r} & set(sys.modules))") == "set()\n"


def test_star_brings_all():
    names = json.loads(_run("import json; from DeepSegmentLib import *; print(json.dumps(sorted(globals())))"))
    assert set(DeepSegmentLib.__all__) <= set(names)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_says_what_it_takes_gives_raises_and_shows_it(name):
    function = getattr(DeepSegmentLib, name)
    text = inspect.getdoc(function)
    arguments = list(inspect.signature(function).parameters)
    assert all(re.search(rf"^    {argument}: ", text, re.MULTILINE) for argument in arguments)
    assert "Args:" in text or not arguments
    assert "Returns:" in text or inspect.signature(function).return_annotation == "None"
    assert "Raises:" in text or not arguments
    assert "Example:\n    >>> " in text


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_says_what_it_has(name):
    kind = getattr(DeepSegmentLib, name)
    text = inspect.getdoc(kind)
    assert kind.__doc__
    if not issubclass(kind, Exception):
        assert "Attributes:" in text
        assert "Example:\n    >>> " in text


def test_every_setting_of_a_prediction_can_be_chosen():
    settings = set(PredictSettings.__dataclass_fields__) - {"maps_folder"}  # where the command keeps large maps
    arguments = inspect.signature(DeepSegmentLib.segment).parameters
    assert settings <= set(arguments)
    for name in settings & {"overlap", "mirror", "uncertainty", "clean_up", "any_spacing"}:
        assert arguments[name].default == PredictSettings.__dataclass_fields__[name].default
