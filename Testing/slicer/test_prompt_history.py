"""A prompt in the middle is taken back: the node is what it would be had the prompt never been given."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nodes import add_volume

from DeepSegmentLib.correction.correct import correct
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, BoxPrompt, Geometry, Lasso, Point, Scribble, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.journal import Journal
from DeepSegmentLib.hosts.mrml.correction.blocks import write_labels
from DeepSegmentLib.hosts.mrml.correction.edits import keep, make_room, write_correction
from DeepSegmentLib.hosts.mrml.correction.node_canvas import canvas_of
from DeepSegmentLib.hosts.mrml.correction.node_journal import NodeJournal
from DeepSegmentLib.hosts.mrml.correction.prompt_history import Exchange, Step, perform, take_back
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin, mask_of, segment_ids, set_locked

SHAPE = (22, 26, 28)
GRID = Geometry.from_spacing(SHAPE, (2.0, 1.5, 1.5))
KINDS = ("point", "scribble", "box", "lasso")


def add_nodes(scene):
    """Two touching blobs, the labels of which are wrong in places; they share one layer."""
    k, j, i = np.indices(SHAPE)
    first = (k - 11) ** 2 + (j - 12) ** 2 + (i - 10) ** 2 < 60
    second = (k - 11) ** 2 + (j - 12) ** 2 + (i - 20) ** 2 < 40
    voxels = 100 * first + 170 * second + np.random.default_rng(1).normal(0, 8, SHAPE)
    labels = (np.roll(first, 2, axis=1) * 1).astype(np.uint8)
    labels[second & (labels == 0)] = 2
    volume = add_volume(scene, GRID, voxels.astype(np.float32))
    node = new_segmentation(scene, volume, "segmentation")
    add_segments(node, labels, GRID, [Segment("first", 1), Segment("second", 2)], Origin())
    return volume, node


def prompt_of(kind, seed):
    rng = np.random.default_rng(seed)
    name, positive = ("first", "second")[seed % 2], bool(rng.integers(2))
    corners = GRID.index_to_ras(rng.integers((6, 6, 4), (17, 19, 24), (3, 3)))
    if kind == "point":
        return Point(name, positive, corners[0])
    if kind == "scribble":
        return Scribble(name, positive, corners[:2])
    if kind == "box":
        return BoxPrompt(name, positive, corners[:2])
    return Lasso(name, positive, corners, 4.0)


def settings_of(seed):
    rng = np.random.default_rng(seed)
    mode = "grow" if rng.random() < 0.15 else "fix"
    return CorrectionSettings(radius_mm=float(rng.uniform(3, 9)), mode=mode, overwrite=bool(rng.integers(2)))


def canvas(node, volume, name, how):
    return canvas_of(volume, node, name, overwrite=how.overwrite)


def give(node, volume, steps, prompt, how):
    """Answer a prompt; the step, or None where nothing changes."""
    here = canvas(node, volume, prompt.segment, how)
    earlier = [step.prompt for step in steps if step.kept.segment_id == prompt.segment]
    correction = correct(here, prompt, how, earlier)
    if not correction.changed.any():
        return None
    make_room(here, correction)
    edit = write_correction(here, correction)
    step = Step(node.GetID(), keep(edit), prompt, how)
    steps.append(step)
    return step, edit


def masks(node):
    return np.stack([mask_of(node, name, GRID) for name in segment_ids(node)])


def remade(node, volume):
    return lambda step: canvas(node, volume, step.kept.segment_id, step.settings)


many = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99999)), min_size=2, max_size=6)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(many, st.integers(0, 5))
def test_it_is_as_if_the_prompt_had_never_been_given(tmp_path_factory, scene, prompts, which):
    volume, node = add_nodes(scene)
    folder = tmp_path_factory.mktemp("journals") / "one"
    journal, steps, given_to = NodeJournal.begin(folder, node, volume), [], []
    for kind, seed in prompts:
        done = give(node, volume, steps, prompt_of(kind, seed), settings_of(seed))
        if done:
            given_to.append((kind, seed))
            journal.record(done[1], done[0])
    if not steps:
        journal.close()
        return
    which %= len(steps)
    after = masks(node)
    exchange, traces = take_back(node, steps, steps[which], remade(node, volume))
    for trace in traces:
        if trace.new:
            journal.record(trace.edit, trace.step)
        else:
            journal.record_retrace(trace.edit, trace.step, backward=trace.backward)

    _volume, other = add_nodes(scene)
    others = []
    for n, (kind, seed) in enumerate(given_to):
        if n != which:
            give(other, volume, others, prompt_of(kind, seed), settings_of(seed))
    without = masks(other)
    assert np.array_equal(masks(node), without)
    assert [step.prompt for step in journal.corrections] == [*[s.prompt for s in steps[:which]], *[
        s.prompt for s in exchange.come
    ]]  # fmt: skip
    assert perform(node, exchange.inverse()) is not None
    assert np.array_equal(masks(node), after)
    assert perform(node, exchange) is not None
    assert np.array_equal(masks(node), without)
    journal.journal.close()
    with Journal.open(folder) as again:
        labels = again.labels()
        assert np.array_equal(np.stack([labels.mask(noun) for noun in labels.segments]), without)


def test_a_step_that_looks_elsewhere_is_repeated_and_not_answered_anew(scene):
    volume, node = add_nodes(scene)
    steps, how = [], CorrectionSettings(radius_mm=3)
    give(node, volume, steps, Point("first", True, GRID.index_to_ras((11, 7, 10))), how)
    give(node, volume, steps, Point("second", True, GRID.index_to_ras((11, 19, 24))), how)
    assert len(steps) == 2
    exchange, traces = take_back(node, steps, steps[0], remade(node, volume))
    assert exchange.come == (steps[1],)
    assert not any(trace.new for trace in traces)


def test_locked_segments_hold(scene):
    """That of the prompt, and one that the prompt took voxels from."""
    volume, node = add_nodes(scene)
    steps, how = [], CorrectionSettings(radius_mm=6, overwrite=True)
    give(node, volume, steps, Point("first", True, GRID.index_to_ras((11, 12, 17))), how)
    give(node, volume, steps, Point("first", True, GRID.index_to_ras((11, 8, 10))), how)
    before = masks(node)
    for name in ("first", "second"):
        set_locked(node.GetSegmentation().GetSegment(name), locked=True)
        with pytest.raises(InvalidInputError, match="locked or finished"):
            take_back(node, steps, steps[0], remade(node, volume))
        assert np.array_equal(masks(node), before)
        set_locked(node.GetSegmentation().GetSegment(name), locked=False)
    take_back(node, steps, steps[0], remade(node, volume))
    assert not np.array_equal(masks(node), before)


def paint_over(node):
    """Another tool changes a voxel that the first of the prompts below has added."""
    box = Box((11, 6, 10), (12, 7, 11))
    write_labels(image_of(node, "first"), box, np.zeros((1, 1, 1), np.uint8), Box.of_shape(SHAPE))


def test_what_others_painted_over_is_not_taken_back(scene):
    volume, node = add_nodes(scene)
    steps, how = [], CorrectionSettings(radius_mm=6)
    give(node, volume, steps, Point("first", True, GRID.index_to_ras((11, 7, 10))), how)
    give(node, volume, steps, Point("first", False, GRID.index_to_ras((11, 18, 10))), how)
    paint_over(node)
    before = masks(node)
    with pytest.raises(InvalidInputError, match="other tools"):
        take_back(node, steps, steps[0], remade(node, volume))
    assert np.array_equal(masks(node), before)


def test_an_exchange_that_cannot_be_done_leaves_everything(scene):
    volume, node = add_nodes(scene)
    steps, how = [], CorrectionSettings(radius_mm=6)
    give(node, volume, steps, Point("first", True, GRID.index_to_ras((11, 7, 10))), how)
    give(node, volume, steps, Point("first", False, GRID.index_to_ras((11, 18, 10))), how)
    paint_over(node)
    before = masks(node)
    assert perform(node, Exchange(tuple(steps))) is None
    assert np.array_equal(masks(node), before)
