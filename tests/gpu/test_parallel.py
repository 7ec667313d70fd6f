"""Several GPUs: what passes between their processes, models spread over them, and the lease of a GPU."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from needed import needs, require
from processes import together
from sharded_training import VARIANTS, compare, train_all

from dnalm.training.runtime.lease import visible_gpus

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]
pair = needs("two CUDA GPUs")


@pair
def test_sums_are_right_alone_and_in_a_cuda_graph(tmp_path):
    found = together(
        tmp_path,
        """
x = torch.full((1000,), team.rank + 1.0, device=team.device)
eager = team.sum_(x.clone())
y = torch.zeros_like(x)
side = torch.cuda.Stream()
with torch.cuda.stream(side):
    for _ in range(2):
        y.copy_(x)
        team.sum_(y)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph, capture_error_mode="thread_local"):
    y.copy_(x)
    team.sum_(y)
x.mul_(10)
graph.replay()
torch.cuda.synchronize()
give([str(team.device), eager[0].item(), y[-1].item(), team.agree(False, team.rank == 1), team.broadcast(team.rank),
      team.gather(team.rank)])
graph.reset()
""",
        device="cuda",
    )
    for rank, (device, eager, replayed, flags, told, all_ranks) in enumerate(found):
        assert (device, eager, replayed) == (f"cuda:{rank}", 3.0, 30.0)
        assert (flags, told, all_ranks) == ([False, True], 0, [0, 1])


@pair
@pytest.mark.parametrize("kind", ["fsdp", "zero2"])
def test_a_model_spread_over_two_gpus_trains_as_on_one(tmp_path, kind):
    if kind == "zero2":
        require("deepspeed")
    train_all(tmp_path, kind, "cuda")
    for variant in VARIANTS:
        # kernels choose their order of summation by shape, and AdamW's first steps make much of small differences
        compare(tmp_path, variant, parts=2e-4)


def test_a_leased_gpu_is_the_only_one_that_is_seen(tmp_path):
    gpus = visible_gpus()
    assert len(gpus) == torch.cuda.device_count()
    program = """
from dnalm.training.runtime.lease import lease
with lease(1) as mine:
    import torch
    print(mine[0], torch.cuda.device_count(), f"GPU-{torch.cuda.get_device_properties(0).uuid}")
"""
    scripts = str(ROOT / "scripts")
    schedulers = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "_CONDOR_JOB_AD", "KUBERNETES_SERVICE_HOST")
    environment = {name: value for name, value in os.environ.items() if name not in schedulers}
    environment |= {"PYTHONPATH": scripts, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    mine, count, seen = done.stdout.split()
    assert (mine, count) == (seen, "1")
    assert mine in gpus
