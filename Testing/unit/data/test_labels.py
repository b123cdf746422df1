"""Laws of `LabelMap` and `LabelUpdate`: edits stay in their box, fit what they were made for, and can be undone."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import label_maps, updates

from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Segment
from DeepSegmentLib.errors import InvalidInputError

GRID = Geometry((2, 3, 4), np.diag([4.0, 3.0, 2.0, 1.0]))
GRID_OF_THREE = Geometry.from_spacing((1, 1, 3), (1, 1, 1))
BOX = Box((0, 0, 0), (1, 1, 2))


def labels(*values, dtype=np.uint8):
    return np.array([[values]], dtype)


@pytest.fixture
def empty():
    return LabelMap(np.zeros((2, 2, 3, 4), np.uint8), GRID, (Segment("liver", 1), Segment("tumor", 1, layer=1)))


class TestLabelMap:
    @given(label_maps())
    def test_masks_of_one_layer_are_disjoint_and_cover_what_has_a_segment(self, label_map):
        for number, layer in enumerate(label_map.layers):
            here = [segment for segment in label_map.segments if segment.layer == number]
            covered = sum((label_map.mask(segment).astype(int) for segment in here), np.zeros(layer.shape, int))
            assert np.array_equal(covered, np.isin(layer, [segment.value for segment in here]).astype(int))

    @given(label_maps())
    def test_volumes_are_those_of_the_masks(self, label_map):
        voxel_ml = np.prod(label_map.geometry.spacing_mm) / 1000
        expected = {segment.name: label_map.mask(segment).sum() * voxel_ml for segment in label_map.segments}
        assert label_map.volumes_ml() == pytest.approx(expected)

    def test_volumes_of_one_name_are_summed(self):
        layers = np.zeros((2, 2, 3, 4), np.uint16)
        layers[0, 0, 0, :3] = 7
        layers[1, 1, 1, 1] = 300
        label_map = LabelMap(layers, GRID, (Segment("lung", 7), Segment("lung", 300, layer=1)))
        assert label_map.volumes_ml() == pytest.approx({"lung": 4 * 24 / 1000})

    @given(label_maps())
    def test_segments_are_found_by_name(self, label_map):
        for segment in label_map.segments:
            assert label_map.segment(segment.name) is segment

    def test_the_first_of_two_segments_of_one_name_is_found(self):
        first = Segment("lung", 1)
        assert LabelMap(np.zeros((1, 2, 3, 4), np.uint8), GRID, (first, Segment("lung", 2))).segment("lung") is first

    @given(label_maps())
    def test_masks_by_name_are_those_of_the_segments(self, label_map):
        assert list(label_map.masks) == [segment.name for segment in label_map.segments]
        assert len(label_map.masks) == len(label_map.segments)
        for segment in label_map.segments:
            assert np.array_equal(label_map.masks[segment.name], label_map.mask(segment))

    def test_masks_of_one_name_are_joined(self):
        label_map = LabelMap(labels(1, 2, 0)[None], GRID_OF_THREE, (Segment("lung", 1), Segment("lung", 2)))
        assert label_map.masks["lung"].tolist() == [[[True, True, False]]]
        with pytest.raises(KeyError, match="spleen; there are: lung"):
            label_map.masks["spleen"]

    @given(st.data())
    def test_only_keeps_what_is_named_as_it_was(self, data):
        label_map = data.draw(label_maps())
        assume(label_map.segments)
        chosen = data.draw(st.sets(st.sampled_from([segment.name for segment in label_map.segments]), min_size=1))
        cut = label_map.only(chosen)
        assert cut.geometry is label_map.geometry
        assert cut.layers.dtype == label_map.layers.dtype
        assert [segment.name for segment in cut.segments] == [each for each in label_map.masks if each in chosen]
        for segment in cut.segments:
            before = label_map.segment(segment.name)
            assert (segment.value, segment.color) == (before.value, before.color)
            assert np.array_equal(cut.mask(segment), label_map.masks[segment.name])
        for n, layer in enumerate(cut.layers):
            values = [segment.value for segment in cut.segments if segment.layer == n]
            assert values
            assert set(np.unique(layer)) <= {0, *values}

    @given(label_maps())
    def test_only_of_all_keeps_the_segments_and_drops_strangers(self, label_map):
        assume(label_map.segments)
        cut = label_map.only(list(label_map.masks))
        assert cut.volumes_ml() == label_map.volumes_ml()

    def test_only_takes_names_in_any_case_and_helps_with_others(self):
        label_map = LabelMap(labels(1, 2, 0)[None], GRID_OF_THREE, (Segment("Thalamus", 1), Segment("Putamen", 2)))
        assert [segment.name for segment in label_map.only(["thalamus"]).segments] == ["Thalamus"]
        with pytest.raises(InvalidInputError, match=r"no segment named 'Talamus'; did you mean 'Thalamus'\? it has:"):
            label_map.only(["Putamen", "Talamus"])
        assert label_map.only("thalamus, putamen").segments == label_map.segments
        with pytest.raises(InvalidInputError, match="no segment is named; name some of: Thalamus, Putamen"):
            label_map.only([])

    def test_only_prefers_the_spelling_that_is_there(self):
        label_map = LabelMap(labels(1, 2, 0)[None], GRID_OF_THREE, (Segment("GM", 1), Segment("gm", 2)))
        assert [segment.value for segment in label_map.only(["gm"]).segments] == [2]
        with pytest.raises(InvalidInputError, match="'Gm' may be 'GM' or 'gm'"):
            label_map.only(["Gm"])

    def test_labels_cannot_be_changed(self, empty):
        with pytest.raises(ValueError, match="read-only"):
            empty.layers[0, 0, 0, 0] = 1


class TestUpdate:
    @given(st.data())
    def test_apply_changes_the_box_and_nothing_else(self, data):
        label_map = data.draw(label_maps())
        update = data.draw(updates(label_map))
        after = label_map.apply(update)
        place = (update.layer, *update.box.to_slices())
        assert np.array_equal(after.layers[place], update.after)
        outside = np.ones(after.layers.shape, bool)
        outside[place] = False
        assert np.array_equal(after.layers[outside], label_map.layers[outside])
        assert np.array_equal((after.layers != label_map.layers)[place], update.changed)
        assert after.segments == label_map.segments
        assert after.layers.dtype == label_map.layers.dtype

    @given(st.data())
    def test_the_inverse_restores_every_bit(self, data):
        label_map = data.draw(label_maps())
        update = data.draw(updates(label_map))
        back = label_map.apply(update).apply(update.inverse())
        assert back.layers.tobytes() == label_map.layers.tobytes()
        assert np.array_equal(update.inverse().inverse().after, update.after)

    @given(st.data())
    def test_a_history_is_undone_in_reverse(self, data):
        states = [data.draw(label_maps())]
        history = []
        for _ in range(4):
            history.append(data.draw(updates(states[-1])))
            states.append(states[-1].apply(history[-1]))
        now = states[-1]
        for update, before in zip(reversed(history), reversed(states[:-1]), strict=True):
            now = now.apply(update.inverse())
            assert np.array_equal(now.layers, before.layers)

    @given(st.data())
    def test_a_stale_update_is_refused(self, data):
        label_map = data.draw(label_maps())
        update = data.draw(updates(label_map))
        assume(update.changed.any())
        with pytest.raises(InvalidInputError, match="changed since this update was made"):
            label_map.apply(update).apply(update)

    def test_arrays_cannot_be_changed(self):
        update = LabelUpdate(BOX, labels(0, 0), labels(1, 1))
        for array in (update.before, update.after, update.inverse().before):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 5


class TestRefusals:
    @pytest.mark.parametrize("value", [0, -1, 65536])
    def test_label_value(self, value):
        with pytest.raises(InvalidInputError, match=f"'liver': label value must be 1 to 65535, got {value}"):
            Segment("liver", value)

    @pytest.mark.parametrize("color", [(0, 0), (0, 0, 256), (-1, 0, 0)])
    def test_color(self, color):
        with pytest.raises(InvalidInputError, match="colour must be three numbers 0 to 255"):
            Segment("liver", 1, color=color)

    def test_negative_layer(self):
        with pytest.raises(InvalidInputError, match="layer must not be negative"):
            Segment("liver", 1, layer=-1)
        with pytest.raises(InvalidInputError, match="layer must not be negative"):
            LabelUpdate(BOX, labels(0, 0), labels(1, 1), layer=-1)

    @pytest.mark.parametrize("shape", [(2, 3, 4), (0, 2, 3, 4), (1, 2, 3, 5)])
    def test_shape_of_the_layers(self, shape):
        with pytest.raises(InvalidInputError, match=r"must have shape \(layer, 2, 3, 4\)"):
            LabelMap(np.zeros(shape, np.uint8), GRID)

    @pytest.mark.parametrize("dtype", [np.int16, bool, np.float32])
    def test_type_of_the_layers(self, dtype):
        with pytest.raises(InvalidInputError, match="must be uint8 or uint16"):
            LabelMap(np.zeros((1, 2, 3, 4), dtype), GRID)

    @pytest.mark.parametrize("segment", [Segment("far", 1, layer=1), Segment("big", 256)])
    def test_segment_that_the_layers_cannot_hold(self, segment):
        with pytest.raises(InvalidInputError, match=f"'{segment.name}' has layer"):
            LabelMap(np.zeros((1, 2, 3, 4), np.uint8), GRID, (segment,))

    def test_two_segments_at_one_place(self):
        with pytest.raises(InvalidInputError, match=r"share the layer and value \(0, 3\)"):
            LabelMap(np.zeros((1, 2, 3, 4), np.uint8), GRID, (Segment("a", 3), Segment("b", 3)))

    def test_unknown_name(self, empty):
        with pytest.raises(InvalidInputError, match="no segment named 'spleen'; there are: liver, tumor"):
            empty.segment("spleen")
        with pytest.raises(InvalidInputError, match="there are: none"):
            LabelMap(empty.layers, GRID).segment("liver")

    @pytest.mark.parametrize(
        "update",
        [
            LabelUpdate(BOX, labels(0, 0), labels(1, 1), layer=2),
            LabelUpdate(BOX.shift((0, 0, -2)), labels(0, 0), labels(1, 1)),
            LabelUpdate(BOX.shift((0, 0, 3)), labels(0, 0), labels(1, 1)),
            LabelUpdate(BOX, labels(0, 0, dtype=np.uint16), labels(1, 300, dtype=np.uint16)),
        ],
        ids=["layer", "before the grid", "behind the grid", "wider type"],
    )
    def test_update_of_another_labelmap(self, empty, update):
        with pytest.raises(InvalidInputError, match="does not fit a labelmap of 2 layers"):
            empty.apply(update)

    def test_update_of_another_shape(self):
        with pytest.raises(InvalidInputError, match="must have the box's shape"):
            LabelUpdate(BOX, labels(0, 0), labels(1, 1, 1))
        with pytest.raises(InvalidInputError, match="must have the box's shape"):
            LabelUpdate(BOX, labels(0), labels(1, 1))

    def test_update_of_two_types(self):
        with pytest.raises(InvalidInputError, match="labels must be of one type"):
            LabelUpdate(BOX, labels(0, 0), labels(1, 1, dtype=np.uint16))
