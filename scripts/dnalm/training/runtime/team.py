"""Connect the processes that train one model together."""

import os
from datetime import timedelta

import torch
import torch.distributed as dist

from dnalm.errors import UserError
from dnalm.training.engine.devices import choose_device
from dnalm.training.engine.team import Team
from dnalm.training.runtime.launch import is_worker

_TIMEOUT = timedelta(hours=1)
"""How long processes wait for each other: the main one may be writing a large model to a slow disk."""


def join_team(device: str) -> Team:
    """Join the other processes if `is_worker()`, else be a team of one; each process takes the GPU of its local rank.

    device: as for `choose_device`. Raises `UserError` if there are fewer GPUs than processes on this machine.
    """
    place = choose_device(device)
    if not is_worker() or os.environ["WORLD_SIZE"] == "1":
        return Team(0, 1, 0, place)
    rank, world, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if place.type == "mps":
        raise UserError("recipe.processes: an Apple GPU can be used by one process only; set 1, or device cpu")
    if place.type == "cuda":
        if local_rank >= (count := torch.cuda.device_count()):
            raise UserError(f"recipe.processes: {local_rank + 1} or more on a machine with {count} visible GPUs")
        place = torch.device("cuda", local_rank)
        torch.cuda.set_device(place)
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo", timeout=_TIMEOUT)
    return Team(rank, world, local_rank, place)
