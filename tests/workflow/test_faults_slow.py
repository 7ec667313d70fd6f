"""kill -9 of whatever is at work, at twenty moments of a run from genome to report: no orphan, and the same bytes."""

import os
import random
import signal
import subprocess
import time

import pytest
import yaml
from conftest import ROOT
from faults import at_work, results
from needed import needs

pytestmark = [
    pytest.mark.slow,
    needs("Linux"),  # which alone tells a process of its parent's end
]

CONFIG = {
    "genomes": {"tiny": {"simulate": {"chromosomes": 2, "length": 60_000, "arrays": 80, "seed": 3}}},
    "catalogues": {"arrays": {"genome": "tiny", "simulated": True}},
    "datasets": {
        "repeats": {
            "kind": "repeats", "genome": "tiny", "catalogue": "arrays", "baselines": ["majority"], "background": 200
        }
    },
    "models": {
        "small": {
            "architecture": {
                "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 64, "max_position_embeddings": 64,
            },
            "tokenizer": {"train": "bpe", "vocabulary": 100},
        }
    },
    "recipes": {"short": {"learning_rate": 1e-3, "epochs": 6, "batch_size": 16}},
    "runs": [{"dataset": "repeats", "model": "small", "recipe": "short", "seeds": [1]}],
    "device": "cpu",
    "checkpoint_minutes": 0.001,
}  # fmt: skip

CHAINS, KILLS = 2, 10
VICTIMS = ("snakemake", "shell", "script", "group")
GONE = 20
"""Seconds that whatever is left may take to end: a training saves its state."""


def prepare(directory):
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return directory


def start(directory, *arguments):
    command = ["snakemake", *arguments, "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml"]
    with (directory / "said").open("w") as said:
        return subprocess.Popen([*map(str, command)], stdout=said, stderr=said, start_new_session=True)


def said(directory):
    return (directory / "said").read_text()


def victims(directory, snakemake, kind):
    """Process ids of what is at work, of the kind that is to be killed; none if there is none at the moment."""
    if kind in ("snakemake", "group"):
        return [snakemake.pid]
    jobs = {process: words for process, words in at_work(directory).items() if process != snakemake.pid}
    shells = [process for process, words in jobs.items() if words[0].endswith("bash")]
    return shells if kind == "shell" else [process for process, words in jobs.items() if "/scripts/" in words[1]]


def kill(directory, snakemake, kind, chance):
    """Whether there was something to kill before the run ended."""
    while snakemake.poll() is None:
        if found := victims(directory, snakemake, kind):
            try:
                (os.killpg if kind == "group" else os.kill)(chance.choice(found), signal.SIGKILL)
            except ProcessLookupError:  # ended this moment by itself
                continue
            return True
        time.sleep(0.005)
    return False


def finished(directory):
    return said(directory).count("Finished jobid")


def begin(directory):
    """Start and see the first job off; a lock is removed if that is what Snakemake asks for."""
    while True:
        snakemake = start(directory)
        while snakemake.poll() is None:
            if "Execute " in said(directory):
                return snakemake
            time.sleep(0.02)
        assert "remove the lock with: snakemake --unlock" in said(directory).splitlines()[-1], said(directory)
        assert start(directory, "--unlock").wait() == 0


def test_twenty_kills_and_the_same_bytes(tmp_path):
    straight = prepare(tmp_path / "straight")
    assert start(straight).wait() == 0, said(straight)
    expected, steps = results(straight), finished(straight)
    assert steps > 15 and len(expected) > 20

    for chain in range(CHAINS):
        chance, directory, done = random.Random(chain), prepare(tmp_path / f"killed{chain}"), 0
        for number in range(KILLS):
            kind = VICTIMS[(chain + number) % len(VICTIMS)]
            snakemake = begin(directory)
            # a moment in this kill's share of the run, and a while into the job that is then at work
            moment = (number + chance.random()) * (steps - 4) / KILLS
            while snakemake.poll() is None and done + finished(directory) < moment:
                time.sleep(0.02)
            time.sleep(chance.random())
            assert kill(directory, snakemake, kind, chance), said(directory)
            status, began = snakemake.wait(), time.monotonic()
            while at_work(directory) and time.monotonic() - began < GONE:
                time.sleep(0.02)
            assert not at_work(directory), (kind, at_work(directory))
            done += finished(directory)
            print(f"{kind}: at {done} of {steps} steps; alone after {time.monotonic() - began:.2f} s")
            if kind in ("shell", "script"):
                assert status == 1 and said(directory).splitlines()[-1].startswith("error: "), said(directory)
        assert begin(directory).wait() == 0, said(directory)
        assert results(directory) == expected
        assert not list(directory.rglob("*.tmp"))
        assert not list((directory / ".scratch").iterdir())
        again = start(directory)
        assert again.wait() == 0 and "Nothing to be done" in said(directory)
