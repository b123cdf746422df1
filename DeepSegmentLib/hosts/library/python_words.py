"""Messages in the words of somebody who calls functions: `replace=True` instead of `--replace`."""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from DeepSegmentLib.errors import DeepSegmentError

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")

_ARGUMENTS = {
    "--replace": "replace=True",
    "--any-spacing": "any_spacing=True",
    "--overwrite": "overwrite=True",
    "--accept-licence": "accept_licence=True",
    "--accept-change": "accept_change=True",
    "--name": "name=",
    "deepsegment models available": "available_models()",
    "by --channel, in this order": "in this order: a list of volumes",
    "--roi": "region_ras=",
    "--series": "series=",
    "--device cpu": 'device="cpu"',
    "allow new labels": "allow new labels (new_labels=True)",
    "is an input of this command": "is an input of this call",
    "name its channels, such as CT or T1w": 'name its channels, such as channel_names=["T1w"] or ["CT"]',
}
_OPTION = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, _ARGUMENTS))})(?![\w-])")
_PANEL = re.compile(r"; in the panel: [^)]*")


def in_python_words(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the errors of a function name its arguments where they named options of the command."""

    @wraps(function)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except DeepSegmentError as error:
            words = python_words(str(error))
            if words == str(error):
                raise
            raise type(error)(words) from error

    return told


def python_words(message: str) -> str:
    """A message with arguments for options.

    Example:
        >>> python_words("head.nii exists; ask to replace it (--replace), or choose another name")
        'head.nii exists; ask to replace it (replace=True), or choose another name'
    """
    return _OPTION.sub(lambda found: _ARGUMENTS[found[1]], _PANEL.sub("", message))
