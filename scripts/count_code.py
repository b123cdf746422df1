"""Count what a newcomer meets: lengths of functions and modules, documented and typed API, layer by layer.

Exit code 1 when a bar is missed: median function under 8 lines, no function over 40, no module over 400, every public
function documented and typed.
"""

from __future__ import annotations

import ast
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1] / "DeepSegmentLib"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Counted:
    """One function: where it is, how many lines its body has without the docstring, and what is told of it."""

    place: str
    lines: int
    public: bool
    documented: bool
    typed: bool


def count_function(function: Function, place: str, *, public: bool) -> Counted:
    """Measure one function."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
    there = function.args
    arguments = [*there.posonlyargs, *there.args, there.vararg, *there.kwonlyargs, there.kwarg]
    untyped = [a for a in arguments if a and not a.annotation and a.arg not in ("self", "cls")]
    typed = function.returns is not None and not untyped
    documented = ast.get_docstring(function) is not None or function.name.startswith("__")
    return Counted(f"{place}:{function.lineno} {function.name}", lines, public, documented, typed)


def count_module(path: Path) -> list[Counted]:
    """Measure all functions of a module, methods included, nested ones as part of their parents."""
    counted: list[Counted] = []

    def visit(node: ast.AST, *, public: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                shown = public and (not child.name.startswith("_") or child.name.startswith("__"))
                counted.append(count_function(child, str(path.relative_to(LIBRARY.parent)), public=shown))
            elif isinstance(child, ast.ClassDef):
                visit(child, public=public and not child.name.startswith("_"))

    visit(ast.parse(path.read_text(encoding="utf-8")), public=True)
    return counted


def problems(functions: list[Counted], modules: dict[Path, int]) -> list[str]:
    """Every bar that is missed."""
    found = [f"{path.relative_to(LIBRARY.parent)} has {n} lines" for path, n in modules.items() if n > 400]
    found += [f"{f.place} has {f.lines} lines" for f in functions if f.lines > 40]
    found += [f"{f.place} has no docstring" for f in functions if f.public and not f.documented]
    found += [f"{f.place} is not fully typed" for f in functions if f.public and not f.typed]
    if statistics.median(f.lines for f in functions) >= 8:
        found.append("the median function has 8 lines or more")
    return found


def describe(name: str, functions: list[Counted], modules: dict[Path, int]) -> str:
    """One line of the table."""
    lengths = sorted(f.lines for f in functions) or [0]
    public = [f for f in functions if f.public]
    documented = sum(f.documented for f in public) / max(1, len(public))
    typed = sum(f.typed for f in public) / max(1, len(public))
    return (
        f"{name:14s} modules {len(modules):3d} (longest {max(modules.values(), default=0):3d})  "
        f"functions {len(functions):4d}  median {statistics.median(lengths):4.1f}  "
        f"p90 {lengths[int(0.9 * (len(lengths) - 1))]:3d}  longest {lengths[-1]:3d}  "
        f"public documented {documented:4.0%} typed {typed:4.0%}"
    )


def main() -> int:
    """Print the table and what is wrong."""
    modules = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sorted(LIBRARY.rglob("*.py"))}
    counted = {path: count_module(path) for path in modules}
    layers = sorted({path.relative_to(LIBRARY).parts[0] for path in modules if path.parent != LIBRARY})
    for layer in layers:
        inside = {path: n for path, n in modules.items() if path.relative_to(LIBRARY).parts[0] == layer}
        print(describe(layer, [f for path in inside for f in counted[path]], inside))
    functions = [f for found in counted.values() for f in found]
    print(describe("all", functions, modules))
    wrong = problems(functions, modules)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
