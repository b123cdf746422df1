"""Several devices give what one gives, in the same order; what goes wrong on one of them is seen."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, ArrayNetwork

from DeepSegmentLib.errors import Cancelled, ResourceError
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.runtime import Ensemble, SideBySide, StoredNetwork, TorchNetwork, copies_of, engine_of
from DeepSegmentLib.segmentation.on_device import batches
from DeepSegmentLib.segmentation.on_device.copies import Copies
from DeepSegmentLib.segmentation.on_device.run_tiles import blended_planes
from DeepSegmentLib.segmentation.tiles import TileSettings

SETTINGS = TileSettings((4, 4, 6))


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


def unet():
    torch.manual_seed(0)
    return TorchNetwork(UNet(TINY_UNET), TINY_UNET, torch.device("cpu"))


def run(voxels, network, settings=SETTINGS, on_tile=lambda *_: None, on_retreat=lambda _: None):
    planes = blended_planes(voxels, network, settings, on_tile, on_retreat)
    return torch.stack([plane for _, plane in planes])


def our_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tiles on")]


class Full:
    """A device without room for more than some patches, which sees them one after the other."""

    device, head = torch.device("cpu"), None

    def __init__(self, most=0):
        self.most, self.seen, self._busy = most, [], threading.Lock()

    def __call__(self, patches):
        assert not self._busy.locked(), "two threads ask one copy"
        with self._busy:
            if len(patches) > self.most:
                raise ResourceError("out of memory on cpu")
            self.seen.append(len(patches))
            return torch.cat([patches, patches**2], dim=1)


@given(st.tuples(*[st.integers(1, 12)] * 3), st.integers(1, 3), st.sampled_from([(), (2,), (0, 1)]), st.integers(1, 3))
def test_several_devices_give_what_one_gives_to_the_last_bit(shape, devices, mirror_axes, size):
    voxels, settings, told = noise(shape), TileSettings((4, 4, 6), mirror_axes=mirror_axes), []
    voxels[:, shape[0] // 2 :] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_batch_size", lambda *_: size)
        alone = run(voxels, unet(), settings)
        together = run(voxels, SideBySide([unet() for _ in range(devices)]), settings, lambda *each: told.append(each))
    assert torch.equal(alone, together)
    total = settings.count(shape)
    assert told == [(n + 1, total) for n in range(total)]
    assert not our_threads()


def test_all_devices_work_at_the_same_time():
    """Each waits for the others before it answers."""
    meeting = threading.Barrier(3, timeout=20)

    def meet(patches):
        meeting.wait()
        return patches

    voxels, settings = noise((4, 4, 20)), TileSettings((4, 4, 4))
    assert settings.count((4, 4, 20)) == 9
    alone = run(voxels, ArrayNetwork(lambda patches: patches), settings)
    together = run(voxels, SideBySide([ArrayNetwork(meet) for _ in range(3)]), settings)
    assert torch.equal(alone, together)


def test_answers_come_in_the_order_of_the_questions_and_the_idle_one_is_asked():
    slow, fast, done = ArrayNetwork(None), ArrayNetwork(None), threading.Event()

    def work(copy, number):
        if copy is slow:
            assert done.wait(20)
        return number, copy

    with Copies([slow, fast], work) as copies:
        assert copies.most_asked == 3
        first, second = copies.ask(1)[1], copies.ask(2)[1]
        assert second() == (2, fast)
        copy, third = copies.ask(3)
        assert copy is fast
        done.set()
        assert [first(), third()] == [(1, slow), (3, fast)]
    assert not our_threads()


@pytest.mark.parametrize(("device", "at_once"), [("cpu", 1), ("mps", 1), ("cuda:1", 2)])
def test_a_single_card_works_while_the_next_patches_are_cut(device, at_once):
    """A processor does not: it would get in its own way."""
    network = ArrayNetwork(None)
    network.device = torch.device(device)
    with Copies([network], lambda copy, n: (threading.current_thread() is threading.main_thread(), n)) as copies:
        assert copies.most_asked == at_once
        assert [copies.ask(n)[1]() for n in range(3)] == [(at_once == 1, n) for n in range(3)]
        assert not copies.leave_out(network)
    assert not our_threads()


@pytest.mark.parametrize("devices", [1, 3])
def test_an_error_of_one_device_ends_the_run(devices):
    def broken(patches):
        raise ZeroDivisionError

    network = SideBySide([ArrayNetwork(broken), *(Full(9) for _ in range(devices - 1))])
    with pytest.raises(ZeroDivisionError):
        run(noise((9, 9, 9)), network)
    assert not our_threads()


@pytest.mark.parametrize("size", [1, 4])
def test_a_device_without_room_for_one_patch_is_left_out_and_it_is_said_once(size, monkeypatch):
    monkeypatch.setattr(batches, "_batch_size", lambda *_: size)
    notes, network = [], SideBySide([Full(9), Full(0), Full(0)])
    found = run(noise((9, 9, 20)), network, on_retreat=notes.append)
    assert torch.equal(found, run(noise((9, 9, 20)), Full(9)))
    assert [note for note in notes if "continued without" in note] == [
        "out of memory on cpu; continued without cpu"
    ] * 2
    assert len(notes) == 2 + {1: 0, 4: 2}[size]
    assert not our_threads()


def test_batches_get_smaller_for_all_devices_before_one_is_left_out(monkeypatch):
    monkeypatch.setattr(batches, "_batch_size", lambda *_: 8)
    notes, network = [], SideBySide([Full(8), Full(2)])
    found = run(noise((9, 9, 20)), network, on_retreat=notes.append)
    assert torch.equal(found, run(noise((9, 9, 20)), Full(9)))
    assert [note.split("; ")[1] for note in notes] == ["4 at once from here on", "2 at once from here on"]
    assert max(network.copies[1].seen) <= 2


@pytest.mark.parametrize("devices", [1, 2, 3])
def test_no_device_with_room_for_one_patch_is_an_error(devices):
    with pytest.raises(ResourceError, match="out of memory on cpu"):
        run(noise((9, 9, 9)), SideBySide([Full(0) for _ in range(devices)]))
    assert not our_threads()


def test_cancelling_ends_all_threads_and_leaves_no_memory_behind():
    network, done = SideBySide([unet() for _ in range(3)]), []
    copies = [weakref.ref(copy) for copy in network.copies]

    def cancel(n, _):
        done.append(n)
        if n == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(noise((9, 9, 20)), network, on_tile=cancel)
    assert done == [1, 2, 3]
    assert not our_threads()
    del network
    gc.collect()
    assert not any(copy() for copy in copies)


def test_planes_that_nobody_wants_any_more_end_all_threads():
    planes = blended_planes(noise((9, 9, 20)), SideBySide([unet(), unet()]), SETTINGS, lambda *_: None)
    next(planes)
    assert our_threads()
    planes.close()
    assert not our_threads()


def test_the_copies_of_networks_of_all_kinds():
    one, other = unet(), unet()
    both = SideBySide([Ensemble([one, one]), Ensemble([other, other])])
    assert copies_of(both) == both.copies == copies_of(StoredNetwork(lambda: both))
    assert copies_of(one) == copies_of(StoredNetwork(lambda: one)) == (one,)
    assert engine_of(both) == "torch float32"
    assert both.head is both.copies[0].head
    patches = torch.from_numpy(noise((4, 4, 4)))[None]
    assert torch.equal(both(patches), both.copies[0](patches))
