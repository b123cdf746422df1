"""The tests that a kind of model inherits; a subclass makes a small source of its kind and says what damages it.

After zarr-python's `testing/store.py`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZipFile

import numpy as np
import pytest
from model_examples import ArrayNetwork

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import Cancelled, DeepSegmentError, ModelError
from DeepSegmentLib.files.models import SPEC_FILE, load_model, read_spec, verify_model
from DeepSegmentLib.files.models.importers import Words, importer_of
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json
from DeepSegmentLib.networks.runtime import on_array
from DeepSegmentLib.segmentation.predict import predict
from DeepSegmentLib.service.catalogue import add_model, list_models, remove_model
from DeepSegmentLib.service.segment import segment_volume

from .peak_memory import more_bytes_a_voxel

_TURN = 0.5  # radians
_OBLIQUE = np.array([[1, 0, 0], [0, np.cos(_TURN), -np.sin(_TURN)], [0, np.sin(_TURN), np.cos(_TURN)]])
_WIDE = np.diag([1.0, 1.0, 1.0])


def _grid(shape: Sequence[int], spacing: Sequence[float], turn: np.ndarray = _WIDE) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = turn @ Geometry.from_spacing(shape, spacing).affine[:3, :3]
    affine[:3, 3] = (-7, 11, 30)
    return Geometry(tuple(shape), affine)


ODD_GRIDS = {
    "as it should be": _grid((20, 18, 22), (1, 1, 1)),
    "oblique": _grid((18, 20, 16), (1, 1.2, 0.9), _OBLIQUE),
    "flipped": _grid((18, 16, 20), (1, 1, 1), np.diag([-1.0, 1.0, -1.0])),
    "turned": _grid((16, 20, 18), (1, 1, 1), np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0.0]])),
    "thick planes": _grid((6, 24, 24), (5, 0.8, 0.8)),
    "one plane": _grid((1, 20, 20), (1, 1, 1)),
    "one row": _grid((12, 1, 14), (1, 1, 1)),
    "smaller than a patch": _grid((5, 6, 7), (1, 1, 1)),
    "one voxel": _grid((1, 1, 1), (1, 1, 1)),
}


@dataclass(frozen=True)
class Damage:
    """A source that must be refused.

    Attributes:
        spoil: Changes a copy of the sources in place.
        message: What the refusal must say, as a regular expression.
    """

    spoil: Callable[[Sequence[Path]], None]
    message: str


def cut(pattern: str, message: str = "") -> Damage:
    """The first file of this pattern loses its second half."""

    def spoil(sources: Sequence[Path]) -> None:
        path = file_of(sources, pattern)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return Damage(spoil, message or pattern.rpartition("/")[2])


def lost(pattern: str, message: str = "") -> Damage:
    """The first file of this pattern is not there."""
    return Damage(lambda sources: file_of(sources, pattern).unlink(), message or pattern.rpartition("/")[2])


def edited(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Sequence[Path]], None]:
    """What changes a JSON file of the source."""

    def spoil(sources: Sequence[Path]) -> None:
        path = file_of(sources, name)
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return spoil


def without(name: str, key: str) -> Callable[[Sequence[Path]], None]:
    """What takes a key out of a JSON file of the source."""
    return edited(name, lambda document: document.pop(key))


def file_of(sources: Sequence[Path], pattern: str) -> Path:
    """The first file in the sources, or beside them, that has this pattern."""
    folders = [source if source.is_dir() else source.parent for source in sources]
    return next(path for folder in folders for path in sorted(folder.rglob(pattern)))


def noise(geometry: Geometry, channels: int, seed: int = 0) -> Volume:
    """A volume of numbers that no network finds empty: intensities of CT, of which MR models see the order only."""
    voxels = np.random.default_rng(seed).normal(60, 250, (channels, *geometry.shape)).astype(np.float32)
    return Volume(voxels, geometry)


def tree(folder: Path) -> dict[str, str]:
    """What is in a folder and below it, with digests; lock and index of the catalogue stay by design."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
        if not is_of_the_catalogue(path)
    }


def is_of_the_catalogue(path: Path) -> bool:
    """Whether a file is the catalogue's own, and no model's."""
    return path.name.endswith(".lock") or path.name == ".index.json"


@dataclass(frozen=True)
class Added:
    """A model in a catalogue of its own.

    Attributes:
        sources: What was added.
        catalogue: The user's models.
        name: Of the model.
    """

    sources: tuple[Path, ...]
    catalogue: Path
    name: str

    @property
    def folder(self) -> Path:
        """Of the model."""
        return self.catalogue / self.name


class ModelSuite:
    """Inherit, and give `make` and `damages`; the rest is here."""

    words: ClassVar[Words] = Words(name="conforming")
    options: ClassVar[tuple[str, ...]] = ("--name", "conforming")
    """The words, as `deepsegment models add` takes them."""
    kind: ClassVar[str]
    """What the importer calls it."""
    damages: ClassVar[Mapping[str, Damage]] = {}

    @staticmethod
    def make(folder: Path) -> Sequence[Path]:
        """Make a small source in an empty folder; the same bytes each time."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def sources(cls, tmp_path_factory) -> tuple[Path, ...]:
        return tuple(cls.make(tmp_path_factory.mktemp("source")))

    @pytest.fixture(scope="class")
    @classmethod
    def added(cls, sources, tmp_path_factory) -> Added:
        catalogue = tmp_path_factory.mktemp("catalogue")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DEEPSEGMENT_MODELS", str(catalogue))
            entry = add_model(sources, cls.words)
        return Added(sources, catalogue, entry.name)

    @pytest.fixture
    def model(self, added, monkeypatch) -> Added:
        """The model in its catalogue, to look at and not to change."""
        monkeypatch.setenv("DEEPSEGMENT_MODELS", str(added.catalogue))
        return added

    @pytest.fixture
    def empty(self, tmp_path, monkeypatch) -> Path:
        """A catalogue of no models."""
        (tmp_path / "models").mkdir()
        monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
        return tmp_path / "models"

    @pytest.fixture
    def copies(self, sources, tmp_path) -> tuple[Path, ...]:
        """The sources, to change."""
        return tuple(_copy(source, tmp_path / "copies" / source.name) for source in sources)

    # Opens ----------------------------------------------------------------------------------------------------------

    def test_the_door_knows_its_kind(self, sources):
        assert importer_of(sources).kind == self.kind

    def test_it_is_in_the_list_and_whole(self, model):
        (entry,) = [each for each in list_models() if not each.bundled]
        assert (entry.name, entry.damage) == ("conforming", "")
        assert verify_model(entry.path) == read_spec(entry.path)

    def test_it_says_where_it_came_from(self, model):
        assert read_spec(model.folder).provenance

    def test_only_a_model_folder_is_left_of_it(self, model):
        """Nothing after the door knows where it came from; a graph stays a graph."""
        spec = read_spec(model.folder)
        files = {path.name for path in model.folder.iterdir()}
        assert {SPEC_FILE, *(each.file for each in spec.weights)} <= files
        assert files <= {SPEC_FILE, "MODEL_CARD.md", "LICENSE", *(each.file for each in spec.weights)}
        assert [path.name for path in model.catalogue.iterdir() if not is_of_the_catalogue(path)] == [model.name]

    def test_its_spec_survives_json(self, model):
        spec = read_spec(model.folder)
        assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec

    def test_a_zip_of_it_is_the_same_model(self, sources, model, empty):
        if any(source.is_file() for source in sources):
            pytest.skip("this kind is a file, and is added as it is")
        archive = empty.parent / f"{sources[0].name}.zip"
        with ZipFile(archive, "w") as written:
            for path in sorted(path for source in sources for path in source.rglob("*")):
                written.write(path, path.relative_to(sources[0].parent))
        entry = add_model([archive], self.words)
        assert _weights(entry.path) == _weights(model.folder)
        assert [path.name for path in empty.iterdir() if not is_of_the_catalogue(path)] == [entry.name]

    # Runs -----------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("grid", ODD_GRIDS)
    def test_any_grid_gets_labels(self, model, grid):
        spec = read_spec(model.folder)
        volume = noise(ODD_GRIDS[grid], len(spec.channels))
        labels = segment_volume(volume, model.name, device="cpu").prediction.label_map
        assert labels.geometry == volume.geometry
        assert [segment.name for segment in labels.segments] == [segment.name for segment in spec.segments]
        values = {0, *(segment.value for segment in spec.segments)}
        assert {*np.unique(labels.layers).tolist()} <= values

    def test_the_answer_is_the_same_twice(self, model):
        volume = noise(ODD_GRIDS["as it should be"], len(read_spec(model.folder).channels))
        first, second = (segment_volume(volume, model.name, device="cpu").prediction.label_map for _ in range(2))
        np.testing.assert_array_equal(first.layers, second.layers)

    def test_a_stop_is_heeded_between_two_tiles(self, model):
        spec = read_spec(model.folder)
        loaded, patches = load_model(model.folder, "cpu"), []

        def counted(network):
            return ArrayNetwork(lambda batch: patches.append(len(batch)) or on_array(network, batch))

        def stop(event):
            if event.stage == "predict":
                raise Cancelled("stopped by the user")

        volume = noise(_grid((48, 48, 48), (1, 1, 1)), len(spec.channels))
        with pytest.raises(Cancelled):
            predict(volume, spec, [counted(each) for each in loaded.networks], on_progress=stop)
        assert len(patches) == 1

    def test_memory_does_not_grow_with_the_classes(self, model):
        """More of a volume costs what volumes and labels do, and not an array of all classes over it."""
        spec = read_spec(model.folder)
        classes, channels = max(stage.network.out_channels for stage in spec.stages), len(spec.channels)
        assert more_bytes_a_voxel(model.folder) < 40 * channels + 24 + 0.25 * 4 * classes

    # Damage ---------------------------------------------------------------------------------------------------------

    def test_damage_is_refused_and_nothing_stays(self, damage, copies, empty):
        """Parametrized by `damages`, see conftest.py."""
        self.damages[damage].spoil(copies)
        with pytest.raises(DeepSegmentError, match=self.damages[damage].message) as caught:
            add_model(copies, self.words)
        assert len(str(caught.value)) < 1500
        assert tree(empty) == {}
        assert [entry for entry in list_models() if not entry.bundled] == []

    def test_enough_damages_are_tried(self):
        assert len(self.damages) >= 3

    def test_damage_afterwards_is_noticed(self, model, empty):
        folder = shutil.copytree(model.folder, empty / model.name)
        for file in read_spec(folder).weights[:2]:
            content = (folder / file.file).read_bytes()
            volume = noise(ODD_GRIDS["as it should be"], len(read_spec(folder).channels))
            for changed in (content[:-9], bytes([content[0] ^ 1]) + content[1:], None):
                (folder / file.file).unlink()
                if changed is not None:
                    (folder / file.file).write_bytes(changed)
                with pytest.raises(ModelError, match=file.file.replace(".", r"\.")):
                    segment_volume(volume, model.name, device="cpu")
                (folder / file.file).write_bytes(content)

    def test_a_second_one_of_the_name_is_refused(self, sources, model):
        before = tree(model.catalogue)
        with pytest.raises(ModelError, match="already a model 'conforming'"):
            add_model(sources, self.words)
        assert tree(model.catalogue) == before

    # From the first to the last day ---------------------------------------------------------------------------------

    def test_the_command_from_add_to_remove(self, sources, empty, tmp_path, capsys):
        before = tree(empty)
        assert main(["models", "add", *map(str, sources), *self.options, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["name"] == "conforming"
        assert main(["models", "list", "--json"]) == 0
        assert "conforming" in {each["name"] for each in json.loads(capsys.readouterr().out)}
        assert main(["models", "info", "conforming", "--json"]) == 0
        spec = spec_from_json(json.loads(capsys.readouterr().out)["spec"])
        files = []
        for n in range(len(spec.channels)):
            files.append(tmp_path / f"case_{n:04}.nrrd")
            write_volume(noise(ODD_GRIDS["as it should be"], 1, seed=n), files[-1])
        more = [text for file in files[1:] for text in ("--channel", str(file))]
        target = tmp_path / "out.seg.nrrd"
        assert main(["segment", str(files[0]), str(target), *more, "--model", "conforming", "--quiet"]) == 0
        assert target.exists()
        assert main(["models", "remove", "conforming", "--json"]) == 0
        assert tree(empty) == before

    def test_removing_frees_the_disk_and_adding_again_is_the_same(self, sources, model, empty):
        entry = add_model(sources, self.words)
        assert _weights(entry.path) == _weights(model.folder)
        remove_model(entry.name)
        assert tree(empty) == {}


def _copy(source: Path, target: Path) -> Path:
    """A copy of a source; of a file with what lies beside it."""
    if source.is_dir():
        return Path(shutil.copytree(source, target))
    return Path(shutil.copytree(source.parent, target.parent)) / source.name


def _weights(folder: Path) -> list[str]:
    return [each.sha256 for each in read_spec(folder).weights]
