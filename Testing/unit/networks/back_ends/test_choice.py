"""The choice among back ends: fast, but the same labels."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.back_ends import candidates as back_ends
from DeepSegmentLib.networks.back_ends import choice, machine, openvino_graph
from DeepSegmentLib.networks.back_ends.candidates import EAGER, Candidate, candidate_named, candidates
from DeepSegmentLib.networks.back_ends.choice import ChosenBackEnd
from DeepSegmentLib.networks.back_ends.engine import Engine, Precision

SIDE = 16
FOREGROUND = SIDE**3 // 2


class Doubling(nn.Module):
    """A network of two classes: the second wins where the patch is above 0."""

    seconds = 1.0

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(x), x], dim=1)


class Memory(dict[str, str]):
    """A record that is gone with the test."""

    def known(self, key: str) -> str | None:
        return self.get(key)

    def keep(self, key: str, choice: str) -> None:
        self[key] = choice


class Run:
    """A back end that takes so many seconds and gives other labels for so many voxels."""

    def __init__(self, seconds: float, wrong: int = 0) -> None:
        self.seconds, self.wrong, self.calls = seconds, wrong, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        result = Doubling()(x)
        result[:, 1].view(-1)[: self.wrong] *= -1
        return result


class Bench:
    """Back ends for a test, the patch, and the choice among them."""

    def __init__(self) -> None:
        self.all: list[Candidate] = []
        self.record = Memory()

    def add(
        self, name: str, precision: Any, run: Callable[[Tensor], Tensor] | Exception, *, is_fallback: bool = False
    ) -> Any:
        def make(*_: object) -> Callable[[Tensor], Tensor]:
            if isinstance(run, Exception):
                raise run
            return run

        self.all.append(Candidate(name, precision, precision, is_fallback, make))
        return run

    def of(self, precision: str) -> tuple[Candidate, ...]:
        return tuple(each for each in self.all if each.precision == precision)

    def named(self, name: str) -> Candidate | None:
        return next((each for each in (EAGER, *self.all) if str(each) == name), None)

    def chosen(self, precision: Precision = "checked", sha256: str = "ab") -> ChosenBackEnd:
        return ChosenBackEnd(Doubling(), Engine(precision, self.record, sha256), None)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(choice, "candidates", made.of)
    monkeypatch.setattr(choice, "candidate_named", made.named)
    monkeypatch.setattr(choice, "_timed", lambda run, x: (run(x), run.seconds))
    return made


def patch(foreground: int = FOREGROUND) -> Tensor:
    x = -torch.ones(1, 1, SIDE, SIDE, SIDE)
    x.view(-1)[:foreground] = 1
    return x


def test_the_fastest_of_float32_is_taken_and_kept(bench: Bench) -> None:
    slow, fast = bench.add("slow", "float32", Run(0.5)), bench.add("fast", "float32", Run(0.2))
    chosen = bench.chosen("float32")
    assert chosen.name == ""
    assert torch.equal(chosen(patch()), Doubling()(patch()))
    assert chosen.name == "fast float32"
    assert list(bench.record.values()) == ["fast float32"]
    counts = slow.calls, fast.calls
    chosen(patch())
    assert (slow.calls, fast.calls) == (counts[0], counts[1] + 1)


def test_a_fallback_is_tried_where_nothing_before_it_suits(bench: Bench) -> None:
    fast = bench.add("fast", "float32", Run(0.5))
    spare = bench.add("spare", "float32", Run(0.4), is_fallback=True)
    wrong = bench.add("wrong", "bfloat16", Run(0.1, wrong=3))
    finer = bench.add("finer", "bfloat16", Run(0.2), is_fallback=True)
    finest = bench.add("finest", "bfloat16", Run(0.15), is_fallback=True)
    chosen = bench.chosen()
    chosen(patch())
    assert chosen.name == "finer bfloat16"
    assert [each.calls > 0 for each in (fast, spare, wrong, finer, finest)] == [True, False, True, True, False]


def test_what_was_kept_is_taken_without_comparing(bench: Bench) -> None:
    slow, fast = bench.add("slow", "float32", Run(0.5)), bench.add("fast", "float32", Run(0.2))
    bench.chosen()(patch())
    slow.calls = fast.calls = 0
    again = bench.chosen()
    again(patch())
    assert (again.name, slow.calls, fast.calls) == ("fast float32", 0, 1)


def test_other_weights_precisions_and_shapes_are_decided_anew(bench: Bench) -> None:
    bench.add("fast", "float32", Run(0.2))
    chosen = bench.chosen()
    chosen(patch())
    chosen(patch()[:, :, 1:])
    bench.chosen(sha256="cd")(patch())
    bench.chosen("float32")(patch())
    assert len(bench.record) == 4


@pytest.mark.parametrize("kept", ["no such thing", "", "fast float16", "broken float32"])
def test_a_record_that_makes_no_sense_is_ignored(bench: Bench, kept: str) -> None:
    bench.add("broken", "float32", RuntimeError("no such layer"))
    bench.add("fast", "float32", Run(0.2))
    bench.chosen()(patch())
    (key,) = bench.record
    bench.record[key] = kept
    again = bench.chosen()
    assert torch.equal(again(patch()), Doubling()(patch()))
    assert again.name == "fast float32"
    assert bench.record[key] == "fast float32"


def test_what_is_slower_fails_or_differs_is_passed_over(bench: Bench) -> None:
    bench.add("slower", "float32", Run(1.5))
    bench.add("hopeless", "float32", Run(30))
    bench.add("unconverted", "float32", RuntimeError("no such layer"))
    bench.add("wrong", "float32", Run(0.1, wrong=3))

    def full(_: Tensor) -> Tensor:
        raise MemoryError("bad_alloc")

    full.seconds = 0.1
    bench.add("full", "float32", full)
    chosen = bench.chosen("float32")
    assert torch.equal(chosen(patch()), Doubling()(patch()))
    assert chosen.name == "torch float32"
    assert chosen.passed_over == {
        "slower float32": "1.500 s, and torch float32 1.000 s",
        "hopeless float32": "30.000 s, and torch float32 1.000 s",
        "unconverted float32": "RuntimeError: no such layer",
        "wrong float32": f"3 of {FOREGROUND} foreground voxels differ",
        "full float32": "MemoryError: bad_alloc",
    }
    assert bench.named("hopeless float32").make().calls == 1


@pytest.mark.parametrize(("wrong", "taken"), [(0, True), (2, True), (3, False)])
def test_bfloat16_is_taken_where_its_labels_are_those_of_float32(bench: Bench, wrong: int, taken: bool) -> None:
    bench.add("fast", "float32", Run(0.5))
    bench.add("quick", "bfloat16", Run(0.1, wrong=wrong))
    chosen = bench.chosen()
    chosen(patch())
    assert chosen.name == ("quick bfloat16" if taken else "fast float32")


def test_bfloat16_waits_for_a_patch_with_foreground(bench: Bench) -> None:
    fast, quick = bench.add("fast", "float32", Run(0.5)), bench.add("quick", "bfloat16", Run(0.1))
    chosen = bench.chosen()
    for foreground in (0, 999):
        chosen(patch(foreground))
        assert (chosen.name, quick.calls, bench.record) == ("fast float32", 0, {})
    before = fast.calls
    assert torch.equal(chosen(patch(1000)), Doubling()(patch(1000)))
    assert (chosen.name, fast.calls) == ("quick bfloat16", before + 1)
    assert list(bench.record.values()) == ["quick bfloat16"]


def test_float32_asked_for_is_float32(bench: Bench) -> None:
    quick = bench.add("quick", "bfloat16", Run(0.1))
    chosen = bench.chosen("float32")
    chosen(patch())
    assert (chosen.name, quick.calls) == ("torch float32", 0)


@pytest.mark.parametrize(("wrong", "name"), [(300, "quick bfloat16"), (FOREGROUND, "torch float32")])
def test_bfloat16_asked_for_is_taken_unless_it_is_another_network(bench: Bench, wrong: int, name: str) -> None:
    bench.add("quick", "bfloat16", Run(3.0, wrong=wrong))
    chosen = bench.chosen("bfloat16")
    chosen(patch())
    assert chosen.name == name


def test_short_passes_stay_with_torch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = bench.add("fast", "float32", Run(0.01))
    monkeypatch.setattr(Doubling, "seconds", 0.05)
    chosen = bench.chosen()
    chosen(patch())
    assert (chosen.name, fast.calls, bench.record) == ("torch float32", 0, {})


@pytest.mark.parametrize(("available", "name"), [(1 << 10, "torch float32"), (None, "fast float32")])
def test_where_memory_is_short_nothing_else_is_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, available: int | None, name: str
) -> None:
    bench.add("fast", "float32", Run(0.1))
    monkeypatch.setattr(choice, "available_memory_bytes", lambda: available)
    chosen = bench.chosen()
    chosen(patch())
    assert chosen.name == name
    assert list(bench.record.values()) == ([] if available else [name])


def test_torchs_slow_first_pass_decides_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.4, 0.8])
    monkeypatch.setattr(Doubling, "seconds", property(lambda _: next(seconds)))
    bench.add("fair", "float32", Run(1.0))
    chosen = bench.chosen()
    chosen(patch())
    assert chosen.name == "torch float32"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="unknown precision 'float8'; known: checked, float32, bfloat16"):
        Engine("float8")  # type: ignore[arg-type]


def test_back_ends_of_this_machine_are_found_by_their_names() -> None:
    here = (EAGER, *candidates("float32"), *candidates("bfloat16"))
    assert "torch-channels-last float32" in map(str, here)
    assert [candidate_named(str(each)) for each in here] == [*here]
    assert candidate_named("abacus float32") is None


def test_openvino_that_cannot_be_loaded_is_passed_over_and_torch_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("Failed to create plugin")

    def there(package: str) -> str:
        return "2026.4.1" if package == "openvino" else ""

    monkeypatch.setattr(back_ends, "version_of", there)
    monkeypatch.setattr(machine, "openvino_core", broken)
    monkeypatch.setattr(openvino_graph, "openvino_core", broken)
    monkeypatch.setattr(choice, "_WORTH_S", 0.0)
    network = nn.Sequential(nn.Conv3d(1, 2, 3, padding=1)).eval()
    chosen = ChosenBackEnd(network, Engine(), head=None)
    x = torch.randn(1, 1, SIDE, SIDE, SIDE)
    with torch.inference_mode():
        assert torch.allclose(chosen(x), network(x), atol=1e-5)
        assert torch.allclose(chosen(x), network(x), atol=1e-5)
    assert chosen.name.startswith("torch")
    assert "openvino float32" in chosen.passed_over
