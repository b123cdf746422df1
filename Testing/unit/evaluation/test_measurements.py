"""Numbers of segments: laws, known bodies, and agreement with SimpleITK."""

import csv
import io

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from strategies import label_maps, orientations

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation.measurements import measure, measurement_rows, rows_to_csv
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid


@st.composite
def cases(draw, channels=2):
    """A labelmap and a volume on its grid."""
    label_map = draw(label_maps())
    seed = draw(st.integers(0, 2**32 - 1))
    voxels = np.random.default_rng(seed).normal(100, 50, (channels, *label_map.geometry.shape)).astype(np.float32)
    return label_map, Volume(voxels, label_map.geometry)


class TestLaws:
    @given(cases())
    def test_each_segment_is_measured_by_its_mask(self, case):
        label_map, volume = case
        for segment, found in zip(label_map.segments, measure(label_map, volume), strict=True):
            mask = label_map.mask(segment)
            assert found.segment == segment.name
            assert found.voxels == mask.sum()
            assert found.volume_ml == pytest.approx(mask.sum() * label_map.geometry.voxel_volume_mm3 / 1000)
            if not mask.any():
                assert (found.surface_area_mm2, found.largest_diameter_mm, found.centroid_ras, found.channels) == (
                    0, 0, None, (),
                )  # fmt: skip
                continue
            centroid = label_map.geometry.index_to_ras(np.argwhere(mask)).mean(axis=0)
            assert found.centroid_ras == pytest.approx(centroid, abs=1e-6)
            for channel, values in zip(found.channels, volume.voxels[:, mask].astype(float), strict=True):
                assert channel.mean == pytest.approx(values.mean())
                assert channel.median == pytest.approx(np.median(values))
                assert (channel.min, channel.max) == (values.min(), values.max())

    @given(cases(), orientations())
    def test_the_order_of_the_axes_does_not_matter(self, case, orientation):
        label_map, volume = case
        turned = volume.oriented(orientation)
        for a, b in zip(
            measure(label_map, volume), measure(match_grid(label_map, turned.geometry), turned), strict=True
        ):
            assert (a.voxels, len(a.channels)) == (b.voxels, len(b.channels))
            assert a.surface_area_mm2 == pytest.approx(b.surface_area_mm2)
            assert a.largest_diameter_mm == pytest.approx(b.largest_diameter_mm)
            assert (a.centroid_ras is None) or a.centroid_ras == pytest.approx(b.centroid_ras, abs=1e-6)


def _oblique():
    """A grid 30 degrees off, anisotropic, with four segments of ellipsoid or noisy shape."""
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    geometry = Geometry.from_itk((20, 30, 40), spacing=(0.7, 0.9, 2.5), origin=(-12, 33, 101), direction=turn)
    index = np.indices(geometry.shape)
    ball = ((index - np.reshape([10, 15, 20], (3, 1, 1, 1))) ** 2 / np.reshape([16, 80, 120], (3, 1, 1, 1))).sum(0) < 1
    layer = np.random.default_rng(1).integers(0, 4, geometry.shape).astype(np.uint8)
    layer[ball] = 4
    volume = np.random.default_rng(2).integers(-1000, 1000, (1, *geometry.shape), dtype=np.int16)
    segments = tuple(Segment(f"s{n}", n) for n in range(1, 5))
    return LabelMap(layer[None], geometry, segments), Volume(volume, geometry)


class TestSimpleItk:
    label_map, volume = _oblique()
    found = measure(label_map, volume)

    def _image(self, array):
        image = sitk.GetImageFromArray(array)
        spacing, origin, direction = self.label_map.geometry.to_itk()
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(direction)
        return image

    def test_shape(self):
        theirs = sitk.LabelShapeStatisticsImageFilter()
        theirs.Execute(self._image(self.label_map.layers[0]))
        for n, ours in enumerate(self.found, start=1):
            x, y, z = theirs.GetCentroid(n)
            assert ours.voxels == theirs.GetNumberOfPixels(n)
            assert ours.volume_ml == pytest.approx(theirs.GetPhysicalSize(n) / 1000)
            assert ours.centroid_ras == pytest.approx((-x, -y, z))

    def test_the_surface_of_a_smooth_body(self):
        """SimpleITK counts crossings of lines (Crofton), which is free of the steps: ours is larger by these."""
        theirs = sitk.LabelShapeStatisticsImageFilter()
        theirs.ComputePerimeterOn()
        theirs.Execute(self._image(self.label_map.layers[0]))
        assert 1.0 < self.found[3].surface_area_mm2 / theirs.GetPerimeter(4) < 1.2

    def test_intensities(self):
        theirs = sitk.LabelIntensityStatisticsImageFilter()
        theirs.SetNumberOfBins(4096)
        theirs.Execute(self._image(self.label_map.layers[0]), self._image(self.volume.voxels[0]))
        for n, ours in enumerate(self.found, start=1):
            (channel,) = ours.channels
            assert channel.mean == pytest.approx(theirs.GetMean(n))
            assert channel.sd == pytest.approx(theirs.GetStandardDeviation(n))
            assert (channel.min, channel.max) == (theirs.GetMinimum(n), theirs.GetMaximum(n))
            assert channel.median == pytest.approx(theirs.GetMedian(n), abs=1)  # theirs is of a histogram


class TestTable:
    label_map = LabelMap(
        np.array([[[[1, 1, 0]]]], np.uint8),
        Geometry.from_spacing((1, 1, 3), (2, 2, 2)),
        (Segment('a, "b"', 1), Segment("empty", 2)),
    )
    volume = Volume(np.array([[[[1, 2, 9]]], [[[5, 5, 5]]]], np.int16), label_map.geometry)

    def test_rows_have_one_set_of_columns(self):
        full, empty = measurement_rows(measure(self.label_map, self.volume))
        assert list(full) == list(empty)
        assert list(full)[:5] == ["segment", "voxels", "volume [ml]", "surface area [mm2]", "largest diameter [mm]"]
        assert full["centroid R [mm]"] == 1.0
        assert (full["channel 1 mean"], full["channel 1 median"], full["channel 2 sd"]) == (1.5, 1.5, 0.0)
        assert full["channel 1 sd"] == pytest.approx(np.sqrt(0.5))
        assert empty["voxels"] == 0
        assert np.isnan([empty["centroid S [mm]"], empty["channel 2 max"]]).all()

    def test_csv_reads_back(self):
        rows = measurement_rows(measure(self.label_map, self.volume))
        full, empty = csv.DictReader(io.StringIO(rows_to_csv(rows)))
        assert full["segment"] == 'a, "b"'
        assert float(full["volume [ml]"]) == 0.016
        assert (empty["voxels"], empty["channel 1 mean"]) == ("0", "")

    def test_csv_holds_no_formulas_and_negative_numbers_stay_numbers(self):
        (row,) = csv.DictReader(io.StringIO(rows_to_csv([{"segment": "=cmd|' /C calc'!A0", "voxels": -3, "x": -0.5}])))
        assert row == {"segment": "'=cmd|' /C calc'!A0", "voxels": "-3", "x": "-0.5"}

    def test_without_a_volume_there_are_no_channels(self):
        (row, _) = measurement_rows(measure(self.label_map))
        assert not [name for name in row if name.startswith("channel")]

    def test_without_segments_there_is_a_header(self):
        assert rows_to_csv([]).startswith('"segment","voxels","volume [ml]"')

    def test_a_single_voxel_has_no_deviation(self):
        one = LabelMap(np.ones((1, 1, 1, 1), np.uint8), Geometry.from_spacing((1, 1, 1), (1, 1, 1)), (Segment("a", 1),))
        (found,) = measure(one, Volume(np.full((1, 1, 1, 1), 7, np.uint8), one.geometry))
        assert (found.channels[0].sd, found.channels[0].median) == (0, 7)

    def test_another_grid_is_refused(self):
        other = Volume(self.volume.voxels, Geometry.from_spacing((1, 1, 3), (2, 2, 1)))
        with pytest.raises(InvalidInputError, match="one grid"):
            measure(self.label_map, other)
