"""Programs that run as a team of processes, for tests of what passes between them."""

import os
import pickle
import socket
import subprocess
import sys

from needed import ROOT

PROLOGUE = """
import pickle, sys
import numpy as np, torch
from dnalm.training.engine.team import flat_gradients
from dnalm.training.runtime.team import join_team
torch.set_num_threads(1)
team = join_team(sys.argv[2])
def give(value):
    with open(f"{sys.argv[1]}/{team.rank}.pickle", "wb") as stream:
        pickle.dump(value, stream)
"""


def together(place, program, world=2, device="cpu"):
    """Run `program` as `world` processes on one machine; returns what each of them gave, by rank."""
    started([sys.executable, "-c", f"{PROLOGUE}\n{program}\nteam.leave()", place, device], world)
    return [pickle.loads((place / f"{rank}.pickle").read_bytes()) for rank in range(world)]


def started(command, world=2):
    """Run a command as `world` processes on one machine, which must all succeed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    path = os.pathsep.join(str(ROOT / folder) for folder in ("scripts", "tests", "tests/helpers"))
    common |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    processes = [subprocess.Popen(list(map(str, command)), env=common | rank) for rank in ranks]
    try:
        assert [process.wait(timeout=180) for process in processes] == [0] * world
    finally:
        for process in processes:
            process.kill()
