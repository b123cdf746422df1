"""Models that look round what another one finds: where they look, and what the user is told of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_examples import TINY_UNET, ArrayNetwork, model_spec
from numpy.typing import NDArray

from DeepSegmentLib.data import Geometry, Progress, Volume
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models import read_spec, save_model
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Focus
from DeepSegmentLib.networks.runtime import Model
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.run_report import Run
from DeepSegmentLib.service.segment import segment_volume

BRIGHT, BRIGHTER = 1.0, 2.0
SHAPE = (12, 14, 16)


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a model into the catalogue; it names "left" what is as bright as its name says."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path))

    def put(name: str, focus: Focus | None = None) -> Path:
        stage = {"spacing_mm": None, "orientation": None, "crop": "none", "normalizations": (Normalization("none"),)}
        spec = model_spec(name=name, focus=focus, **stage)
        save_model(tmp_path / name, spec, UNet(TINY_UNET), card="")
        return tmp_path / name

    return put


def load(folder: Path, device: str) -> Model:
    spec = read_spec(folder)
    least = BRIGHTER if folder.name == "organ" else BRIGHT

    def network(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        left = np.where(patches >= least - 0.1, 5, -5)
        return np.concatenate([np.zeros_like(left), left, np.full_like(left, -9)], axis=1).astype(np.float32)

    return Model(spec, [ArrayNetwork(network)], "cpu")


def volume(organ: tuple[slice, slice, slice] | None, geometry: Geometry | None = None) -> Volume:
    """Bright everywhere but for a dark corner, brighter in the organ."""
    voxels = np.full((1, *SHAPE), BRIGHT, np.float32)
    voxels[0, 0, 0, 0] = 0
    if organ is not None:
        voxels[0][organ] = BRIGHTER
    return Volume(voxels, geometry or Geometry.from_spacing(SHAPE, (3, 2, 1)))


def run(
    given: Volume, name: str = "vessels", on_progress: Callable[[Progress], None] = silent, **settings: object
) -> Run:
    return segment_volume(
        given,
        name,
        device="cpu",
        settings=PredictSettings(clean_up=False, **settings),
        on_progress=on_progress,
        load=load,
    )


def found(result: Run) -> NDArray[np.bool_]:
    return np.asarray(result.prediction.label_map.layers[0] == 1)


ORGAN = (slice(4, 6), slice(5, 9), slice(6, 7))


def test_it_looks_round_what_the_other_one_finds(add: Callable[..., Path]) -> None:
    add("organ")
    add("vessels", Focus("organ", ("left",), 2.0))
    events: list[Progress] = []
    result = run(volume(ORGAN), on_progress=events.append)
    expected = np.zeros(SHAPE, bool)
    expected[3:7, 4:10, 4:9] = True  # voxels of 3 x 2 x 1 mm whose middles are at most 2 mm from the organ's border
    assert np.array_equal(found(result), expected)
    assert result.notes[0] == "Looked 2 mm round left, as organ found it."
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert max(fractions) <= 1
    assert events[0].stage == "find where to look, with organ"


def test_an_oblique_organ_lies_inside_with_its_margin(add: Callable[..., Path]) -> None:
    add("organ")
    add("vessels", Focus("organ", ("left",), 1.0))
    cos, sin = np.cos(0.4), np.sin(0.4)
    turned = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    geometry = Geometry.from_spacing(SHAPE, (3, 2, 1))
    affine = geometry.affine.copy()
    affine[:3, :3] = turned @ affine[:3, :3]
    result = found(run(volume(ORGAN, Geometry(SHAPE, affine))))
    assert result[4:6, 5:9, 5:8].all()
    assert not result.all()


def test_without_the_other_one_it_looks_everywhere_and_says_so(add: Callable[..., Path]) -> None:
    add("vessels", Focus("organ", ("left", "right")))
    events: list[Progress] = []
    result = run(volume(ORGAN), on_progress=events.append)
    assert events[0].stage == "organ is not here to find where to look, all of the volume is run"
    assert found(result).sum() == np.prod(SHAPE) - 1
    assert result.notes[0].startswith("vessels looks round left or right, as organ finds it. That model is not here")


def test_a_region_of_the_user_counts_more(add: Callable[..., Path]) -> None:
    add("organ")
    add("vessels", Focus("organ", ("left",)))
    given = volume(ORGAN)
    corners = given.geometry.index_to_ras(np.array([[0.0, 0, 0], [2, 2, 2]]))
    result = run(given, region_ras=corners)
    assert found(result).sum() == 3**3 - 1
    assert not any("Looked" in note for note in result.notes)


def test_where_the_other_one_finds_nothing_it_is_not_run(add: Callable[..., Path]) -> None:
    add("organ")
    add("vessels", Focus("organ", ("left",)))
    with pytest.raises(InvalidInputError, match=r"organ finds no left in the volume, round which vessels looks.*--roi"):
        run(volume(None))


def test_models_look_round_each_other_in_a_row_but_in_no_circle(add: Callable[..., Path]) -> None:
    add("organ")
    add("lobe", Focus("organ", ("left",), 3.0))
    add("vessels", Focus("lobe", ("left",), 1.0))
    assert [note for note in run(volume(ORGAN)).notes if "Looked" in note] == [
        "Looked 1 mm round left, as lobe found it."
    ]
    add("organ-2", Focus("lobe-2", ("left",)))
    add("lobe-2", Focus("organ-2", ("left",)))
    with pytest.raises(ModelError, match="each looks round what the next one finds: lobe-2, organ-2, lobe-2"):
        run(volume(ORGAN), "lobe-2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("../organ", ("left",)), "the model of a focus must be"),
        (("organ", ()), "at least one segment"),
        (("organ", ("left", "left")), "two segments of a focus share 'left'"),
        (("organ", ("left",), -1.0), "margin_mm must be from 0 to 1000, got -1"),
        (("organ", ("left",), float("nan")), "margin_mm must be from 0 to 1000, got nan"),
    ],
)
def test_what_is_no_focus_is_refused(words: tuple[object, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Focus(*words)  # type: ignore[arg-type]
