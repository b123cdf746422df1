"""Labels of features, and how far two of them differ."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes

from DeepSegmentLib.data import Index
from DeepSegmentLib.networks.back_ends import labels
from DeepSegmentLib.networks.back_ends.labels import Difference, difference, labels_of
from DeepSegmentLib.networks.runtime import Head


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches of these tests are taken in parts, too."""
    monkeypatch.setattr(labels, "_VOXELS", 10)


@given(shapes(5), st.integers(1, 3), st.booleans())
def test_labels_are_those_of_all_logits_at_once(shape: Index, batch: int, exclusive: bool) -> None:
    features = torch.randn(batch, 4, *shape)
    head = Head(torch.randn(3, 4), torch.randn(3))
    logits = torch.stack([head(each) for each in features]).flatten(2).movedim(1, 0).flatten(1)
    expected = logits.argmax(0, keepdim=True) if exclusive else (logits > 0).long()
    assert torch.equal(labels_of(features, head, exclusive=exclusive), expected)
    direct = logits.reshape(3, batch, *shape).movedim(0, 1)
    assert torch.equal(labels_of(direct, None, exclusive=exclusive), expected)


def test_what_differs_is_counted() -> None:
    one, other = torch.tensor([[0, 1, 2, 2, 0]]), torch.tensor([[0, 1, 1, 0, 0]])
    assert difference(one, other) == Difference(voxels=5, foreground=3, differing=2)
    assert difference(one, one) == Difference(5, 3, 0)
    regions = torch.tensor([[1, 0, 0], [1, 1, 0]])
    assert difference(regions, regions.flip(0)) == Difference(voxels=3, foreground=2, differing=1)
