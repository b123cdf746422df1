"""The configuration of a bundle: components with arguments, and references between them, resolved as data.

MONAI makes Python objects of it and runs every text that starts with `$`. Here nothing is imported or run: `@id` and
`%id` are looked up, and of `$` only these forms are understood, where a value is needed at all: a constant, `@id`,
`len(@id)`, sums of these, and `a if @id else b`. They are parsed as Python and read off the tree. All else is refused.

References:
    MONAI Bundle Specification; MONAI, "Configuration syntax".
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_REFERENCE = re.compile(r"@[\w:#]+")
_SIGNS = ("@", "%", "$")
_PLACE = "_reference_{}"
_LONGEST_EXPRESSION = 500
_LONGEST_RESULT = 10_000
_DEEPEST = 40
_MOST_LOOKUPS = 20_000
_SHOWN = 120

_COMMON_KEYS = {
    "$monai.utils.CommonKeys.IMAGE": "image",
    "$monai.utils.CommonKeys.LABEL": "label",
    "$monai.utils.CommonKeys.PRED": "pred",
}


@dataclass
class Configuration:
    """A document, and how values are read from it.

    Attributes:
        document: As JSON or YAML gives it.
        where: The file, for messages.
        given: Values that stand before those of the document, by their key at the top.
    """

    document: Mapping[str, Any]
    where: str
    given: Mapping[str, Any] = field(default_factory=dict)
    _lookups: int = 0

    def find(self, name: str) -> Any:
        """The value of a key at the top as it is written; None where there is none."""
        return self.given.get(name, self.document.get(name))

    def resolve(self, value: Any, depth: int = 0) -> Any:
        """A value with everything in it looked up.

        Raises:
            ModelError: It refers to nothing, to itself, or holds an expression that is not understood.
        """
        self._count(depth)
        if isinstance(value, str) and value.startswith(_SIGNS):
            return self._text(value, depth)
        if isinstance(value, dict):
            return {key: self.resolve(entry, depth + 1) for key, entry in value.items()}
        return [self.resolve(entry, depth + 1) for entry in value] if isinstance(value, list) else value

    def component(self, value: Any) -> Component:
        """A component, or what a reference to one leads to.

        Raises:
            ModelError: It is none.
        """
        found = self._followed(value)
        if not isinstance(found, dict) or not isinstance(found.get("_target_"), str):
            raise ModelError(f"{self.where}: a component with a _target_ is needed, got {_short(found)}")
        return Component(found["_target_"], found, self)

    def components(self, value: Any) -> Iterator[Component]:
        """The components of a list, or of references to lists and sums of these; disabled ones are left out."""
        found = self._followed(value)
        for each in found if isinstance(found, list) else [found]:
            component = self.component(each)
            if not component.get("_disabled_", default=False):
                yield component

    def _followed(self, value: Any, depth: int = 0) -> Any:
        """What a reference leads to, as it is written there."""
        self._count(depth)
        if not isinstance(value, str) or not value.startswith(_SIGNS):
            return value
        body = value[1:].strip() if value[0] == "$" else value
        if _REFERENCE.fullmatch(body) or value[0] == "%":
            return self._followed(self._written(body, value), depth + 1)
        if value[0] == "$" and all(_REFERENCE.fullmatch(part.strip()) for part in body.split("+")):
            lists = [self._followed(part.strip(), depth + 1) for part in body.split("+")]
            if all(isinstance(each, list) for each in lists) and sum(map(len, lists)) <= _LONGEST_RESULT:
                return [entry for each in lists for entry in each]
        raise self._refused(value)

    def _text(self, value: str, depth: int) -> Any:
        if value[0] != "$":
            return self.resolve(self._written(value, value), depth + 1)
        if value in _COMMON_KEYS:
            return _COMMON_KEYS[value]
        return self._expression(value, depth)

    def _written(self, reference: str, shown: str) -> Any:
        """What stands at `@a#b` or `@a::b`, unresolved."""
        parts = re.split(r"::|#", reference[1:].removeprefix("::"))
        found: Any = self.given.get(parts[0], self.document.get(parts[0], self))
        for part in parts[1:]:
            if isinstance(found, str) and found[:1] == "@":
                found = self._followed(found)
            if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
                found = found[int(part)]
            else:
                found = found.get(part, self) if isinstance(found, dict) else self
        if found is self:
            raise ModelError(f"{self.where}: {_short(shown)} refers to nothing in this file")
        return found

    def _expression(self, text: str, depth: int) -> Any:
        names = {_PLACE.format(n): reference for n, reference in enumerate(_REFERENCE.findall(text))}
        places = iter(names)
        body = _REFERENCE.sub(lambda _: next(places), text[1:].strip())
        if len(body) > _LONGEST_EXPRESSION:
            raise self._refused(text)
        try:
            tree = ast.parse(body, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self._refused(text) from error
        return self._read(tree, names, text, depth + 1)

    def _read(self, node: ast.expr, names: Mapping[str, str], text: str, depth: int) -> Any:
        """The value of a syntax tree that consists of the few forms that are understood."""
        self._count(depth)
        if isinstance(node, ast.Name) and node.id in names:
            return self._text(names[node.id], depth)
        if isinstance(node, ast.IfExp):
            chosen = node.body if self._read(node.test, names, text, depth + 1) else node.orelse
            return self._read(chosen, names, text, depth + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = (self._read(side, names, text, depth + 1) for side in (node.left, node.right))
            return self._sum(left, right, text)
        if isinstance(node, ast.Call) and _is_len(node):
            counted = self._read(node.args[0], names, text, depth + 1)
            if isinstance(counted, (str, list, dict)):
                return len(counted)
        try:
            constant = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise self._refused(text) from error
        if not isinstance(constant, (str, bool, int, float, list, tuple, dict, type(None))):
            raise self._refused(text)
        return list(constant) if isinstance(constant, tuple) else constant

    def _sum(self, left: Any, right: Any, text: str) -> Any:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        rows = any(isinstance(left, kind) and isinstance(right, kind) for kind in (str, list))
        if numbers or (rows and len(left) + len(right) <= _LONGEST_RESULT):
            return left + right
        raise self._refused(text)

    def _count(self, depth: int) -> None:
        self._lookups += 1
        if depth > _DEEPEST or self._lookups > _MOST_LOOKUPS:
            raise ModelError(f"{self.where}: references go in a circle, or are nested too deep")

    def _refused(self, text: str) -> ModelError:
        return ModelError(
            f"{self.where}: the expression {_short(text)} would have to be run, which is never done; "
            "write its value in its place"
        )


def _is_len(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1 and not node.keywords


@dataclass(frozen=True)
class Component:
    """A `_target_` and its arguments.

    Attributes:
        target: As it is written.
        written: All keys and values, unresolved.
        configuration: To look things up in.
    """

    target: str
    written: Mapping[str, Any]
    configuration: Configuration

    @property
    def name(self) -> str:
        """The last part of the target, such as "UNet"."""
        return self.target.rpartition(".")[2]

    def get(self, argument: str, *, default: Any = None) -> Any:
        """The resolved value of an argument.

        Raises:
            ModelError: See `Configuration.resolve`.
        """
        return self.configuration.resolve(self.written[argument]) if argument in self.written else default

    def refuse_others(self, *known: str) -> None:
        """Refuse arguments that are not among these; keys like `_desc_` are no arguments.

        Raises:
            ModelError: There is another.
        """
        others = [key for key in map(str, self.written) if key not in known and not (key[:1] == "_" == key[-1:])]
        if others:
            raise self.refused(others[0])

    def refused(self, argument: str) -> ModelError:
        """What is said of an argument whose value is not supported."""
        return ModelError(
            f"{self.configuration.where}: {self.name} with {argument}={_short(self.written.get(argument))} is not "
            "supported"
        )


def targets_of(document: Any) -> Iterator[str]:
    """Every `_target_` of a document, in whatever it lies."""
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "_target_" in node:
                yield str(node["_target_"])
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
