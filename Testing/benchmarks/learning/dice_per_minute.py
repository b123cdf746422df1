"""How well a model segments after some minutes of training on this machine: this library and nnU-Net's own trainer.

    python Testing/benchmarks/learning/dice_per_minute.py --peer PYTHON --data FOLDER --work FOLDER
        [--data-set hippocampus] [--minutes 10 30] [--variants default batch2] [--workers 1]

PYTHON is that of an environment with `pip install nnunetv2`; FOLDER of the data is that of DEEPSEGMENT_TEST_DATA. Both
learn from the same cases (150 of hippocampus, 130 of headneck), are trained for the same minutes, counted from the
first step to the last, and segment the same held-out cases (50, 40), without mirroring. They run in turns, one at a
time; the machine should have nothing else to do, and what other processes took is kept with each run. Preparing is
measured for both and not counted for either. Dice is that of `deepsegment evaluate`, of structures that the reference
has.

nnU-Net trains in several variants (`peer_nnunet_trainer.py`): its own plan, and what its users would change on such a
machine; all are in the table, none is picked by hand. What is in WORK is not done again, so that a run that was stopped
goes on. `--cases` and `--held-out` make it short; the table then stays in WORK.
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from commands import REPOSITORY, RESULTS, Shell, Steps, minutes_name, parsed_by, parser_of
from machine import own_versions, peer_versions
from own_trainings import Bench
from scoring import Scores, difference, from_plain, name_labels, plain_scores, scored, summary, write_references
from splits import DATA_SETS, DataSet, Split, split_of_data, write_description

SCRIPT = Path(__file__).with_name("peer_nnunet_trainer.py")
OURS = "DeepSegment"
# Of each data set those that are run unless others are named; the table tells what each of them is worth.
VARIANTS = {
    "hippocampus": ("default", "batch2", "bf16", "batch2-half-bf16"),
    "headneck": ("small-patch", "small-patch-bf16", "small-patch-ignore-bf16"),
}


def ours(bench: Bench, split: Split, minutes: float) -> dict[str, Any]:
    """One training of this library, and its scores."""
    name = f"{bench.data_set.name}-{minutes_name(minutes)}"
    shutil.rmtree(bench.folder(name), ignore_errors=True)
    trained = bench.train(name, "--minutes", minutes, "--held-out", 0)
    return trained | bench.scored(bench.folder(name) / "model", split.held_out, name)


def collected(bench: Bench, split: Split) -> dict[str, Any]:
    """Collect all cases for training, which is not counted either."""
    bench.begin()
    return bench.add_cases(split.training, "training")


def peers(bench: Bench, options: argparse.Namespace, variant: str, minutes: float) -> dict[str, Any]:
    """One training of nnU-Net, and its scores."""
    name = f"nnunet {variant} {minutes_name(minutes)}"
    words = ("--work", bench.work / "nnunet", "--data-set", bench.work / "data.json", "--variant", variant)
    run = partial(bench.shell.peer, options.peer, SCRIPT, workers=options.workers)
    prepared = run("prepare", *words, name=f"{name} prepare").answer
    ran = run("train", *words, "--minutes", minutes, name=f"{name} train")
    output = bench.work / "segmented" / name.replace(" ", "-")
    predicted = run("predict", *words, "--output", output, name=f"{name} predict").answer
    named = output.with_name(output.name + "-named")
    named.mkdir(exist_ok=True)
    for path in sorted(output.glob("*.nii.gz")):
        name_labels(path, bench.data_set.values, named / path.name)
    scores = scored(bench.shell, bench.references, named, name)
    return ran.answer | prepared | predicted | {"took": ran.took, "scores": plain_scores(scores)}


def runs(data_set: DataSet, options: argparse.Namespace) -> dict[str, Any]:
    """All runs of a data set, in turns."""
    split = split_of_data(data_set, options.data).shortened(options.cases, options.held_out)
    shell = Shell(options.work / data_set.name)
    write_description(data_set, options.data, split, shell.work / "data.json")
    references = write_references(data_set, options.data, split.held_out, shell.work / "references")
    bench = Bench(shell, options.data, data_set, references)
    settings = {"training": split.training, "held_out": split.held_out, "workers": options.workers}
    steps = Steps(shell.work / "steps.json", settings)
    steps.done("collect", lambda: collected(bench, split))
    for minutes in options.minutes:
        steps.done(f"{minutes:g} {OURS}", lambda minutes=minutes: ours(bench, split, minutes))
        for variant in options.variants or VARIANTS[data_set.name]:
            work = partial(peers, bench, options, variant, minutes)
            steps.done(f"{minutes:g} nnU-Net {variant}", work)
    return steps.content


def rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of one data set as the table has them: beside each peer's how much better ours is."""
    found = []
    for name, run in content["steps"].items():
        if "scores" not in run:
            continue
        minutes, _, engine = name.partition(" ")
        scores = from_plain(run["scores"])
        own = content["steps"].get(f"{minutes} {OURS}")
        kept = ("iterations", "batch", "patch", "patches_per_second", "preparation_seconds", "seconds", "took")
        row = {"minutes": float(minutes), "engine": engine, "summary": summary(scores)}
        row |= {key: run[key] for key in kept if key in run}
        if own is not None and engine != OURS:
            row["ours less theirs"] = ours_less(scores, from_plain(own["scores"]))
        found.append(row)
    return sorted(found, key=lambda row: row["minutes"])


def ours_less(theirs: Scores, own: Scores) -> dict[str, Any]:
    """Mean Dice of ours less that of theirs, with its interval."""
    return difference(theirs, own)


def page(results: dict[str, Any]) -> str:
    """The table in Markdown."""
    lines = ["# Dice after minutes of training", "", __doc__.split("\n\n")[2].replace("\n", " "), ""]
    told = results["machine"]
    lines += [f"Machine: {told['processor']}, {told['processors']} processors, {told['memory_bytes'] / 2**30:.0f} GiB."]
    for name, found in results["data_sets"].items():
        structures = [each for each in found[0]["summary"] if each != "all"] if found else []
        head = ["minutes", "trainer", "Dice", *structures, "surface Dice", "missed", "ours less theirs (95 %)"]
        head += ["steps", "batch", "patches/s", "preparing, s", "others' CPU"]
        lines += ["", f"## {name}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        lines += [f"| {' | '.join(cells(row, structures))} |" for row in found]
    return "\n".join(lines) + "\n"


def cells(row: dict[str, Any], structures: list[str]) -> list[str]:
    """One row of the table."""
    scores, gap = row["summary"], row.get("ours less theirs")
    told = "" if gap is None else f"{gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
    others = row["took"]["others_seconds"] / row["took"]["wall_seconds"]
    return [
        f"{row['minutes']:g}", row["engine"], f"{scores['all']['dice']:.4f}",
        *(f"{scores[each]['dice']:.3f}" for each in structures), f"{scores['all']['nsd']:.3f}",
        str(scores["all"]["missed"]), told, str(row["iterations"]), str(row["batch"]),
        f"{row['patches_per_second']:.2f}", f"{row['preparation_seconds']:.0f}", f"{others:.2f}",
    ]  # fmt: skip


def parsed() -> argparse.Namespace:
    """The options."""
    parser = parser_of(__doc__)
    parser.add_argument("--peer", required=True, help="Python of an environment with nnunetv2")
    parser.add_argument("--data-set", nargs="+", choices=DATA_SETS, default=[*DATA_SETS])
    parser.add_argument("--minutes", nargs="+", type=float, default=[10.0, 30.0])
    parser.add_argument("--variants", nargs="+", help="of nnU-Net (default: those of the data set)")
    parser.add_argument("--workers", type=int, default=1, help="processes of nnU-Net's augmentation (default: 1)")
    parser.add_argument("--cases", type=int, help="learn from so many only")
    return parsed_by(parser)


def main() -> None:
    """Run what is missing, and write JSON and table."""
    options = parsed()
    target = (RESULTS if options.cases is None and options.held_out is None else options.work) / "dice_per_minute.json"
    results: dict[str, Any] = {"versions": {"ours": own_versions(), "peers": peer_versions(options.peer)}}
    found = {name: runs(DATA_SETS[name], options) for name in options.data_set}
    results["machine"] = next(iter(found.values()))["machine"]
    results["data_sets"] = {name: rows(content) for name, content in found.items()}
    Steps.write(target, results)
    target.with_suffix(".md").write_text(page(results), encoding="utf-8")
    told = target.relative_to(REPOSITORY) if target.is_relative_to(REPOSITORY) else target
    print(page(results) + f"\nwrote {told}")


if __name__ == "__main__":
    main()
