"""A model spread over two processes trains as one process does."""

import importlib.util
import pickle
import sys

import pytest
import torch
from closeness import close, size
from conftest import ROOT
from processes import started

from dnalm.errors import UserError
from dnalm.training.engine.sharding import shard
from dnalm.training.engine.team import Team

PROGRAM = ROOT / "tests/helpers/sharded_training.py"
DEEPSPEED = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")


def compare(place, kind, variant, device="cpu", parts=1e-5):
    """Train alone and sharded in two processes and compare everything."""
    started([sys.executable, PROGRAM, place, device, kind, variant])
    first, second = (pickle.loads((place / f"{rank}.pickle").read_bytes()) for rank in range(2))
    for norms in first["norms"][1:]:
        assert close(norms, first["norms"][0], parts)
    for end in first["end"][1:]:
        assert close(end, first["end"][0], parts, size(first["end"][0]))  # biases of keys are rounding alone
    for half in first["half"][1:]:
        weights, alone = first["half"][0]
        assert close(half[0], weights, parts, size(weights))
        assert half[1]["param_groups"] == alone["param_groups"]
        for moment in ("step", "exp_avg", "exp_avg_sq"):
            found, expected = ({k: v[moment] for k, v in state["state"].items()} for state in (half[1], alone))
            assert close(found, expected, parts, size(expected)), moment
    assert close(*reversed(first["logits"]), parts)
    assert close(second["logits"][1], first["logits"][1], parts)
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
