"""Rankings of unlabelled volumes: laws of all strategies, and what each is for."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.segmentation.result_measures import ResultMeasures, Unsure
from DeepSegmentLib.training.annotate_next.rank import rank_volumes
from DeepSegmentLib.training.annotate_next.volumes import STRATEGIES, Collected, RankSettings, Unlabelled

NAMES = ("Liver", "Spleen", "Gland")
ml = st.sampled_from([0.0, 0.5, 2.0, 8.0])
share = st.floats(0, 1, width=16)
number = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def _measures(mls, entropies=None, look=(0.0, 0.0)):
    entropies = [0.5] * len(mls) if entropies is None else entropies
    segments = tuple(
        Unsure(name, size, *((entropy, entropy, entropy) if size else ()))
        for name, size, entropy in zip(NAMES, mls, entropies, strict=True)
    )
    found = [each.entropy for each in segments if each.ml]
    mean = float(np.mean(found)) if found else 0.0
    return ResultMeasures(segments, mean, mean, tuple(look), tuple(mls))


measures = st.builds(
    _measures,
    st.tuples(ml, ml, ml),
    st.tuples(share, share, share),
    st.tuples(number, number),
)
volumes = st.lists(measures, max_size=8).map(
    lambda all_of_them: [Unlabelled(f"v{n}", f"{n:032x}", each) for n, each in enumerate(all_of_them)]
)
collections = st.builds(
    Collected,
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5)),
    st.lists(measures, max_size=4).map(tuple),
    st.integers(0, 5),
)
rules = st.builds(RankSettings, st.sampled_from(STRATEGIES), st.integers(0, 100), st.booleans())


def _names(ranking):
    return [each.volume.name for each in ranking]


@given(volumes, collections, rules)
def test_each_volume_has_its_place_and_a_reason(unlabelled, collected, settings):
    ranking = rank_volumes(unlabelled, collected, settings)
    assert Counter(_names(ranking)) == Counter(volume.name for volume in unlabelled)
    assert all(each.reason and "\n" not in each.reason and not each.reason.endswith(".") for each in ranking)
    assert all(np.isfinite(each.score) and each.score >= 0 for each in ranking)


@given(volumes, collections, rules, st.randoms())
def test_the_order_of_the_volumes_changes_nothing(unlabelled, collected, settings, chance):
    shuffled = list(unlabelled)
    chance.shuffle(shuffled)
    again = rank_volumes(shuffled, collected, settings)
    assert _names(again) == _names(rank_volumes(unlabelled, collected, settings))


@given(volumes, collections, rules)
def test_a_case_that_is_measured_twice_counts_once(unlabelled, collected, settings):
    twice = replace(collected, measures=(*collected.measures, *collected.measures))
    assert _names(rank_volumes(unlabelled, twice, settings)) == _names(rank_volumes(unlabelled, collected, settings))


@given(volumes.filter(bool), collections, rules, st.integers(0, 100))
def test_copies_come_after_all_that_differ(unlabelled, collected, settings, which):
    """Where what is chosen counts: k-centre, balance, and all together."""
    copy = replace(unlabelled[which % len(unlabelled)], name="copy", digest="f" * 32)
    for strategy in ("diverse", "balanced", "combined"):
        ranking = rank_volumes([*unlabelled, copy], collected, replace(settings, strategy=strategy))
        seen = {(each.look, each.shape) for each in collected.measures}
        new = []
        for each in ranking:
            key = (each.volume.measures.look, each.volume.measures.shape)
            new.append(key not in seen)
            seen.add(key)
        assert new == sorted(new, reverse=True)


@given(volumes, collections, st.integers(0, 100))
def test_chance_of_a_volume_does_not_depend_on_others(unlabelled, collected, seed):
    settings = RankSettings("random", seed)
    whole = _names(rank_volumes(unlabelled, collected, settings))
    part = _names(rank_volumes(unlabelled[::2], collected, settings))
    assert [name for name in whole if name in part] == part


@given(volumes, collections, rules)
def test_where_nothing_is_found_comes_last_by_chance_and_by_entropy(unlabelled, collected, settings):
    for strategy in ("random", "entropy"):
        ranking = rank_volumes(unlabelled, collected, replace(settings, strategy=strategy))
        values = [
            bool(each.volume.measures.found) if strategy == "random" else each.volume.measures.entropy
            for each in ranking
        ]
        assert values == sorted(values, reverse=True)


@given(volumes.filter(bool), collections)
def test_the_farthest_comes_first_as_an_independent_count_finds(unlabelled, collected):
    """k-centre greedy: each chosen one is, of all that are left, the farthest from the chosen ones."""
    ranking = rank_volumes(unlabelled, collected, RankSettings("diverse"))
    points = _standardized([*(each.volume.measures for each in ranking), *collected.measures])
    ranked, centres = points[: len(ranking)], list(points[len(ranking) :])
    for n, point in enumerate(ranked):
        if centres:
            nearest = [min(float(np.linalg.norm(p - c)) for c in centres) for p in ranked[n:]]
            assert nearest[0] == pytest.approx(max(nearest), abs=1e-9)
        centres.append(point)


def _standardized(all_measures):
    groups = []
    for name in ("look", "shape"):
        rows = np.array([getattr(each, name) for each in all_measures])
        different = np.array(sorted({tuple(row) for row in rows}))
        spread = different.std(axis=0)
        spread[spread == 0] = np.inf
        groups.append((rows - different.mean(axis=0)) / spread / rows.shape[1] ** 0.5)
    return np.hstack(groups)


def test_random_draws_richer_volumes_more_often():
    """Of one with all segments and one with a third of them, the first comes first in three of four draws."""
    rich, poor = Unlabelled("rich", "a" * 32, _measures((1, 1, 1))), Unlabelled("poor", "b" * 32, _measures((1, 0, 0)))
    firsts = [_names(rank_volumes([rich, poor], Collected(), RankSettings("random", seed)))[0] for seed in range(400)]
    assert firsts.count("rich") / 400 == pytest.approx(0.75, abs=0.065)  # three standard deviations


def test_entropy_prefers_what_is_unsure_and_says_where():
    sure = Unlabelled("sure", "a" * 32, _measures((1, 1, 1), (0.1, 0.1, 0.1)))
    unsure = Unlabelled("unsure", "b" * 32, _measures((1, 1, 1), (0.1, 0.12, 0.9)))
    ranking = rank_volumes([sure, unsure], Collected(), RankSettings("entropy"))
    assert _names(ranking) == ["unsure", "sure"]
    assert ranking[0].reason == "unsure along 90 % of the border of Gland"


def test_balance_prefers_the_segment_that_no_case_has_until_it_is_chosen():
    common = [Unlabelled(f"liver{n}", f"{n}" * 32, _measures((8, 0, 0), look=(n, 0))) for n in range(3)]
    rare = [Unlabelled(f"gland{n}", f"{n + 5}" * 32, _measures((0, 0, 1), look=(n, 1))) for n in range(3)]
    collected = Collected({"Liver": 2}, cases=2)
    ranking = rank_volumes([*common, *rare], collected, RankSettings("balanced"))
    assert {name[:5] for name in _names(ranking)[:2]} == {"gland"}
    assert ranking[0].reason == "has Gland, which no case has yet"
    assert ranking[1].reason == "has Gland, as only 1 of the cases and volumes before it"
    assert "liver" in _names(ranking)[2] + _names(ranking)[3]  # by now there are as many glands


def test_the_default_begins_with_the_scarce_segment_where_it_is_unsure():
    many_cases = Collected({"Liver": 50, "Spleen": 50}, cases=10**6)  # so that noise has faded
    pool = [
        Unlabelled("sure gland", "1" * 32, _measures((8, 2, 1), (0.9, 0.9, 0.1), (0, 1))),
        Unlabelled("unsure gland", "2" * 32, _measures((8, 2, 2), (0.1, 0.1, 0.8), (1, 0))),
        Unlabelled("unsure liver", "3" * 32, _measures((8, 2, 0), (1.0, 1.0, 0.0), (1, 1))),
    ]
    ranking = rank_volumes(pool, many_cases, RankSettings())
    assert _names(ranking)[0] == "unsure gland"
    assert ranking[0].reason == "has Gland, which no case has yet; unsure along 80 % of the border of Gland"


def test_segments_that_are_equally_scarce_have_their_turns():
    """Each volume has all three; the one that is most unsure of a segment comes at the turn of that segment."""
    pool = [
        Unlabelled("Liver", "1" * 32, _measures((1, 1, 1), (0.9, 0.1, 0.1), (0, 0))),
        Unlabelled("Liver too", "2" * 32, _measures((1, 1, 1), (0.9, 0.2, 0.1), (0, 1))),
        Unlabelled("Spleen", "3" * 32, _measures((1, 1, 1), (0.1, 0.8, 0.1), (1, 0))),
        Unlabelled("Gland", "4" * 32, _measures((1, 1, 1), (0.1, 0.1, 0.7), (1, 1))),
    ]
    first, second, *_ = _names(rank_volumes(pool, Collected(cases=10**6), RankSettings()))
    assert first.startswith("Liver")
    assert second == "Spleen"


def test_noise_fades_as_cases_are_collected():
    pool = [
        Unlabelled(f"v{n}", f"{n:032x}", _measures((1, 1, 1), [0.2 + n / 20] * 3, (n, n * n % 7))) for n in range(12)
    ]
    orders = {
        cases: {
            tuple(_names(rank_volumes(pool, Collected(cases=cases), RankSettings(seed=seed)))) for seed in range(20)
        }
        for cases in (0, 10**6)
    }
    assert len(orders[0]) > 15
    assert len(orders[10**6]) == 1


def test_what_is_unlike_the_cases_is_said_to_be():
    cases = tuple(_measures((1, 1, 1), look=(n / 100, 0)) for n in range(5))
    pool = [
        Unlabelled("usual", "1" * 32, _measures((1, 1, 1), look=(0.055, 0))),
        Unlabelled("usual too", "3" * 32, _measures((1, 1, 1), look=(0.015, 0))),
        Unlabelled("strange", "2" * 32, _measures((1, 1, 1), look=(1.0, 1))),
    ]
    ranking = rank_volumes(pool, Collected({}, cases, 5), RankSettings("diverse"))
    assert _names(ranking)[0] == "strange"
    assert ranking[0].reason.endswith("unlike the cases so far")
    assert all("unlike" not in each.reason for each in ranking[1:])


def test_volumes_that_cannot_be_compared_are_refused():
    one = Unlabelled("a", "1" * 32, _measures((1, 1, 1)))
    with pytest.raises(InvalidInputError, match="'a'"):
        rank_volumes([one, replace(one, digest="2" * 32)], Collected(), RankSettings())
    other = replace(one, name="b", measures=replace(one.measures, segments=one.measures.segments[:2]))
    with pytest.raises(InvalidInputError, match="different models"):
        rank_volumes([one, other], Collected(), RankSettings())


@pytest.mark.parametrize("wrong", [{"strategy": "best"}, {"seed": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=str(next(iter(wrong.values())))):
        RankSettings(**wrong)
