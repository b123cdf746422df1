"""What the pages take from the code: directives for Sphinx, and how docstrings are read."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import re
from functools import cache
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING, Any

import command_help
import field_tables
from docutils.parsers.rst import directives
from sphinx.addnodes import pending_xref
from sphinx.ext.autodoc.mock import mock
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import DeepSegmentLib
from DeepSegmentLib.networks.model_json import upgraded
from DeepSegmentLib.networks.model_spec import ModelSpec

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

_ROOT = Path(__file__).resolve().parents[2]


class _Written(SphinxDirective):
    """A directive that stands for text in the language of its page."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Make the text and read it."""
        with mock(self.config.autodoc_mock_imports):
            text = self.text()
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def text(self) -> str:
        """What is read in place of the directive."""
        raise NotImplementedError


class CommandHelp(_Written):
    """The help of `deepsegment` and all its sub-commands."""

    def text(self) -> str:
        """One section for each."""
        from DeepSegmentLib.hosts.command.main import build_parser

        return command_help.page(build_parser())


class JsonFields(_Written):
    """Tables of a dataclass and all that it holds: `module.Class`.

    Options: `:example: path` of a file of that kind, or of a list of such; `:without: module.Class ...` whose tables
    are on other pages.
    """

    required_arguments = 1
    option_spec = dict.fromkeys(("example", "without"), directives.unchanged_required)

    def text(self) -> str:
        """One section for each."""
        root = _named(self.arguments[0])
        elsewhere = {
            kind for path in self.options.get("without", "").split() for kind in field_tables.reachable(_named(path))
        }
        document = upgraded(self._example()) if root is ModelSpec else self._example()
        return "\n\n".join(
            _fields(kind, root, document) for kind in field_tables.reachable(root) if kind not in elsewhere
        )

    def _example(self) -> Any:
        if "example" not in self.options:
            return None
        path = _ROOT / self.options["example"]
        self.env.note_dependency(str(path))
        document = json.loads(path.read_text(encoding="utf-8"))
        return document[0] if isinstance(document, list) else document


def _named(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


def _fields(kind: type, root: type, document: Any) -> str:
    summary = inspect.cleandoc(kind.__doc__ or "").split("\nAttributes:")[0]
    rows = field_tables.table(kind, field_tables.example_of(kind, document, root))
    return f"({field_tables.anchor(kind)})=\n## {field_tables.title(kind)}\n\n{summary}\n\n{rows}"


class LayerApi(_Written):
    """All modules of a package or a module, from their docstrings."""

    required_arguments = 1

    def text(self) -> str:
        """One section for each module."""
        return "\n\n".join(_module_section(name) for name in modules_of(self.arguments[0]))


def modules_of(package: str) -> list[str]:
    """A package and all public modules in it, in the order of their names."""
    below = pkgutil.walk_packages(getattr(import_module(package), "__path__", []), f"{package}.")
    return sorted([package, *(each.name for each in below if "._" not in each.name)])


def _module_section(name: str, title: str = "", without: str = "") -> str:
    title = title or name.removeprefix("DeepSegmentLib.")
    members = "   :no-members:\n" if hasattr(import_module(name), "__path__") else ""
    members += f"   :exclude-members: {without}\n" if without else ""
    return f"{title}\n{'-' * len(title)}\n\n.. automodule:: {name}\n{members}"


class FrontDoor(_Written):
    """The names that `from DeepSegmentLib import ...` gives, and the docstrings of those that no layer has."""

    def text(self) -> str:
        """A table of all names, and one section for each module of the front door."""
        names = [name for name in getattr(DeepSegmentLib, "__all__", ()) if not name.startswith("_")]
        rows = [_front_row(name) for name in sorted(names, key=_functions_first)]
        modules = {getattr(DeepSegmentLib, name).__module__ for name in names}
        front = sorted(name for name in modules if name.startswith(_FRONT_DOOR))
        sections = [_module_section(name, name.rpartition(".")[2].capitalize(), _not_given(name)) for name in front]
        return "\n\n".join([".. list-table::\n   :widths: 25 75\n\n" + "\n".join(rows), *sections]) if rows else ""


_FRONT_DOOR = "DeepSegmentLib.hosts.library"


def _not_given(module: str) -> str:
    """Functions of a module that its neighbours use, but the front door does not give."""
    functions = inspect.getmembers(import_module(module), inspect.isfunction)
    own = [name for name, function in functions if function.__module__ == module]
    return ", ".join(name for name in own if name not in DeepSegmentLib.__all__)


def _functions_first(name: str) -> tuple[int, str]:
    """Functions, then nouns, then errors."""
    value = getattr(DeepSegmentLib, name)
    rank = 0 if not isinstance(value, type) else 1 + issubclass(value, Exception)
    return rank, name.lower()


def _front_row(name: str) -> str:
    value = getattr(DeepSegmentLib, name)
    return f"   * - :py:obj:`{name} <{_home(value, name)}>`\n     - {_first_sentence(value)}"


def _home(value: Any, name: str) -> str:
    """Where a name is defined, and therefore documented."""
    return f"{getattr(value, '__module__', 'DeepSegmentLib')}.{getattr(value, '__qualname__', name)}"


def _first_sentence(value: Any) -> str:
    return inspect.cleandoc(value.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _keep_colons(_: Sphinx, what: str, *rest: Any) -> None:
    """An empty first line keeps Napoleon from taking "a limit: why" of a constant for its type."""
    if what in ("data", "attribute"):
        rest[-1].insert(0, "")


def _without_object(_: Sphinx, _name: str, _value: Any, _options: Any, bases: list[Any]) -> None:
    """That a class is an object, nobody needs to read."""
    bases[:] = [base for base in bases if base is not object]


def _name_in_full(app: Sphinx, doctree: nodes.document) -> None:
    """Links to names that a module imported lead to where these are defined, not to a namesake elsewhere."""
    with mock(app.config.autodoc_mock_imports):
        for node in doctree.findall(pending_xref):
            module, target = node.get("py:module"), node["reftarget"]
            if node.get("refdomain") == "py" and module and target in _imported(module):
                node["reftarget"], node["refspecific"] = _imported(module)[target], False


@cache
def _imported(module: str) -> dict[str, str]:
    """The library's names that a module imports, also for type checking only, and where each is defined."""
    tree, found = ast.parse(inspect.getsource(import_module(module))), {}
    package = import_module(module).__package__ or module
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            if source.startswith("DeepSegmentLib"):
                found |= {each.asname or each.name: _defined(source, each.name) for each in node.names}
    return found


def _defined(module: str, name: str) -> str:
    value = getattr(import_module(module), name, None)
    return _home(value, name) if hasattr(value, "__qualname__") else f"{module}.{name}"


def _link_short_name(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element
) -> nodes.Element | None:
    """A name in backticks that only one module defines leads there, wherever it is written."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    objects = env.domains.python_domain.objects
    found = [name for name in objects if name == target or name.endswith(f".{target}")]
    if len(found) != 1:
        return None
    entry = objects[found[0]]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, found[0])


_PAGES = {
    "README.md": "/developing/readme.md",
    "ARCHITECTURE.md": "/developing/architecture.md",
    "CONTRIBUTING.md": "/developing/contributing.md",
    "CHANGELOG.md": "/developing/changelog.md",
    "Resources/Models/brain-mr/MODEL_CARD.md": "/explained/bundled-model.md#its-card",
}


def _from_the_root(_: Sphinx, path: Path, _page: str, content: list[str]) -> None:
    """Links of a file in the repository's root, as they must be on a page that includes it."""
    if path.parent == Path(".."):
        links = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)")
        content[0] = links.sub(lambda link: f"]({_moved(link[1])}", content[0])


def _moved(target: str) -> str:
    """What lies in this folder is a page, all else a file."""
    return _PAGES.get(target) or (target.removeprefix("docs") if target.startswith("docs/") else f"/../{target}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("command-help", CommandHelp)
    app.add_directive("json-fields", JsonFields)
    app.add_directive("layer-api", LayerApi)
    app.add_directive("front-door", FrontDoor)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.connect("autodoc-process-bases", _without_object)
    app.connect("include-read", _from_the_root)
    app.connect("doctree-read", _name_in_full)
    app.connect("missing-reference", _link_short_name)
    return {"parallel_read_safe": True}
