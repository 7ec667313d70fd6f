"""A model spread over two processes trains as one process does."""

import sys

import pytest
import torch
from needed import needs
from sharded_training import compare

from dnalm.errors import UserError
from dnalm.training.engine.sharding import shard
from dnalm.training.engine.team import Team


@pytest.mark.parametrize("variant", ["padded", "packed", "lora"])
def test_fsdp2_trains_as_one_process(tmp_path, variant):
    found = compare(tmp_path, "fsdp", variant)
    assert found["parts"] >= 3, "each layer is a unit"


@needs("deepspeed")
@pytest.mark.parametrize("variant", ["padded", "packed", "lora"])
def test_zero2_trains_as_one_process(tmp_path, monkeypatch, variant):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    compare(tmp_path, "zero2", variant)


def test_one_process_has_nothing_to_spread_over():
    with pytest.raises(UserError, match=r"recipe\.sharding: fsdp spreads a model over processes, and there is 1"):
        shard(torch.nn.Linear(2, 2), torch.optim.AdamW, Team(0, 1, 0, torch.device("cpu")), "fsdp")


def test_zero2_without_deepspeed_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(UserError, match="zero2 needs DeepSpeed; install it"):
        shard(torch.nn.Linear(2, 2), torch.optim.AdamW, Team(0, 2, 0, torch.device("cpu")), "zero2")
