"""A comparison as one page to show to a colleague: HTML without scripts, pictures and all in one file."""

from __future__ import annotations

import base64
import math
from html import escape
from typing import TYPE_CHECKING

from DeepSegmentLib import __version__
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.opening import read_bytes
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from DeepSegmentLib.evaluation.paired import PairedDifference

    from .comparison import Comparison, Judged, JudgedCase, SegmentFinding

_PICTURES = 6
_LARGEST_PICTURE = 4 << 20

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #ffffff; --faint: #667085; --line: #d7dce3; --bad: #b3261e;
  --good: #1b7a43; --soft: #f4f6f8; --bar: #8ea3bd; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #161a20; --faint: #98a2b3; --line: #333b47;
  --bad: #ff8a80; --good: #6fd195; --soft: #1f252d; --bar: #5b7089; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 62rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.verdict { font-size: 1.1rem; margin: .6rem 0; } .faint { color: var(--faint); }
.bad { color: var(--bad); font-weight: 600; }
.good { color: var(--good); font-weight: 600; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: right; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; white-space: normal; } th { color: var(--faint); font-weight: 500; }
tr.all td { font-weight: 600; background: var(--soft); }
.track { position: relative; display: inline-block; width: 9rem; height: .8rem; background: var(--soft);
  vertical-align: middle; }
.track i { position: absolute; top: .3rem; height: .2rem; background: var(--bar); }
.track b { position: absolute; top: .1rem; width: .25rem; height: .6rem; background: var(--ink); }
.track u { position: absolute; left: 50%; top: 0; width: 1px; height: .8rem; background: var(--faint); }
.cases { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
figure { margin: 0; }
figure img { width: 100%; background: #000; border-radius: 4px; } figcaption { font-size: .88rem; }
.key span { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin: 0 .3rem 0 .9rem;
  vertical-align: -1px; }
"""


def write_page(comparison: Comparison, path: Path, pictures: Path | None = None) -> None:
    """Write the page of a comparison.

    Args:
        comparison: What it shows: names of cases and segments, scores, names of models; nothing else.
        path: Of the page.
        pictures: Folder of the cases' pictures; None without.

    Raises:
        VolumeFileError: It cannot be written.
    """
    write_text(path, page(comparison, pictures))


def page(comparison: Comparison, pictures: Path | None = None) -> str:
    """The page as HTML text, see `write_page`."""
    old, new = comparison.old, comparison.new
    title = f"{new.name} {new.version}" + (f" against {old.name} {old.version}" if old.name else "")
    parts = [
        f"<h1>{escape(title)}</h1>",
        *_verdict(comparison),
        "<h2>Segment by segment</h2>",
        _table(comparison),
        *_worst(comparison, pictures),
        "<h2>How it was measured</h2>",
        _method(comparison),
    ]
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def verdict_in_words(comparison: Comparison) -> tuple[str, ...]:
    """What came out, a sentence each, the most important first."""
    findings = comparison.findings()
    if not comparison.old.name or not findings:
        return (_measured_only(comparison),)
    whole, *segments = findings
    worse = [each.name for each in segments if each.is_worse]
    better = [each.name for each in segments if each.is_better]
    told = [_whole_in_words(whole)]
    if worse:
        told.append(f"Worse: {', '.join(worse)}.")
    if comparison.lost:
        told.append(f"Worse: it no longer has {', '.join(comparison.lost)}.")
    if better:
        told.append(f"Better beyond chance: {', '.join(better)}.")
    if whole.dice.verdict == "too few":
        told.append(f"{counted(whole.dice.patients, 'patient')} are too few to tell better from worse; six can.")
    return tuple(told)


def _measured_only(comparison: Comparison) -> str:
    scores = [pair.new.dice for case in comparison.cases for pair in case.segments if pair.new is not None]
    if not scores:
        return "The model has none of the segments that were drawn in these cases."
    mean = sum(scores) / len(scores)
    return f"Mean Dice {mean:.3f} on {counted(len(comparison.cases), 'case')}; there is nothing to compare with."


def _whole_in_words(finding: SegmentFinding) -> str:
    found = finding.dice
    between = f"{found.difference:+.3f}, 95 % between {found.low:+.3f} and {found.high:+.3f}"
    if math.isnan(found.low):
        between = f"{found.difference:+.3f}"
    says = {
        "better": "The new model is better",
        "worse": "The new model is worse",
        "no difference": "No difference beyond chance",
        "too few": "Nothing can be said for sure",
    }[found.verdict]
    return f"{says}: mean Dice {found.old:.3f} before, {found.new:.3f} now ({between})."


def _verdict(comparison: Comparison) -> Iterable[str]:
    for sentence in verdict_in_words(comparison):
        mark = "bad" if sentence.startswith(("Worse", "The new model is worse")) else ""
        mark = mark or ("good" if "is better" in sentence or sentence.startswith("Better") else "")
        yield f'<p class="verdict {mark}">{escape(sentence)}</p>'


def _table(comparison: Comparison) -> str:
    findings = comparison.findings()
    if not findings or not comparison.old.name:
        return _table_of_one(comparison)
    widest = max(
        [abs(end) for each in findings for end in (each.dice.low, each.dice.high) if math.isfinite(end)] or [0.01]
    )
    head = (
        "<tr><th>segment</th><th>cases</th><th>Dice before</th><th>Dice</th><th>difference, 95 %</th><th></th>"
        f"<th>surface Dice, {comparison.tolerance_mm:g} mm</th><th>HD95, mm</th></tr>"
    )
    return f"<table>\n{head}\n" + "\n".join(_row(each, max(widest, 0.01)) for each in findings) + "\n</table>"


def _row(finding: SegmentFinding, widest: float) -> str:
    found = finding.dice
    mark = "bad" if finding.is_worse else "good" if finding.is_better else ""
    between = f"{found.difference:+.3f}" + (
        "" if math.isnan(found.low) else f" ({found.low:+.3f} to {found.high:+.3f})"
    )
    cells = [
        str(found.cases),
        _number(found.old),
        _number(found.new),
        f'<span class="{mark}">{between}</span>',
        _track(found, widest),
        _change(finding.nsd, 3),
        _change(finding.hd95_mm, 1),
    ]
    name = escape(finding.name) or "all together"
    kind = "" if finding.name else ' class="all"'
    return f'<tr{kind}><td class="{mark}">{name}</td>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _track(found: PairedDifference, widest: float) -> str:
    """The interval as a bar round the middle, which is no difference."""
    if math.isnan(found.difference):
        return ""

    def place(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / widest))

    bar = ""
    if not math.isnan(found.low):
        begin, end = place(found.low), place(found.high)
        bar = f'<i style="left:{begin:.1f}%;width:{max(0.5, end - begin):.1f}%"></i>'
    return f'<span class="track"><u></u>{bar}<b style="left:{place(found.difference):.1f}%"></b></span>'


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _change(found: PairedDifference, digits: int) -> str:
    return f"{_number(found.old, digits)} → {_number(found.new, digits)}"


def _table_of_one(comparison: Comparison) -> str:
    rows = []
    for name in comparison.segments:
        scores = [
            pair.new
            for case in comparison.cases
            for pair in case.segments
            if pair.name == name and pair.new is not None
        ]
        if scores:
            dice = sum(each.dice for each in scores) / len(scores)
            nsd = sum(each.nsd for each in scores) / len(scores)
            rows.append(f"<tr><td>{escape(name)}</td><td>{len(scores)}</td><td>{dice:.3f}</td><td>{nsd:.3f}</td></tr>")
    head = f"<tr><th>segment</th><th>cases</th><th>Dice</th><th>surface Dice, {comparison.tolerance_mm:g} mm</th></tr>"
    return f"<table>\n{head}\n" + "\n".join(rows) + "\n</table>"


def worst_first(comparison: Comparison) -> tuple[JudgedCase, ...]:
    """The cases, those first in which the new model's worst segment is worst."""
    return tuple(sorted(comparison.cases, key=_worst_dice))


def _worst_dice(case: JudgedCase) -> float:
    return min((pair.new.dice for pair in case.segments if pair.new is not None), default=2.0)


def _worst(comparison: Comparison, pictures: Path | None) -> Iterable[str]:
    chosen = [case for case in worst_first(comparison) if case.segments][:_PICTURES]
    if not chosen:
        return
    yield "<h2>Worst cases first</h2>"
    if pictures is not None:
        old = '<span style="background:#5aa0ff"></span>old model' if comparison.old.name else ""
        yield (
            '<p class="key faint"><span style="background:#50dc64"></span>reference'
            f'{old}<span style="background:#ff7828"></span>new model</p>'
        )
    yield '<div class="cases">' + "".join(_figure(case, pictures) for case in chosen) + "</div>"


def _figure(case: JudgedCase, pictures: Path | None) -> str:
    image = ""
    if pictures is not None and case.picture and (pictures / case.picture).exists():
        content = base64.b64encode(read_bytes(pictures / case.picture, largest=_LARGEST_PICTURE)).decode("ascii")
        image = f'<img alt="slice of {escape(case.name)}" src="data:image/png;base64,{content}">'
    return f"<figure>{image}<figcaption><b>{escape(case.name)}</b>: {_scores(case)}</figcaption></figure>"


def _scores(case: JudgedCase) -> str:
    told = []
    for pair in case.segments:
        if pair.new is not None:
            before = f"{pair.old.dice:.2f} → " if pair.old is not None else ""
            told.append(f"{escape(pair.name)} {before}{pair.new.dice:.2f}")
    return ", ".join(told)


def _model(model: Judged) -> str:
    told = [f"{model.name} {model.version}"]
    told += [f"trained {model.trained}"] if model.trained else []
    told += [f"learned from {model.learned_from} case{'s' * (model.learned_from != '1')}"] if model.learned_from else []
    return f"{escape(', '.join(told))}, weights <code>{escape(model.sha256[:16])}</code>"


def _method(comparison: Comparison) -> str:
    models: Sequence[str] = [_model(each) for each in (comparison.old, comparison.new) if each.name]
    patients = len({case.patient for case in comparison.cases})
    return (
        f"<p>{counted(len(comparison.cases), 'case')} of {counted(patients, 'patient')} that the new model did not "
        "learn from; only segments that were drawn count, and only where somebody looked. Differences are those of the "
        "same cases; intervals come from drawing patients again and again (bootstrap), and beyond chance is what a "
        "permutation test at 5 % says as well. Each segment is tested by itself: of twenty that do not differ, one "
        "seems to by chance. HD95 leaves out cases where a segment was missed.</p>"
        f'<p class="faint">Models: {"; ".join(models)}. {escape(comparison.created)}, DeepSegment {__version__}.</p>'
    )
