"""The command `deepsegment train-synthetic`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled, InvalidInputError
from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity
from DeepSegmentLib.hosts.command.terminal import duration, say, say_json
from DeepSegmentLib.hosts.stopping import held_back
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.training.fitting.launch import launch

from .training_lines import TrainingLines

if TYPE_CHECKING:
    import argparse


def add_train_synthetic_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument("recipe", type=Path, help="recipe (.json): model, tissues, synthesis and schedule")
    parser.add_argument("label_maps", type=Path, help="folder of label maps")
    parser.add_argument("output", type=Path, help="model folder to write; must not exist")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="training state; an existing one is continued, and Ctrl-C saves it",
    )
    add_verbosity(parser)
    add_json(parser)


def train_synthetic(options: argparse.Namespace) -> int:
    """Run the command."""
    told = TrainingLines(quiet=options.quiet, every_step=options.verbose, what="label map")
    told.stage(f"train by {options.recipe}: load the libraries")
    from DeepSegmentLib.service.training.train_synthetic import read_recipe, train_model
    from DeepSegmentLib.service.training.watch import Watch

    if launch().count > 1:
        raise InvalidInputError("training from label maps runs in one process; begin it without a launcher of several")
    recipe = read_recipe(options.recipe)
    told.begin(f"{recipe.model.name} {recipe.model.version}", len(recipe.model.segments), recipe.training)
    watch = Watch(told.bar, told.start, told.step, held_back)
    try:
        report = train_model(
            recipe, options.label_maps, options.output, options.checkpoint, watch, further=[options.recipe]
        )
    except (KeyboardInterrupt, Cancelled):
        if options.checkpoint.exists():
            paths = (options.recipe, options.label_maps, options.output, "--checkpoint", options.checkpoint)
            told.stopped(("train-synthetic", *paths))
        raise
    finally:
        told.bar.close()
    _tell(options, report)
    return 0


def _tell(options: argparse.Namespace, report: dict[str, Any]) -> None:
    if options.json:
        say_json({"output": str(options.output), **report})
    elif not options.quiet:
        say(
            f"{counted(report['iterations'], 'iteration')} on {counted(report['cases'], 'label map')} in "
            f"{duration(report['seconds'])}, loss {report['loss']:.4f}\nwrote {options.output}\n"
        )
