"""`finetune.py --processes 2`: what several processes train is what one does, whatever they divide among them."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pandas as pd
import pytest
from closeness import close
from script_runs import SCRIPTS, run_script
from small_models import TINY, settings, write_task

STILL = {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    root = tmp_path_factory.mktemp("task")
    write_task(root, {"train": 90, "validation": 41, "test": 8})
    return root


def arguments(task, out, *more):
    places = ["--data", task / "data", "--tokens", task / "tokens", "--tokenizer", task / "tokenizer"]
    places += [
        "--model",
        out / "model",
        "--training-log",
        out / "log.tsv",
        "--record",
        out / "run.json",
        "--scratch",
        out / "scratch",
    ]
    return ["--device", "cpu", *map(str, [*places, *more])]


def command(task, out, *more):
    return [sys.executable, str(SCRIPTS / "finetune.py"), "--spec", "-", *arguments(task, out, *more)]


def finetune(task, out, spec, *more):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        command(task, out, *more), input=json.dumps(spec), capture_output=True, text=True, env=environment
    )
    assert process.returncode == 0, process.stderr
    log = pd.read_csv(out / "log.tsv", sep="\t")
    return log, json.loads((out / "run.json").read_text()), process.stderr


def spec_of(method):
    lora = {"lora": {"target_modules": ["query"]}} if method == "lora" else {}
    return settings(STILL, epochs=2, batch_size=16, method=method, class_weights="balanced", **lora)


@pytest.fixture(scope="module")
def alone(task, tmp_path_factory):
    """The log and the folder of a training by one process, made once a method."""

    @functools.cache
    def train(method):
        out = tmp_path_factory.mktemp(method)
        done = run_script("finetune.py", *arguments(task, out), spec=spec_of(method))
        assert done.returncode == 0, done.stderr
        return pd.read_csv(out / "log.tsv", sep="\t"), out

    return train


# two_machines trains in full without sharding, and the tests of sharding train adapters with it
@pytest.mark.parametrize(("method", "sharding"), [("full", "fsdp"), ("lora", "none")])
def test_two_processes_train_as_one(task, alone, tmp_path, method, sharding):
    """90 records in batches of 16: the last batch has 10, and the processes' shares differ."""
    one, place = alone(method)
    two, run, _ = finetune(task, tmp_path, spec_of(method), "--processes", 2, "--sharding", sharding)
    assert run["engine"]["processes"] == 2 and run["engine"]["sharding"] == sharding
    assert two[["epoch", "step"]].equals(one[["epoch", "step"]])
    for column in ("training_loss", "validation_loss", "mcc"):
        assert close(two[column], one[column], ROUNDING), column
    from transformers import AutoModelForSequenceClassification

    models = [AutoModelForSequenceClassification.from_pretrained(folder / "model") for folder in (place, tmp_path)]
    for name, value in models[0].state_dict().items():
        # where a gradient is zero but for rounding, AdamW steps by its sign
        difference = (value - models[1].state_dict()[name]).abs().median()
        assert difference < 1e-2 * spec_of(method)["recipe"]["learning_rate"], name
    assert (tmp_path / "model/adapter").exists() == (method == "lora")


def test_processes_that_are_asked_to_stop_save_and_go_on(task, tmp_path):
    spec = settings(STILL, epochs=12, batch_size=16)
    several = ("--processes", 2, "--minutes", 0.001)
    process = subprocess.Popen(
        command(task, tmp_path, *several), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(spec))
    process.stdin.close()
    while not list(tmp_path.glob("scratch/*/checkpoint-*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.stderr.read()
    assert process.wait() == 143
    assert said.strip().splitlines()[-1].startswith("error: stopped by SIGTERM at step"), said
    log, run, said = finetune(task, tmp_path, spec, *several)
    assert len(run["resumed_from"]) == 1 and f"resumed from step {run['resumed_from'][0]}" in said
    assert log["epoch"].tolist() == list(range(1, 13))


def test_two_machines_train_as_one(task, alone, tmp_path):
    """Two launchers of one process each, as on two machines of a cluster."""
    one, _ = alone("full")
    (tmp_path / "spec.json").write_text(json.dumps(spec_of("full")))
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    python, script, *words = command(task, tmp_path / "two")
    words[words.index("--spec") + 1] = str(tmp_path / "spec.json")
    torchrun = [python, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += ["--master-addr=localhost", f"--master-port={port}"]
    machines = [
        subprocess.Popen([*torchrun, f"--node-rank={rank}", script, *words], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    said = [machine.communicate()[1] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    two = pd.read_csv(tmp_path / "two/log.tsv", sep="\t")
    assert close(two["validation_loss"], one["validation_loss"], ROUNDING)


def test_what_cannot_be_trained_is_said_once(task, tmp_path):
    spec = settings(STILL, learning_rate=1e30, max_gradient_norm=1e30)
    process = subprocess.run(
        command(task, tmp_path, "--processes", 2), input=json.dumps(spec), capture_output=True, text=True
    )
    assert process.returncode == 1 and process.stderr.count("error: ") == 1 and "Traceback" not in process.stderr
    assert process.stderr.strip().splitlines()[-1].startswith("error: recipe.learning_rate: the loss became nan")
    assert not (tmp_path / "model").exists()
