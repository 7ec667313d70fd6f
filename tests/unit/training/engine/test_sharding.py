"""A model spread over two processes trains as one process does."""

import importlib.util
import pickle
import sys
from pathlib import Path

import pytest
import torch
from processes import started

from dnalm.errors import UserError
from dnalm.training.engine.sharding import shard
from dnalm.training.engine.team import Team

PROGRAM = Path(__file__).parent / "sharded_training.py"
DEEPSPEED = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")


def compare(place, kind, variant, device="cpu", tolerance=1e-5):
    """Train alone and sharded in two processes and compare everything."""
    started([sys.executable, PROGRAM, place, device, kind, variant])
    first, second = (pickle.loads((place / f"{rank}.pickle").read_bytes()) for rank in range(2))
    near = {"rtol": 0, "atol": tolerance, "check_device": False}
    for norms in first["norms"][1:]:
        torch.testing.assert_close(norms, first["norms"][0], rtol=1e-5, atol=tolerance)
    for end in first["end"][1:]:
        torch.testing.assert_close(end, first["end"][0], **near)
    for half in first["half"][1:]:
        torch.testing.assert_close(half[0], first["half"][0][0], **near)
        assert half[1]["param_groups"] == first["half"][0][1]["param_groups"]
        torch.testing.assert_close(half[1]["state"], first["half"][0][1]["state"], **near)
    torch.testing.assert_close(*first["logits"], rtol=0, atol=max(tolerance, 1e-5))
    torch.testing.assert_close(first["logits"][1], second["logits"][1])
    assert second["half"][1] == ({}, {}), "the main process alone holds what it writes"
    return first


@pytest.mark.parametrize("variant", ["padded", "packed", "lora"])
def test_fsdp2_trains_as_one_process(tmp_path, variant):
    found = compare(tmp_path, "fsdp", variant)
    assert found["parts"] >= 3, "each layer is a unit"


@DEEPSPEED
@pytest.mark.parametrize("variant", ["padded", "packed", "lora"])
def test_zero2_trains_as_one_process(tmp_path, monkeypatch, variant):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    compare(tmp_path, "zero2", variant)


def test_one_process_has_nothing_to_spread_over():
    with pytest.raises(UserError, match=r"recipe\.sharding: fsdp spreads a model over processes, and there is 1"):
        shard(torch.nn.Linear(2, 2), torch.optim.AdamW, Team(0, 1, 0, torch.device("cpu")), "fsdp")


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is not None, reason="deepspeed is installed")
def test_zero2_without_deepspeed_is_refused():
    with pytest.raises(UserError, match="zero2 needs DeepSpeed; install it"):
        shard(torch.nn.Linear(2, 2), torch.optim.AdamW, Team(0, 2, 0, torch.device("cpu")), "zero2")
