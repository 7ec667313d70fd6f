"""A model spread over two processes trains as one process does."""

import sys

import pytest
import torch
from needed import needs
from sharded_training import VARIANTS, compare, train_all

from dnalm.errors import UserError
from dnalm.training.engine.sharding import shard
from dnalm.training.engine.team import Team


@pytest.fixture(scope="module")
def fsdp(tmp_path_factory):
    return train_all(tmp_path_factory.mktemp("fsdp"), "fsdp")


@pytest.mark.parametrize("variant", VARIANTS)
def test_fsdp2_trains_as_one_process(fsdp, variant):
    assert compare(fsdp, variant)["parts"] >= 3, "each layer is a unit"


@needs("deepspeed")
def test_zero2_trains_as_one_process(tmp_path, monkeypatch):
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    train_all(tmp_path, "zero2")
    for variant in VARIANTS:
        compare(tmp_path, variant)


def test_one_process_has_nothing_to_spread_over():
    with pytest.raises(UserError, match=r"recipe\.sharding: fsdp needs several processes, and there is 1"):
        shard(torch.nn.Linear(2, 2), torch.optim.AdamW, Team(0, 1, 0, torch.device("cpu")), "fsdp")


def test_zero2_without_deepspeed_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(UserError, match="zero2 needs DeepSpeed; install it"):
        shard(torch.nn.Linear(2, 2), torch.optim.AdamW, Team(0, 2, 0, torch.device("cpu")), "zero2")
