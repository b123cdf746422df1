"""TorchScript archives of strangers: what is in them is named, and nothing of it runs."""

import io
import pickle
import warnings
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
import torch
from foreign_models.graphs import Small, save_torchscript
from torch import nn

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.graphs.reading import is_graph, read_raw_graph
from DeepSegmentLib.files.models.graphs.torchscript_archive import check_torchscript, is_torchscript


class FromFile(nn.Module):
    """Makes a file of its own."""

    def __init__(self, path):
        super().__init__()
        self.path: str = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file(self.path, True, 4).sum()


class Saves(FromFile):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.path)
        return x


class Hides(FromFile):
    """In a branch of a loop."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for n in range(3):
            if n == 2:
                torch.save(x, self.path)
        return x


class Seeds(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return x


class Forks(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.jit.wait(torch.jit.fork(torch.relu, x))


class RunsWhenOpened(nn.Module):
    """Its __setstate__ is called by torch.jit.load."""

    def __init__(self, path):
        super().__init__()
        self.path: str = path

    @torch.jit.export
    def __getstate__(self):
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]):
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture
def good(tmp_path):
    return save_torchscript(tmp_path / "good.ts", Small())


def changed(path, edit):
    """The archive with its members (name to content) changed by `edit`."""
    with ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    edit(members)
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def root_of(path):
    with ZipFile(path) as archive:
        return archive.namelist()[0].partition("/")[0]


def test_a_good_one_opens(good):
    assert is_torchscript(good)
    assert is_graph(good.rename(good.with_suffix(".pt")))
    assert read_raw_graph(good.with_suffix(".pt"), "cpu")(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)


def test_a_scripted_one_with_branches_opens(tmp_path):
    network = nn.Sequential(nn.Conv3d(1, 2, 1), nn.BatchNorm3d(2), nn.InstanceNorm3d(2), nn.Dropout3d(), nn.Softmax(1))
    path = save_torchscript(tmp_path / "scripted.ts", network, script=True)
    assert read_raw_graph(path, "cpu")(torch.zeros(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)


@pytest.mark.parametrize("kind", [FromFile, Saves, Hides])
def test_files_are_not_touched(kind, tmp_path):
    canary = tmp_path / "canary"
    path = save_torchscript(tmp_path / "hostile.ts", kind(str(canary)), script=True)
    with pytest.raises(ModelError, match=r"from_file|aten::save"):
        read_raw_graph(path, "cpu")
    assert not canary.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(str(path))(torch.zeros(1))
    assert canary.exists()  # so it would have been


def test_nothing_runs_while_it_is_opened(tmp_path):
    canary = tmp_path / "canary"
    path = save_torchscript(tmp_path / "hostile.ts", RunsWhenOpened(str(canary)), script=True)
    canary.unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"__[gs]etstate__"):
        read_raw_graph(path, "cpu")
    assert not canary.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(str(path))
    assert canary.exists()  # so it would have been


@pytest.mark.parametrize(("kind", "named"), [(Seeds, "aten::manual_seed"), (Forks, "prim::fork|aten::wait")])
def test_what_no_network_needs_is_refused_by_name(kind, named, tmp_path):
    path = save_torchscript(tmp_path / "odd.ts", kind(), script=True)
    with pytest.raises(ModelError, match=named):
        read_raw_graph(path, "cpu")


class _Calls:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl"])
def test_a_pickle_in_it_calls_nothing(member, good, tmp_path):
    canary = tmp_path / "canary"
    root = root_of(good)
    content = pickle.dumps(_Calls(str(canary)), protocol=2)
    changed(good, lambda members: members.update({f"{root}/{member}": content}))
    with pytest.raises(ModelError, match=r"io.open|__builtin__.open|_io.open"):
        read_raw_graph(good, "cpu")
    assert not canary.exists()


def test_classes_of_other_libraries_are_refused(good):
    root = root_of(good)
    hostile = pickle.dumps(0, protocol=2)[:-1] + b"c__torch__.torch.classes.dist_c10d\nStore\n."
    changed(good, lambda members: members.update({f"{root}/data.pkl": hostile}))
    with pytest.raises(ModelError, match=r"torch.classes.dist_c10d"):
        check_torchscript(good)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/../evil", "evil"),
        ("/model.json", "model.json"),
        ("/bytecode.pkl", "bytecode.pkl"),
        ("2/version", "two folders"),
    ],
)
def test_members_that_do_not_belong_are_named(name, message, good):
    root = root_of(good)
    changed(good, lambda members: members.update({root + name: b"x"}))
    with pytest.raises(ModelError, match=message):
        check_torchscript(good)


def test_two_members_of_one_name_are_refused(good):
    root = root_of(good)
    with ZipFile(good, "a") as archive:
        archive.writestr(f"{root}/CONSTANTS.pkl".lower().replace("constants", "CONSTANTS"), b"")
    with pytest.raises(ModelError, match=r"CONSTANTS.pkl|two members"):
        check_torchscript(good)


def test_what_follows_the_archive_is_refused(good):
    good.write_bytes(good.read_bytes() + b"PK\x05\x06" + bytes(18) + b"more")
    with pytest.raises(ModelError, match="TorchScript archive"):
        check_torchscript(good)


def test_a_bomb_is_refused(good):
    root = root_of(good)
    with (
        ZipFile(good, "a", ZIP_DEFLATED) as archive,
        archive.open(f"{root}/code/x.py", "w", force_zip64=True) as member,
    ):
        for _ in range(65):
            member.write(bytes(1 << 20))
    with pytest.raises(ModelError, match=r"x\.py has \d+ bytes"):
        check_torchscript(good)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_damaged_one_is_refused(part, good):
    content = good.read_bytes()
    good.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ModelError, match="TorchScript"):
        read_raw_graph(good, "cpu")


def test_a_checkpoint_is_no_graph(tmp_path):
    written = io.BytesIO()
    torch.save({"w": torch.zeros(1)}, written)
    (tmp_path / "w.pt").write_bytes(written.getvalue())
    assert not is_graph(tmp_path / "w.pt")
