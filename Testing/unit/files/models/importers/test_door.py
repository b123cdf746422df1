"""Who reads what the user added; in what words it is refused where nobody does."""

import os
import subprocess
import sys
from importlib import import_module

import pytest

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models.importers import IMPORTERS, Words, importer_of


def test_a_folder_of_other_things_is_described(tmp_path):
    for n in range(12):
        (tmp_path / f"{n:02}.txt").touch()
    with pytest.raises(ModelError) as caught:
        importer_of([tmp_path])
    said = str(caught.value)
    assert str(tmp_path) in said
    assert "is no model of a known kind (DeepSegment model: model.json" in said
    assert said.endswith("There lie: 00.txt, 01.txt, 02.txt, 03.txt, 04.txt, 05.txt, 06.txt, 07.txt and 4 more")


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"There lie: photo\.png"):
        importer_of([tmp_path / "photo.png"])


def test_an_empty_folder_and_odd_names(tmp_path):
    with pytest.raises(ModelError, match="There lies nothing"):
        importer_of([tmp_path])
    (tmp_path / "\x1b[31m").touch()
    with pytest.raises(ModelError, match=r"There lie: \\x1b\[31m$"):
        importer_of([tmp_path])


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "loop", "/etc"])
def test_a_link_out_of_the_folder_is_refused(tmp_path, target):
    (tmp_path / "secret").touch()
    (tmp_path / "m" / "a").mkdir(parents=True)
    (tmp_path / "m" / "a" / "loop").symlink_to("../../secret" if target == "../secret" else target)
    with pytest.raises(ModelError, match=r"m/a/loop is a link out of the folder .* or in a circle; copy the data"):
        importer_of([tmp_path / "m"])


def test_a_link_inside_the_folder_is_none_of_its_business(tmp_path):
    (tmp_path / "model.json").touch()
    (tmp_path / "same.json").symlink_to("model.json")
    assert importer_of([tmp_path]).kind == "DeepSegment model"


def test_a_folder_of_everything_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("DeepSegmentLib.files.models.importers.door._MOST_FILES", 3)
    for n in range(4):
        (tmp_path / str(n)).touch()
    with pytest.raises(ModelError, match="more than 3 files; add the folder of one model only"):
        importer_of([tmp_path])


def test_each_importer_says_its_kind_and_its_signs():
    from importlib import import_module

    importers = [import_module(f"DeepSegmentLib.files.models.importers.{name}").IMPORTER for name in IMPORTERS]
    assert all(importer.kind and importer.signs for importer in importers)
    assert len({importer.kind for importer in importers}) == len(importers)


def test_asking_the_importers_costs_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from DeepSegmentLib.files.models.importers import importer_of\n"
        f"try: importer_of([Path({str(tmp_path)!r})])\n"
        "except Exception as error: print(type(error).__name__, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ModelError", "False"]


@pytest.mark.parametrize("kind", ["monai_bundle", "auto3dseg", "graph"])
@pytest.mark.parametrize("words", [Words(folds=("0",)), Words(configuration="2d")])
def test_choices_that_only_nnunet_has_are_refused(kind, words, tmp_path):
    importer = import_module(f"DeepSegmentLib.files.models.importers.{kind}").IMPORTER
    with pytest.raises(InvalidInputError, match="are for nnU-Net models; this is a"):
        importer.convert([tmp_path], tmp_path / "m", words)
