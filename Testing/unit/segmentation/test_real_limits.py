"""Where memory really runs out: under a limit of the system, in a process of its own, each step down keeps its promise.

Which limit leads to which step depends on the machine; what must come of it does not. The limits go from hardly
anything to more than enough.
"""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_examples import model_spec

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.files.models import load_model, save_model
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command import main as command
from DeepSegmentLib.hosts.faults import as_error
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import with_halved_patches
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.segmentation.on_device import batches
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.segmentation.predict import predict
from DeepSegmentLib.service import preflight
from DeepSegmentLib.service.segment import segment_volume

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of addresses that is kept")

NETWORK = UNetSpec(1, 3, (128, 128), ((1, 1, 1),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,))
LIMITS_MB = 1, 30, 60, 100, 160, 250, 2000
SMALLER, FEWER = "Patches were made smaller", "at once from here on"
AT_ONCE, APART = 4, PredictSettings(overlap=0)
PATIENCE_S = 60.0
# Where malloc gives nothing, OpenBLAS ends the process, others write to address 0: nobody can say anything then. What
# is said under the other limits is looked at.
ENDED_BY_LIBRARIES = 1, -signal.SIGSEGV, -signal.SIGABRT


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose passes take a hundred megabytes and hardly any time."""
    torch.manual_seed(0)
    spec = model_spec(patch_shape=(32, 32, 32), network=NETWORK)
    folder = tmp_path_factory.mktemp("models") / spec.name
    save_model(folder, spec, UNet(NETWORK), card="# Random weights\n")
    return folder


@pytest.fixture(scope="module")
def expected(model):
    """Labels with patches as they are, halved once, twice and so on."""
    loaded = load_model(model, "cpu")
    specs = [with_halved_patches(loaded.spec, n) for n in range(4)]
    return [predict(volume(), spec, loaded.networks, settings=APART).label_map.layers for spec in specs]


def volume():
    voxels = np.random.default_rng(0).normal(size=(1, 64, 64, 64)).astype(np.float32)
    return Volume(voxels, Geometry.from_spacing((64, 64, 64), (1, 1, 1)))


def under_each_limit(work, *arguments):
    """What becomes of some work under each limit, in a process each, forked from one that has imported all of this."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    for limit in LIMITS_MB:
        ours, its = context.Pipe()
        process = context.Process(target=_send_back, args=(its, work, limit, *arguments))
        process.start()
        its.close()
        assert ours.poll(PATIENCE_S), f"no answer under {limit} MB"
        try:
            yield limit, ours.recv()
        except EOFError:
            process.join()
            assert process.exitcode in ENDED_BY_LIBRARIES, f"exit code {process.exitcode} under {limit} MB"
        process.join()


def _send_back(connection, work, *arguments):
    np.ones((64, 64), np.float32) @ np.ones(
        (64, 64), np.float32
    )  # OpenBLAS ends a process that has no room for it then
    connection.send(work(*arguments))


class Limit:
    """While the block lasts, this process may take so much more than it has."""

    def __init__(self, megabytes):
        import resource  # not on Windows

        self._set, self._what = resource.setrlimit, resource.RLIMIT_AS
        self._before, self._more = resource.getrlimit(self._what), megabytes * 1_000_000

    def __enter__(self):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        self._set(self._what, (used + self._more, self._before[1]))

    def __exit__(self, *_):
        self._set(self._what, self._before)


def segmented(limit, folder, foreseen, at_once):
    """Labels and notes, or None and why there are none."""
    torch.set_num_threads(1)  # whose threads end the process where there is no room for them
    loaded, head = load_model(folder, "cpu"), volume()
    if not foreseen:
        preflight._free_bytes = lambda: None
    batches._batch_size = lambda *_: at_once
    with Limit(limit):
        try:
            run = segment_volume(head, str(folder), device="cpu", settings=APART, load=lambda *_: loaded)
        except Exception as error:  # in the words that every shell has for it
            told = as_error(error, "segment")
            if not isinstance(told, ResourceError):
                raise
            return None, str(told)
    return run.prediction.label_map.layers, " ".join(run.notes)


def halvings(notes):
    return next((n for n in range(3, 0, -1) if f"({32 >> n} x {32 >> n} x {32 >> n} voxels)" in notes), 0)


@pytest.mark.parametrize(("foreseen", "at_once"), [(True, 1), (False, 1), (False, AT_ONCE)])
def test_a_run_gives_the_labels_that_its_notes_promise_or_says_that_memory_is_short(model, expected, foreseen, at_once):
    found = []
    for limit, (labels, words) in under_each_limit(segmented, model, foreseen, at_once):
        found.append((labels, words))
        if labels is None:
            assert "memory" in words, limit
        else:
            assert np.array_equal(labels, expected[halvings(words)]), limit
    assert found[-1][0] is not None
    assert SMALLER not in found[-1][1]
    assert FEWER not in found[-1][1]
    assert found[0][0] is None or len(found) < len(LIMITS_MB)
    steps = " ".join(words for labels, words in found if labels is not None)
    assert SMALLER in steps or len(found) < len(LIMITS_MB)
    assert FEWER not in steps or at_once > 1


def commanded(limit, folder, source, target):
    """The exit code of the command, and what is in the folder of its result."""
    torch.set_num_threads(1)
    load_model(folder, "cpu")
    preflight._free_bytes = lambda: None
    with Limit(limit):
        code = command.main(["segment", str(source), str(target), "--model", str(folder), "--overlap", "0", "--quiet"])
    return code, sorted(path.name for path in target.parent.iterdir())


def test_the_command_ends_with_its_exit_code_and_leaves_nothing_half_written(model, tmp_path):
    source = tmp_path / "in" / "head.nii.gz"
    source.parent.mkdir()
    write_volume(volume(), source)
    codes = set()
    out = tmp_path / "out"
    out.mkdir()
    for _, (code, files) in under_each_limit(commanded, model, source, out / "head.seg.nrrd"):
        codes.add(code)
        assert files == ([] if code else ["head.seg.nrrd"])
        (out / "head.seg.nrrd").unlink(missing_ok=True)
    assert 0 in codes <= {0, ResourceError.exit_code}
