"""Running a model: the ladder, the estimate, what is written when something fails."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from batch_examples import write_head, write_model
from dicom_series import write_slices
from model_examples import TINY_UNET, model_spec
from pydicom import dcmread

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import Cancelled, InvalidInputError, ResourceError, VolumeFileError
from DeepSegmentLib.files.models import load_model, read_spec, save_model
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.networks.runtime import Model, SideBySide
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.preflight import estimate
from DeepSegmentLib.service.segment import SegmentRequest, segment_file, segment_volume


@pytest.fixture
def folder(tmp_path_factory):
    """A model folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-brain"
    save_model(folder, model_spec(), UNet(TINY_UNET), card="# tiny\n")
    return folder


def _volume(shape=(9, 10, 11)):
    voxels = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    return Volume(voxels, Geometry.from_spacing(shape, (1, 1, 1)), "noise")


class _FullDevice:
    """A network on a device whose memory is full after some patches."""

    def __init__(self, network, good):
        self.network, self.left = network, good
        self.device, self.head = network.device, network.head

    def __call__(self, patches):
        self.left -= 1
        if self.left < 0:
            raise ResourceError("out of memory on cuda:0.")
        return self.network(patches)


@pytest.mark.parametrize("good", [0, 2])
def test_a_full_device_is_left_for_the_cpu_and_the_run_says_so(folder, good):
    def load(path, device="auto"):
        model = load_model(path, "cpu")
        return model if device == "cpu" else Model(model.spec, [_FullDevice(model.networks[0], good)], "cuda:0")

    run = segment_volume(_volume(), str(folder), device="cuda", load=load)
    straight = segment_volume(_volume(), str(folder), device="cpu")
    assert run.device == "cpu"
    assert "Continued on the CPU" in run.notes[0]
    assert run.notes[1:] == straight.notes
    assert np.array_equal(run.prediction.label_map.layers, straight.prediction.label_map.layers)


def test_several_devices_share_the_tiles_and_a_full_one_is_left_out(folder):
    def load(path, device="auto"):
        model = load_model(path, "cpu")
        copies = [model.networks[0], _FullDevice(model.networks[0], 0), load_model(path, "cpu").networks[0]]
        return Model(model.spec, [SideBySide(copies)], "cuda:0, cuda:1, cuda:2")

    run = segment_volume(_volume(), str(folder), device="cuda", load=load)
    straight = segment_volume(_volume(), str(folder), device="cpu")
    assert run.device == "cuda:0, cuda:1, cuda:2"
    assert run.notes[0] == "out of memory on cuda:0.; continued without cpu"
    assert run.passes == straight.passes
    assert min(run.prediction.seconds.values()) >= 0
    assert np.array_equal(run.prediction.label_map.layers, straight.prediction.label_map.layers)


def test_doubts_are_told_before_and_after_and_stop_nothing(folder):
    events = []
    empty = Volume(np.zeros((1, 9, 10, 11), np.float32), _volume().geometry, modality="CT")
    run = segment_volume(empty, str(folder), device="cpu", on_progress=events.append)
    assert [note.split(",")[0] for note in run.notes] == [
        "The volume is CT by its DICOM header",
        "The volume holds hardly anything: 100.00% of its voxels are 0.",
        "Look at the result before you use it. tiny-brain is for: Two structures.",
    ]
    stages = [event.stage for event in events]
    assert stages.index("this model may not suit the volume, see the notes") < stages.index("predict")


def test_a_full_cpu_is_an_error(folder):
    def load(path, device="auto"):
        model = load_model(path, "cpu")
        return Model(model.spec, [_FullDevice(model.networks[0], 0)])

    with pytest.raises(ResourceError, match="out of memory"):
        segment_volume(_volume(), str(folder), device="cpu", load=load)


class _SmallMemory(_FullDevice):
    """A network that fits into memory for small patches only."""

    def __call__(self, patches):
        if patches.numel() > self.left:
            raise ResourceError("out of memory on cpu.")
        return self.network(patches)


def test_patches_get_smaller_on_a_full_cpu_with_the_result_of_small_patches(folder, tmp_path):
    def load(path, device="auto"):
        model = load_model(path, "cpu")
        return Model(model.spec, [_SmallMemory(model.networks[0], 4**3)])

    small = tmp_path / "small"
    save_model(small, model_spec(patch_shape=(4, 4, 4)), load_model(folder, "cpu").networks[0].module, card="")
    run = segment_volume(_volume(), str(folder), device="cpu", load=load)
    assert run.notes[0] == (
        "out of memory on cpu. Patches were made smaller (4 x 4 x 4 voxels) to fit into memory; labels may differ a "
        "little."
    )
    expected = segment_volume(_volume(), str(small), device="cpu").prediction.label_map
    np.testing.assert_array_equal(run.prediction.label_map.layers, expected.layers)


def test_cancelling_at_any_moment_leaves_nothing(tmp_path, folder):
    write_volume(_volume(), tmp_path / "head.nrrd")
    request = SegmentRequest(tmp_path / "head.nrrd", tmp_path / "a.seg.nrrd", str(folder), report=tmp_path / "a.json")
    events = []
    segment_file(request, events.append)
    for path in (request.target, request.report):
        path.unlink()
    for last in range(len(events) - 2):
        seen = []

        def stop(event, seen=seen, last=last):
            seen.append(event)
            if len(seen) > last:
                raise Cancelled("stopped by the user")

        with pytest.raises(Cancelled):
            segment_file(request, stop)
        assert [path.name for path in tmp_path.iterdir()] == ["head.nrrd"]


def test_an_unwritable_target_is_refused_before_the_work(tmp_path, folder):
    write_volume(_volume(), tmp_path / "head.nrrd")
    request = SegmentRequest(tmp_path / "head.nrrd", tmp_path / "head.nrrd" / "a.seg.nrrd", str(folder))
    with pytest.raises(VolumeFileError, match="would have to be a folder"):
        segment_file(request, lambda event: pytest.fail(f"work was begun: {event.stage}"))


def test_one_name_for_two_files_is_refused(tmp_path, folder):
    write_volume(_volume(), tmp_path / "head.nrrd")
    request = SegmentRequest(tmp_path / "head.nrrd", tmp_path / "a.nrrd", str(folder), preview=tmp_path / "a.nrrd")
    with pytest.raises(InvalidInputError, match="asked for twice"):
        segment_file(request)


def test_the_estimate_counts_the_tiles_that_are_run(folder):
    for shape, mirror in (((9, 10, 11), False), ((30, 20, 16), True), ((1, 1, 1), False)):
        settings = PredictSettings(mirror=mirror)
        volume = _volume(shape)
        needs = estimate(read_spec(folder), volume.geometry, settings)
        run = segment_volume(volume, str(folder), device="cpu", settings=settings)
        assert needs.tiles == run.prediction.tiles
        assert needs.memory_bytes > 100 << 20


def test_the_estimate_grows_with_what_is_asked_for(folder):
    geometry = Geometry.from_spacing((100, 100, 100), (1, 1, 1))
    plain = estimate(read_spec(folder), geometry, PredictSettings()).memory_bytes
    more = estimate(
        read_spec(folder), geometry, PredictSettings(probabilities=("left",) * 4, uncertainty=True)
    ).memory_bytes
    larger = estimate(
        read_spec(folder), Geometry.from_spacing((200, 100, 100), (1, 1, 1)), PredictSettings()
    ).memory_bytes
    assert plain < more
    assert plain < larger


def test_a_model_of_several_channels_takes_several_files(tmp_path):
    network = replace(TINY_UNET, in_channels=2)
    channels = tuple(Channel(name, "MR") for name in ("T1w", "FLAIR"))
    torch.manual_seed(0)
    save_model(tmp_path / "two", model_spec(network=network, channels=channels), UNet(network), card="")
    one, other = _volume(), Volume(_volume().voxels[:, ::-1], _volume().geometry)
    write_volume(one, tmp_path / "t1.nrrd")
    write_volume(other, tmp_path / "flair.nrrd")
    request = SegmentRequest(
        tmp_path / "t1.nrrd", tmp_path / "a.nii.gz", str(tmp_path / "two"), channels=(tmp_path / "flair.nrrd",)
    )
    segment_file(request)
    both = Volume(np.concatenate([one.voxels, other.voxels]), one.geometry)
    straight = segment_volume(both, str(tmp_path / "two"), device="cpu").prediction.label_map
    assert np.array_equal(read_labelmap(request.target).layers, straight.layers)
    with pytest.raises(InvalidInputError, match=r"2 channels \(T1w, FLAIR\)"):
        segment_file(replace(request, channels=(), replace=True))
    write_volume(_volume((3, 4, 5)), tmp_path / "small.nrrd")
    with pytest.raises(InvalidInputError, match="not on the grid"):
        segment_file(replace(request, channels=(tmp_path / "small.nrrd",), replace=True))


def test_the_report_tells_what_reading_changed(tmp_path, folder):
    """Here the slices of a tilted gantry, straightened."""
    (tmp_path / "series").mkdir()
    for n, path in enumerate(write_slices(tmp_path / "series", slices=6, axes=(1, 0, 0, 0, 1, 0))):
        document = dcmread(path)
        document.ImagePositionPatient = [0, 1.0 * n, 2.5 * n]
        document.save_as(path)
    report = segment_file(SegmentRequest(tmp_path / "series", tmp_path / "a.seg.nrrd", str(folder)))
    assert "lean by 21.8 degrees (gantry tilt)" in report["notes"][0]
    assert read_labelmap(tmp_path / "a.seg.nrrd").geometry.shape == (6, 16, 8)


def test_what_came_up_during_the_run_is_not_replaced(tmp_path):
    head, folder = write_head(tmp_path / "in" / "head.nii.gz"), tmp_path / "out"
    before = head.read_bytes()

    def to_the_input(_):
        if not folder.exists():
            folder.symlink_to(head.parent)

    request = SegmentRequest(head, folder / "head.nii.gz", str(write_model(tmp_path)), "cpu", replace=True)
    with pytest.raises(InvalidInputError, match="is an input"):
        segment_file(request, to_the_input)
    assert head.read_bytes() == before
