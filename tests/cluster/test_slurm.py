"""The workflow on a real SLURM: what a job asks for, gets, and finds again after it was stopped."""

import contextlib
import hashlib
import json
import re
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import psutil
import pytest
import yaml
from conftest import ROOT
from needed import reason, require
from slurm import Slurm, wait_until
from slurm_packages import Unavailable, unpacked

from dnalm.config.loading import load_config
from dnalm.workflow.stages import section

pytestmark = pytest.mark.cluster

PROFILE = ROOT / "workflow/profiles/slurm"
TOGETHER = 600.0
"""Seconds that a workflow may take."""

DEMO = {
    "genomes": {"demo": {"simulate": {"chromosomes": 4, "length": 100_000, "arrays": 300}}},
    "catalogues": {"arrays": {"genome": "demo", "simulated": True}},
    "datasets": {"vntr": {"kind": "repeats", "genome": "demo", "catalogue": "arrays", "baselines": ["length_gc"]}},
    "models": {
        "small": {
            "architecture": {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 512},
            "tokenizer": {"train": "bpe", "vocabulary": 200},
        }
    },
    "recipes": {"short": {"learning_rate": 5e-4, "epochs": 2, "batch_size": 32}},
    "runs": [{"dataset": "vntr", "model": "small", "recipe": "short", "seeds": [1]}],
}  # fmt: skip

# Two epochs of hundreds of steps: a checkpoint between them was saved because it was asked for.
TABLE = {
    "datasets": {"table": {"kind": "table", "path": "table.csv", "baselines": []}},
    "models": {
        "small": {
            "architecture": {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64},
            "tokenizer": {"train": "bpe", "vocabulary": 100},
        }
    },
    "recipes": {
        "long": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8},
        "brief": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 64},
        "endless": {"learning_rate": 1e-3, "epochs": 1000, "batch_size": 8},
    },
    "runs": [
        {"dataset": "table", "model": "small", "recipe": "long", "seeds": [1, 2]},
        {"dataset": "table", "model": "small", "recipe": "brief", "seeds": [1]},
        {"dataset": "table", "model": "small", "recipe": "endless", "seeds": [1]},
    ],
}  # fmt: skip

RUN, LOG = "results/table/runs/small/{}/seed{}", "logs/finetune/table/small/{}/seed{}.log"


@pytest.fixture(scope="module")
def slurm(request):
    require("root")  # to make the device file of a GPU
    require("SLURM from apt")
    try:
        root = unpacked(Path(request.config.cache.mkdir("slurm")))
    except Unavailable as why:
        pytest.skip(f"{reason('SLURM from apt')}: {why}")
    with Slurm(root) as cluster:
        yield cluster
    assert not list(cluster.processes())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A directory in which all is ready for fine-tuning."""
    directory, rows = tmp_path_factory.mktemp("table"), []
    for index in range(5000):
        sequence = "".join("ACGT"[digit % 4] for digit in hashlib.sha256(str(index).encode()).digest())
        rows.append((sequence[:16] + ("TATATAAG" if index % 2 else "") + sequence[16:], index % 2))
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(directory / "table.csv", index=False)
    (directory / "config.yaml").write_text(yaml.safe_dump(TABLE))
    ready = [f"results/table/tokens/small/{split}.ids.npy" for split in ("train", "validation")]
    command = ["snakemake", *ready, "results/table/audit.ok", "--cores", "2", *where(directory)]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return directory


def where(directory):
    return ["--snakefile", ROOT / "Snakefile", "--directory", directory,
            "--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml"]  # fmt: skip


class Workflow:
    """Snakemake, submitting to a cluster; what it says goes to `snakemake.log` in its directory."""

    def __init__(self, slurm, directory, *arguments, profile=PROFILE):
        polling = ["--slurm-init-seconds-before-status-checks", 2, "--seconds-between-status-checks", 2]
        command = ["snakemake", *arguments, "--profile", profile, *polling, "--latency-wait", 5, *where(directory)]
        self.log = directory / "snakemake.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*map(str, command)], env=slurm.environment, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def wait(self):
        assert wait_until(lambda: self.process.poll() is not None, TOGETHER), self.said()
        return self.process.returncode

    def until(self, condition):
        """Wait for a condition that comes true while the workflow runs."""
        assert wait_until(lambda: condition() or self.process.poll() is not None, TOGETHER), self.said()
        assert self.process.poll() is None, self.said()

    def said(self):
        return self.log.read_text()


def script_of(process):
    """The name of the project's script that a process runs."""
    words = process.cmdline()
    return Path(words[1]).name if len(words) > 1 and words[1].startswith(str(ROOT / "scripts")) else None


def steps_taken(log):
    """Steps of the training that writes this log."""
    found = re.findall(r"training: +\d+%\|[^|]*\| (\d+)/", log.read_text()) if log.exists() else []
    return int(found[-1]) if found else 0


def test_the_demo_goes_to_the_report(slurm, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(DEMO))
    seen = {}
    with Workflow(slurm, tmp_path) as workflow:
        while workflow.process.poll() is None:
            for process in slurm.processes():
                with contextlib.suppress(psutil.Error):
                    if name := script_of(process):
                        seen[name] = process.environ()
            time.sleep(0.2)
    assert workflow.process.returncode == 0, workflow.said()
    assert "<title>" in (tmp_path / "results/report/index.html").read_text()

    # What was asked for is what the rule says, and the job sees the GPU it got.
    (job,) = slurm.jobs("finetune")
    assert (job["State"], job["Partition"], job["Timelimit"]) == ("COMPLETED", "gpu", "1-00:00:00")
    assert {"cpu=2", "mem=16000M", "gres/gpu=1"} <= set(job["AllocTRES"].split(","))
    assert seen["finetune.py"]["CUDA_VISIBLE_DEVICES"] == "0"
    assert seen["finetune.py"]["SLURM_JOB_ID"] == job["JobIDRaw"]

    (job,) = slurm.jobs("baseline")
    assert (job["Partition"], job["Timelimit"]) == ("cpu", "02:00:00")
    assert {"cpu=1", "mem=8000M"} <= set(job["AllocTRES"].split(",")) and "gres/gpu" not in job["AllocTRES"]
    assert "CUDA_VISIBLE_DEVICES" not in seen["baseline.py"]
    # What needs no node of its own runs beside Snakemake.
    assert not slurm.jobs("gate")


@pytest.mark.parametrize(
    ("seed", "command", "state", "same"),
    [
        pytest.param(1, ["scancel"], "CANCELLED", False, id="cancelled"),
        pytest.param(2, ["scontrol", "requeue"], "REQUEUED", True, id="requeued"),  # as preemption does
    ],
)
def test_a_stopped_training_goes_on(slurm, table, seed, command, state, same):
    record, log = f"{RUN.format('long', seed)}/run.json", table / LOG.format("long", seed)
    with Workflow(slurm, table, record) as workflow:
        workflow.until(lambda: steps_taken(log) > 0)
        slurm.run(*command, slurm.running("finetune"))
        assert workflow.wait() == 0, workflow.said()

    record = json.loads((table / record).read_text())
    (resumed,) = record["resumed_from"]
    assert 0 < resumed < record["steps"]
    assert resumed % (record["steps"] // 2)  # saved on request, not at the end of an epoch
    assert f"resumed from step {resumed}\n" in log.read_text()
    stopped, finished = slurm.jobs("finetune")[-2:]
    assert stopped["State"].startswith(state) and finished["State"] == "COMPLETED"
    assert (stopped["JobIDRaw"] == finished["JobIDRaw"]) == same


def test_a_training_out_of_time_goes_on_and_is_cancelled_with_snakemake(slurm, table, tmp_path):
    text = (PROFILE / "config.yaml").read_text()
    for before, after in (("finetune: [1440,", "finetune: [2,"), ("save: 120", "save: 30")):
        assert before in text
        text = text.replace(before, after)
    (tmp_path / "config.yaml").write_text(text)
    log = table / LOG.format("endless", 1)
    with Workflow(slurm, table, f"{RUN.format('endless', 1)}/run.json", profile=tmp_path) as workflow:
        workflow.until(lambda: steps_taken(log) > 0)
        first = slurm.running("finetune")
        workflow.until(lambda: "stopped by SIGTERM at step" in log.read_text())
        step = re.search(r"stopped by SIGTERM at step (\d+); the checkpoint is saved", log.read_text())[1]
        workflow.until(lambda: log.exists() and f"resumed from step {step}\n" in log.read_text())
        second = slurm.running("finetune")
        assert second != first
        assert slurm.run("squeue", "--noheader", "--jobs", second, "--format=%l").strip() == "4:00"
        stopped = slurm.jobs("finetune")[-1]
        assert (stopped["JobIDRaw"], stopped["State"], stopped["Timelimit"]) == (first, "FAILED", "00:02:00")

        workflow.process.send_signal(signal.SIGINT)
        assert workflow.wait() != 0
    assert wait_until(lambda: not slurm.run("squeue", "--noheader"), 60)
    assert not [process for process in slurm.processes() if script_of(process)]


def test_a_failed_job_names_its_log(slurm, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(TABLE))
    (tmp_path / "table.csv").write_text("sequence,label\nACGT,1\nAC-GT,x\n")
    with Workflow(slurm, tmp_path, "results/table/data/manifest.json", "--retries", 0) as workflow:
        assert workflow.wait() == 1
    last = workflow.said().splitlines()[-1]
    assert last.startswith("error: table.csv") and last.endswith("(log: logs/import_table/table.log)"), workflow.said()


def test_a_training_over_two_nodes(slurm, table):
    config = load_config(TABLE, check_paths=False)
    wildcards = SimpleNamespace(dataset="table", model="small", recipe="brief", seed="1")
    (table / "spec.json").write_text(section(config, "finetune", wildcards))
    out, shared = table / "two", ["--data", "results/table/data", "--tokens", "results/table/tokens/small"]
    out.mkdir()
    files = ["--model", out / "model", "--training-log", out / "training_log.tsv", "--record", out / "run.json"]
    tokenizer = ["--tokenizer", "results/models/small/tokenizer/table", "--device", "cpu"]
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    launcher = [
        "torchrun",
        "--nnodes=2",
        "--nproc-per-node=1",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint=127.0.0.1:{port}",
    ]
    script = [ROOT / "scripts/finetune.py", "--spec", "spec.json", *shared, *tokenizer, *files]
    where = ["--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", "--mem=4000", f"--chdir={table}"]
    command = ["srun", *where, *launcher, *script]
    done = subprocess.run([*map(str, command)], env=slurm.environment, capture_output=True, text=True, timeout=TOGETHER)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "run.json").read_text())["engine"]["processes"] == 2

    def allocated():
        return slurm.run("sacct", "--allocations", "--noheader", "--parsable2", "--format=NodeList,State").splitlines()[
            -1
        ]

    # the accounts are a little behind
    assert wait_until(lambda: allocated() == "node[1-2]|COMPLETED", 60), allocated()
