"""What torch is told does not override what the user said."""

from DeepSegmentLib.hosts.torch_environment import prepare_for_torch


def test_only_what_is_not_set_is_set(monkeypatch):
    import os

    monkeypatch.setenv("KMP_BLOCKTIME", "9")
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    prepare_for_torch()
    assert os.environ["KMP_BLOCKTIME"] == "9"
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"
