"""Command lines that must be refused: the line, and what the message must say.

All run in a folder with a volume, a segmentation, prompts, a model and what cannot be read; none may change any of it.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from fuzz.cases import Case
from fuzz.doors.commands import files, named_in

from DeepSegmentLib.errors import DeepSegmentError

_FIX = "correct head.nii labels.seg.nrrd --prompts prompts.json --output fixed.seg.nrrd"
_EXPORT = "export head.nii labels.seg.nrrd --to"
_COMPARE = "evaluate labels.seg.nrrd labels.seg.nrrd"
LINES = {
    # Options.
    "": "required",
    "fly": "fly",
    "segment": "required",
    "segment head.nii out.seg.nrrd --model m --overlap x": "overlap.*'?x'?",
    "segment head.nii out.seg.nrrd --model m --overlap 1": "overlap must be",
    "segment head.nii out.seg.nrrd --model m --overlap nan": "overlap",
    "segment head.nii out.seg.nrrd --model m --roi 0 0 0": "roi",
    "segment head.nii out.seg.nrrd --model m --roi 0 0 0 nan 1 1": "(finite|block|region)",
    "segment head.nii out.seg.nrrd --model m --roi 900 900 900 910 910 910": "(outside|region|block)",
    "segment head.nii out.seg.nrrd --model m --device nonsense": "nonsense",
    "segment head.nii out.seg.nrrd --model m --precision half": "half",
    "segment head.nii out.seg.nrrd --model m --device cuda:99": "cuda",
    "segment head.nii out.seg.nrrd --model m --save-probabilities nobody": "nobody",
    "segment head.nii out.seg.nrrd --model m -i head.nii": "input.*twice",
    "segment head.nii out.seg.nrrd --model m --subset rigth": "did you mean 'right'",
    "segment head.nii out.seg.nrrd --model m --subset ,": "no segment is named",
    "segment head.nii out.seg.nrrd --model m --roi 0 0 0 5 0 5": "no extent",
    "segment head.nii out.seg.nrrd --model m --format per-segment": "needs a folder",
    "segment head.nii out.seg.nrrd --model m --part 1/2": "--part is for folders",
    "segment head.nii out.seg.nrrd --model m --scheduler tcp://host:8786": "--scheduler is for folders",
    "segment volumes new --model m --part 3/2": "part 3 of 2",
    "segment volumes new --model m --part two": "'two' is no part",
    "segment volumes new --model m --statistics=table.txt": "table.txt.*suffix",
    "segment head.nii out.seg.nrrd --model nobody": "no model named 'nobody'",
    "segment head.nii out.seg.nrrd --model ''": "model",
    "segment head.nii out.seg.nrrd --model series": "series",
    # Inputs.
    "segment nothing.nii out.seg.nrrd --model m": "nothing.nii does not exist",
    "segment empty.nii out.seg.nrrd --model m": "empty.nii is empty",
    "segment pipe.nii out.seg.nrrd --model m": "pipe.nii.*(pipe|plain file)",
    "segment zero.nii out.seg.nrrd --model m": "zero.nii.*(device|plain file)",
    "segment loop.nii out.seg.nrrd --model m": "loop.nii",
    "segment prompts.json out.seg.nrrd --model m": "unknown suffix",
    "segment far.nii out.seg.nrrd --model m": "spacing.*(1000|1e\\+03).*any-spacing",
    "segment near.nii out.seg.nrrd --model m": "spacing.*0.0001.*any-spacing",
    "segment head.nii out.seg.nrrd --model m --channel head.nii": "channel",
    "segment series out.seg.nrrd --model m --series 1.2.3": "no series 1.2.3",
    # Outputs onto inputs, however they are spelled.
    "segment head.nii head.nii --model m --replace": "head.nii is an input",
    "segment head.nii ./head.nii --model m --replace": "input",
    "segment head.nii m/../head.nii --model m --replace": "input",
    "segment head.nii linked.nii --model m --replace": "input",
    "segment linked.nii head.nii --model m --replace": "input",
    "segment head.nii out.seg.nrrd --model m --report head.nii --replace": "input",
    "segment head.nii out.seg.nrrd --model m --report m/model.json --replace": "m/model.json",
    "segment series series/0.dcm --model m --replace": "series",
    "segment series series/out.seg.nrrd --model m": "series, which is read as a whole",
    _FIX.replace("fixed.seg.nrrd", "labels.seg.nrrd --replace"): "input",
    _FIX.replace("fixed.seg.nrrd", "head.nii --replace"): "input",
    _FIX.replace("fixed.seg.nrrd", "m/../labels.seg.nrrd --replace"): "input",
    f"{_COMPARE} --csv labels.seg.nrrd --replace": "labels.seg.nrrd",
    f"{_COMPARE} --report ./labels.seg.nrrd --replace": "labels.seg.nrrd",
    f"{_EXPORT} csv --output labels.seg.nrrd --replace": "labels.seg.nrrd",
    f"{_EXPORT} seg-nrrd --output labels.seg.nrrd --replace": "input",
    f"{_EXPORT} seg-nrrd --output ./m/../labels.seg.nrrd --replace": "input",
    # Outputs that cannot be, or are there already.
    "segment head.nii out.txt --model m": "unknown suffix",
    "segment head.nii m --model m": "m",
    "segment head.nii prompts.json/out.seg.nrrd --model m": "prompts.json",
    "segment head.nii volumes/a.nii --model m": "volumes/a.nii exists.*--replace",
    "segment head.nii out.nii.gz --model m --report out.nii.gz": "out.nii.gz.*twice",
    "segment head.nii out.seg.nrrd --model m --preview out.seg.nrrd": "(twice|suffix)",
    "segment head.nii out.seg.nrrd --model m --preview picture.bmp": "picture.bmp.*suffix",
    "segment head.nii out.seg.nrrd --model m --report volumes": "volumes",
    f"segment head.nii {'a' * 250}.seg.nrrd --model m": "too long",
    "segment head.nii pipe.nii --model m --replace": "pipe.nii",
    _FIX.replace("fixed.seg.nrrd", "fixed.txt"): "unknown suffix",
    _FIX + " --journal volumes": "volumes",
    f"{_COMPARE} --csv volumes": "volumes",
    f"{_EXPORT} nifti --output head.nii": "head.nii",
    f"{_EXPORT} csv --output volumes.txt": "unknown suffix",
    f"{_EXPORT} nnunet --output liver --channel-name CT": "Dataset501_Liver",
    f"{_EXPORT} nnunet --output Dataset502_New": "name its channels",
    f"{_EXPORT} nnunet --output Dataset503_Out --replace": "outside",
    f"{_EXPORT} dicom-seg --output seg.dcm --made-by manual": "folder of the series",
    f"{_EXPORT} paper --output x": "paper",
    f"{_EXPORT} glb --output head.gltf": "unknown suffix",
    f"{_EXPORT} stl --output out --smoothing -1": "got -1",
    "dataset check nothing": "is no folder",
    "dataset check volumes": "is no dataset",
    "dataset splits Dataset501_Test --folds 1": "got 1",
    "dataset splits Dataset501_Test --patients nothing.csv": "nothing.csv",
    "dataset splits Dataset501_Test --output splits.txt": "unknown suffix",
    # Corrections.
    _FIX + " --radius 0": "radius must be above 0",
    _FIX + " --radius nan": "radius",
    _FIX + " --radius 1e9": "radius",
    _FIX + " --aggressiveness 2": "aggressiveness",
    _FIX + " --mode fly": "fly",
    _FIX.replace("prompts.json", "pipe.nii"): "pipe.nii",
    _FIX.replace("prompts.json", "far.json"): "far.json",
    _FIX.replace("prompts.json", "long.json"): "long.json",
    _FIX.replace("prompts.json", "nothing.json"): "nothing.json does not exist",
    _FIX.replace("labels.seg.nrrd", "head.nii"): "no segment named 'left'",
    _FIX.replace("head.nii", "nothing.nii"): "nothing.nii",
    "correct --resume volumes --output x.seg.nrrd": "volumes holds no journal",
    # Comparing, models, training.
    f"{_COMPARE} --tolerance nan": "tolerance",
    f"{_COMPARE} --tolerance -1": "tolerance",
    "evaluate labels.seg.nrrd volumes": "(folder|volumes)",
    "evaluate nothing.seg.nrrd labels.seg.nrrd": "nothing.seg.nrrd",
    "evaluate labels.seg.nrrd pipe.nii": "pipe.nii",
    "models info nobody": "no model named 'nobody'",
    "models verify pipe.nii": "pipe.nii",
    "models add nothing": "nothing does not exist",
    "models add prompts.json": "prompts.json",
    "models add pipe.nii": "pipe.nii",
    "models add zero.nii": "zero.nii",
    "models add m": "already a model 'tiny-brain'",
    "models remove nobody": "no model named 'nobody'",
    "models remove brain-mr": "came with DeepSegment",
    "train-synthetic nothing.json volumes trained --checkpoint c.pt": "nothing.json",
    "train-synthetic pipe.nii volumes trained --checkpoint c.pt": "pipe.nii",
    "train-synthetic recipe.json volumes trained --checkpoint c.pt": "recipe",
}
COMMANDS = {line: (lambda d, line=line: _prepared(d, line), says) for line, says in LINES.items()}


def _prepared(folder, line):
    Case({**files(), **named_in(line)}).write(folder)
    return line


def use(line, folder):
    """Run a command in a folder.

    Raises:
        DeepSegmentError: It ended with a code other than 0; with what was printed as message.
    """
    from DeepSegmentLib.hosts.command.main import main

    errors, home = io.StringIO(), os.getcwd()  # noqa: PTH109 - for chdir
    words = {"DEEPSEGMENT_MODELS": str(folder / "models"), "XDG_DATA_HOME": str(folder / "data"), "COLUMNS": "500"}
    os.chdir(folder)
    try:
        with redirect_stderr(errors), redirect_stdout(io.StringIO()), mock.patch.dict(os.environ, words):
            code = main(shlex.split(line))
    except SystemExit as ended:
        code = ended.code
    finally:
        os.chdir(home)
    if code:
        raise DeepSegmentError(_last(errors.getvalue()))


def _last(said):
    """The message: what follows the usage and the progress."""
    return re.split(r"(?:^|\n|\r)\s*deepsegment[a-z ]*: (?:error: )?", said)[-1].strip()
