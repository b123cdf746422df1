"""Changes give back what they were made of, in few bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import label_maps, updates

from DeepSegmentLib.correction.packed_changes import pack, put, unpack
from DeepSegmentLib.data import Box, LabelUpdate


@given(data=st.data(), labels=label_maps())
def test_a_change_does_and_takes_back_its_update(data, labels):
    update = data.draw(updates(labels))
    change = pack(update)
    done = unpack(change, labels.layers[update.layer])
    assert (done.box, done.layer, done.after.dtype) == (update.box, update.layer, update.after.dtype)
    assert np.array_equal(done.before, update.before)
    assert np.array_equal(done.after, update.after)
    changed = labels.apply(update)
    back = unpack(change, changed.layers[update.layer], backward=True)
    assert np.array_equal(changed.apply(back).layers, labels.layers)


@given(data=st.data(), labels=label_maps())
def test_a_change_in_place_is_the_change(data, labels):
    update = data.draw(updates(labels))
    layers = labels.layers.copy()
    put(pack(update), layers[update.layer])
    assert np.array_equal(layers, labels.apply(update).layers)


@given(data=st.data(), labels=label_maps())
def test_a_change_leaves_alone_what_it_did_not_change(data, labels):
    update = data.draw(updates(labels))
    other = (labels.layers[update.layer] + 50).astype(labels.layers.dtype)
    for backward in (False, True):
        done = unpack(pack(update), other, backward=backward)
        assert np.array_equal(done.after[~update.changed], done.before[~update.changed])
        values = update.before if backward else update.after
        assert np.array_equal(done.after[update.changed], values[update.changed])


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 255), (np.uint16, 60000)])
def test_a_ball_in_a_large_box_takes_little(dtype, value):
    box = Box((5, 5, 5), (69, 69, 69))
    before = np.zeros(box.shape, dtype)
    ball = np.linalg.norm(np.indices(box.shape) - 32.0, axis=0) < 20
    change = pack(LabelUpdate(box, before, np.where(ball, value, 0).astype(dtype), 2))
    assert change.size_bytes == len(change.where) + len(change.before) + len(change.after)
    assert change.size_bytes < 8192 < before.nbytes
    assert (change.layer, change.dtype) == (2, np.dtype(dtype).name)


def test_an_update_without_changes():
    labels = np.ones((2, 3, 4), np.uint8)
    change = pack(LabelUpdate(Box.of_shape(labels.shape), labels, labels))
    assert not unpack(change, labels).changed.any()
    assert not unpack(change, labels, backward=True).changed.any()
