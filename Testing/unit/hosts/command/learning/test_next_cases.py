"""`deepsegment next` through its front door."""

import json

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.learning import next_cases
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.training.annotate_next.volumes import STRATEGIES


@pytest.fixture
def words(tmp_path):
    """The command for a folder of three volumes."""
    torch.manual_seed(0)
    save_model(tmp_path / "model", model_spec(), UNet(TINY_UNET), card="# tiny\n")
    (tmp_path / "volumes").mkdir()
    for n in range(3):
        voxels = np.random.default_rng(n).normal(size=(1, 9, 10, 11)).astype(np.float32)
        volume = Volume(voxels, Geometry.from_spacing((9, 10, 11), (1, 1, 1)))
        write_volume(volume, tmp_path / "volumes" / f"{n}.nii.gz")
    return ["next", str(tmp_path / "volumes"), "--model", str(tmp_path / "model"), "--device", "cpu"]


def test_the_strategies_are_those_of_the_library():
    assert next_cases._STRATEGIES == STRATEGIES


def test_a_table_tells_rank_volume_score_and_reason(words, capsys):
    assert main([*words, "--count", "2"]) == 0
    said = capsys.readouterr()
    header, *rows, rest = said.out.strip().split("\n")
    assert header.split() == ["rank", "volume", "score", "reason"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    assert all("border" in row or "sure of" in row for row in rows)
    assert rest == "and 1 other volume"
    assert "volume 3 of 3" in said.err


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_json_is_one_line_and_the_same_each_time(words, capsys, strategy):
    lines = []
    for _ in range(2):
        assert main([*words, "--json", "--quiet", "--strategy", strategy.upper(), "--seed", "3"]) == 0
        lines.append(capsys.readouterr().out)
    assert lines[0] == lines[1]
    assert lines[0].count("\n") == 1
    assert [row["rank"] for row in json.loads(lines[0])["ranked"]] == [1, 2, 3]


def test_another_seed_draws_in_another_order(words, capsys):
    orders = set()
    for seed in range(6):
        assert main([*words, "--json", "--quiet", "--strategy", "random", "--seed", str(seed)]) == 0
        orders.add(tuple(row["volume"] for row in json.loads(capsys.readouterr().out)["ranked"]))
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("wrong", "told"), [(["--strategy", "best"], "best"), (["--count", "0"], "0"), (["--seed", "-1"], "-1")]
)
def test_options_out_of_range_are_refused_by_name(words, capsys, wrong, told):
    try:
        code = main([*words, *wrong])
    except SystemExit as refused:  # of argparse
        code = refused.code
    assert code == 2
    assert told in capsys.readouterr().err


def test_what_cannot_be_read_is_told_and_is_an_error_where_nothing_else_is(words, tmp_path, capsys):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no volume")
    assert main([*words, str(broken)]) == 0
    assert f"left out: {broken}" in capsys.readouterr().out
    words[1] = str(broken)
    assert main(words) == 3
    assert "no volume to annotate" in capsys.readouterr().out
