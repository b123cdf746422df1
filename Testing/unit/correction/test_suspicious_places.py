"""Laws of suspicious places: what is plainly wrong is offered first, what was accepted is not offered again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import geometries, masks, orientations

from DeepSegmentLib.correction.suspicious_places import places as suspicious
from DeepSegmentLib.correction.suspicious_places.places import suspicious_places
from DeepSegmentLib.data import Box, Geometry
from DeepSegmentLib.errors import InvalidInputError

GRID = Geometry.from_spacing((56, 56, 56), (1, 1, 1))


def ball(center, radius, shape=(56, 56, 56), spacing=(1, 1, 1)):
    axes = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, center, spacing, strict=True)) < radius**2


ORGAN = ball((28, 28, 28), 17)


def picture(organ, seed=0):
    return (100.0 * organ + np.random.default_rng(seed).normal(0, 15, organ.shape)).astype(np.float32)


def first(mask, geometry=GRID, **known):
    place = suspicious_places(mask, geometry, "Liver", **known)[0]
    return place, geometry.ras_to_index(np.array(place.center_ras))


def test_a_right_segment_is_left_alone():
    assert suspicious_places(ORGAN, GRID, intensities=picture(ORGAN)) == ()


def test_an_empty_segment_has_no_places():
    assert suspicious_places(np.zeros(GRID.shape, bool), GRID, intensities=picture(ORGAN)) == ()
    assert suspicious_places(ORGAN, GRID, count=0) == ()


@pytest.mark.parametrize("leak", [True, False])
def test_bites_and_leaks_come_first_with_the_sign_that_mends_them(leak):
    wrong = ball((28, 28, 46), 6)
    mask = ORGAN | wrong if leak else ORGAN & ~wrong
    place, index = first(mask, intensities=picture(ORGAN))
    assert (mask != ORGAN)[tuple(np.round(index).astype(int))]
    assert place.positive is not leak
    assert place.segment == "Liver"
    assert place.reason == ("looks like the surroundings" if leak else "looks like the segment")
    assert 5 <= place.extent_mm <= 20
    assert 6 <= place.radius_mm <= 26
    assert 0.3 <= place.score <= 1


def test_a_probability_that_disagrees_is_believed():
    lost = ball((28, 28, 46), 6)
    place, index = first(ORGAN & ~lost, probability=np.where(ORGAN, 0.97, 0.03))
    assert lost[tuple(np.round(index).astype(int))]
    assert (place.kind, place.reason, place.positive) == ("network", "network disagrees", True)


@pytest.mark.parametrize("unsure", ["probability", "entropy"])
def test_an_uncertain_zone_is_offered(unsure):
    zone = ball((28, 28, 42), 8)
    values = np.where(zone, 0.5, np.where(ORGAN, 0.99, 0.01)) if unsure == "probability" else np.where(zone, 1.0, 0.0)
    noise = np.random.default_rng(0).normal(0, 1, GRID.shape).astype(np.float32)
    place, index = first(ORGAN, intensities=noise, **{unsure: values})
    assert ball((28, 28, 42), 10)[tuple(np.round(index).astype(int))]
    assert place.kind in {"network", "tissue", "edge"}


def test_entropy_is_looked_at_only_without_a_probability():
    entropy, probability = np.random.default_rng(0).random(GRID.shape), np.where(ORGAN, 0.99, 0.01)
    known = {"intensities": picture(ORGAN), "probability": probability}
    assert suspicious_places(ORGAN, GRID, entropy=entropy, **known) == suspicious_places(ORGAN, GRID, **known)


def test_small_islands_and_holes_are_offered_with_their_size():
    island, hole = ball((6, 6, 6), 2.5), ball((28, 28, 30), 2.5)
    mask = (ORGAN | island) & ~hole
    found = {place.kind: place for place in suspicious_places(mask, GRID)}
    assert found["island"].reason == "isolated piece, 0.1 ml"
    assert found["island"].positive is False
    assert found["hole"].reason == "hole, 0.1 ml"
    assert found["hole"].positive is True
    assert island[tuple(np.round(GRID.ras_to_index(np.array(found["island"].center_ras))).astype(int))]


def test_two_pieces_of_a_pair_are_no_islands():
    mask = ball((28, 28, 12), 9) | ball((28, 28, 44), 9)
    assert not [place for place in suspicious_places(mask, GRID) if place.kind == "island"]


@pytest.mark.parametrize("missing", [True, False])
def test_a_slice_at_odds_with_its_neighbors_is_offered(missing):
    geometry = Geometry.from_spacing((14, 64, 64), (5, 1, 1))
    organ = ball((7, 32, 32), 26, (14, 64, 64), (5, 1, 1))
    spot = ball((7, 32, 52 if missing else 56), 12, (14, 64, 64), (99, 1, 1))
    place, index = first(organ & ~spot if missing else organ | spot, geometry)
    assert (place.kind, place.positive, index[0]) == ("slices", missing, 7)
    assert place.reason == ("single slice is missing" if missing else "single slice sticks out")


def test_accepted_places_stay_away_until_the_segment_changes_there():
    mask = ORGAN & ~ball((28, 28, 46), 6) & ~ball((28, 46, 28), 6)
    known = {"intensities": picture(ORGAN)}
    offered = suspicious_places(mask, GRID, **known)
    again = suspicious_places(mask, GRID, accepted=offered[:1], **known)
    assert offered[0].center_ras not in {place.center_ras for place in again}
    away = [np.linalg.norm(np.subtract(place.center_ras, offered[0].center_ras)) for place in again]
    assert min(away) >= offered[0].extent_mm / 2 - 1
    assert again[0].center_ras == offered[1].center_ras
    elsewhere = mask.copy()
    elsewhere[28, 28, 12] = False
    assert not offered[0].box.contains(Box((28, 28, 12), (29, 29, 13)))
    kept = suspicious_places(elsewhere, GRID, accepted=offered[:1], **known)
    assert min(np.linalg.norm(np.subtract(p.center_ras, offered[0].center_ras)) for p in kept) > 3
    nearby = mask.copy()
    nearby[tuple(offered[0].box.start)] ^= True
    back = suspicious_places(nearby, GRID, accepted=offered[:1], **known)
    assert min(np.linalg.norm(np.subtract(p.center_ras, offered[0].center_ras)) for p in back) < 3
    other = suspicious_places(mask, GRID, accepted=[replace(offered[0], segment="Spleen")], **known)
    assert other == offered


@given(orientations())
@settings(max_examples=6)
def test_places_do_not_depend_on_how_the_volume_is_stored(orientation):
    mask, image = ORGAN & ~ball((28, 28, 46), 6), picture(ORGAN)
    turned = GRID.oriented(orientation)[0]
    views = [np.ascontiguousarray(GRID.view(array[None], orientation)[0]) for array in (mask, image)]
    known = suspicious_places(mask, GRID, intensities=image, count=1)
    found = suspicious_places(views[0], turned, intensities=views[1], count=1)
    assert np.allclose(found[0].center_ras, known[0].center_ras, atol=1.1)
    assert found[0].positive == known[0].positive


@given(st.data())
@settings(max_examples=15)
def test_any_mask_has_places_inside_the_volume(data):
    geometry = data.draw(geometries())
    mask = data.draw(masks(geometry.shape))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    known = {"intensities": rng.normal(0, 1, geometry.shape)} if data.draw(st.booleans()) else {}
    for place in suspicious_places(mask, geometry, probability=rng.random(geometry.shape), **known):
        index = np.round(geometry.ras_to_index(np.array(place.center_ras))).astype(int)
        assert (index >= 0).all()
        assert (index < geometry.shape).all()
        assert Box.of_shape(geometry.shape).contains(place.box)
        assert mask[tuple(index)] != place.positive
        assert place.extent_mm > 0


def test_a_large_segment_is_judged_on_blocks(monkeypatch):
    monkeypatch.setattr(suspicious, "_MOST_BLOCKS", 60_000)
    geometry = Geometry.from_spacing((70, 70, 70), (1, 1, 1))
    organ, lost = ball((35, 35, 35), 26, geometry.shape), ball((35, 35, 60), 13, geometry.shape)
    place, index = first(organ & ~lost, geometry, intensities=picture(organ))
    assert (lost & organ)[tuple(np.floor(index + 0.5).astype(int))]
    assert place.positive


def test_arrays_of_other_shapes_are_refused():
    with pytest.raises(InvalidInputError, match=r"probability: expected shape \(56, 56, 56\)"):
        suspicious_places(ORGAN, GRID, probability=np.zeros((1, 2, 3)))
