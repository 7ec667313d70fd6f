"""A training killed again and again, in the middle of whatever it does, ends in the bytes of an undisturbed one."""

import hashlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import yaml
from conftest import ROOT

CONFIG = {
    "datasets": {"table": {"kind": "table", "path": "table.csv", "baselines": []}},
    "models": {
        "small": {
            "architecture": {
                "model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 128, "max_position_embeddings": 64,
            },
            "tokenizer": {"train": "bpe", "vocabulary": 100},
        }
    },
    "recipes": {
        "long": {"learning_rate": 1e-3, "epochs": 8, "batch_size": 16, "warmup": 0.1, "reverse_complement": True}
    },
    "runs": [{"dataset": "table", "model": "small", "recipe": "long", "seeds": [1]}],
    "device": "cpu",
    "checkpoint_minutes": 0.001,
}  # fmt: skip

RUN = "results/table/runs/small/long/seed1"
KILLS = 3


def prepare(directory):
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    rows = []
    for index in range(800):
        sequence = "".join("ACGT"[digit % 4] for digit in hashlib.sha256(str(index).encode()).digest())
        rows.append((sequence[:16] + ("TATATAAG" if index % 2 else "") + sequence[16:], index % 2))
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(directory / "table.csv", index=False)
    return directory


def start(directory):
    command = ["snakemake", f"{RUN}/predictions.parquet", "--snakefile", ROOT / "Snakefile", "--directory", directory]
    command += [
        "--cores",
        "2",
        "--workflow-profile",
        ROOT / "profiles/default",
        "--configfile",
        directory / "config.yaml",
    ]
    with open(directory / "snakemake.log", "a") as log:
        return subprocess.Popen([*map(str, command)], stdout=log, stderr=log)


def trainer(directory):
    """The process id of the fine-tuning at work in `directory`."""
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
                here = os.readlink(f"/proc/{process}/cwd") == str(directory)
            except OSError:
                continue
            if here and words[0].endswith(b"python") and words[1].endswith(b"finetune.py"):
                return int(process)
    return None


def checkpoints(directory):
    return {path.name for path in directory.glob(".scratch/*/checkpoint-*")}


def results(directory):
    files = [*sorted((directory / RUN / "model").iterdir()), directory / RUN / "training_log.tsv"]
    files.append(directory / RUN / "predictions.parquet")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_three_kills_at_random_and_the_same_bytes(tmp_path):
    straight = prepare(tmp_path / "straight")
    assert start(straight).wait() == 0, (straight / "snakemake.log").read_text()
    assert json.loads((straight / RUN / "run.json").read_text())["resumed_from"] == []

    killed, chance = prepare(tmp_path / "killed"), random.Random(1)
    for _ in range(KILLS):
        before, snakemake = checkpoints(killed), start(killed)
        while not checkpoints(killed) - before:  # so that each life gets somewhere
            assert snakemake.poll() is None, (killed / "snakemake.log").read_text()
            time.sleep(0.01)
        time.sleep(chance.random() * 0.5)
        os.kill(trainer(killed), signal.SIGKILL)
        assert snakemake.wait() != 0
        assert not (killed / RUN / "model").exists()
    assert start(killed).wait() == 0, (killed / "snakemake.log").read_text()

    resumed = json.loads((killed / RUN / "run.json").read_text())["resumed_from"]
    assert len(resumed) == KILLS and resumed == sorted(resumed) and resumed[0] > 0
    assert f"resumed from step {resumed[-1]}" in (killed / "logs/finetune/table/small/long/seed1.log").read_text()
    assert results(killed) == results(straight)
    assert not list((killed / ".scratch").iterdir())


def test_a_preempted_training_is_saved_and_goes_on(tmp_path):
    directory = prepare(tmp_path / "preempted")
    snakemake = start(directory)
    while not checkpoints(directory):
        assert snakemake.poll() is None, (directory / "snakemake.log").read_text()
        time.sleep(0.01)
    os.kill(trainer(directory), signal.SIGTERM)
    assert snakemake.wait() != 0
    said = (directory / "snakemake.log").read_text()
    assert "error: stopped by SIGTERM at step" in said.strip().splitlines()[-1], said[-2000:]
    assert start(directory).wait() == 0
    assert len(json.loads((directory / RUN / "run.json").read_text())["resumed_from"]) == 1
