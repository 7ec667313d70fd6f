"""Three runs that begin with one another: pre-trained, continued on another corpus, fine-tuned; and a random twin."""

import json
import subprocess

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from small_models import records

TINY = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 64,
}  # fmt: skip
CORPUS = {"kind": "corpus", "genome": "tiny", "split": {"stretch": 2000}, "baselines": []}
CONFIG = {
    "genomes": {"tiny": {"simulate": {"chromosomes": 1, "length": 60_000, "arrays": 30, "seed": 3}}},
    "datasets": {
        "windows": {**CORPUS, "window": 100},
        "others": {**CORPUS, "window": 60, "soft_masked_weight": 0.5},
        "table": {"kind": "table", "path": "table.csv", "baselines": []},
    },
    "models": {
        "small": {"architecture": TINY, "tokenizer": {"train": "bpe", "vocabulary": 30}},
        "first": {"run": "windows/small/pretrain/seed1"},
        "second": {"run": "others/first/pretrain/seed1"},
        "twin": {"run": "others/first/pretrain/seed1", "initialisation": "random"},
    },
    "recipes": {
        "pretrain": {"objective": "causal", "learning_rate": 3e-3, "epochs": 2, "batch_size": 16},
        "short": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 16},
    },
    "runs": [
        {"dataset": "windows", "model": "small", "recipe": "pretrain", "seeds": [1]},
        {"dataset": "others", "model": "first", "recipe": "pretrain", "seeds": [1]},
        {"dataset": "table", "model": "second", "recipe": "short", "seeds": [1]},
        {"dataset": "table", "model": "twin", "recipe": "short", "seeds": [1]},
    ],
    "device": "cpu",
}
LAST = "results/table/runs/second/short/seed1"
TWIN = "results/table/runs/twin/short/seed1"


def run(directory, *arguments):
    command = ["snakemake", *arguments, "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml"]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("chain")
    records(120, 1)[["sequence", "label"]].to_csv(directory / "table.csv", index=False)
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    done = run(directory, f"{LAST}/predictions.parquet", f"{TWIN}/predictions.parquet")
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def record(directory, place):
    return json.loads((directory / place / "run.json").read_text())


def test_each_link_begins_where_the_last_one_ended(finished):
    first, second = (
        record(finished, f"results/{name}/pretrain/seed1") for name in ("windows/runs/small", "others/runs/first")
    )
    last, twin = record(finished, LAST), record(finished, TWIN)
    assert [one["objective"] for one in (first, second, last, twin)] == [
        "causal",
        "causal",
        "classification",
        "classification",
    ]
    assert [one["initialisation"] for one in (first, second, last, twin)] == [
        "random",
        "pretrained",
        "pretrained",
        "random",
    ]
    for one in (second, last):
        assert one["certificate"]["language_model"]["objective"] == "causal"
    assert last["certificate"]["missing"] == ["score.weight"] and twin["certificate"] is None
    logs = [
        pd.read_csv(finished / f"results/{name}/pretrain/seed1/training_log.tsv", sep="\t")
        for name in ("windows/runs/small", "others/runs/first")
    ]
    assert logs[1]["bits_per_base"][0] < logs[0]["bits_per_base"].iloc[0]
    for place in (LAST, TWIN):
        vocabulary = (finished / place / "model/tokenizer.json").read_text()
        assert vocabulary == (finished / "results/windows/runs/small/pretrain/seed1/model/tokenizer.json").read_text()
        assert len(pd.read_parquet(finished / place / "predictions.parquet")) > 10


def test_nothing_is_left_to_do(finished):
    done = run(finished, "-n", f"{LAST}/predictions.parquet", f"{TWIN}/predictions.parquet")
    assert "Nothing to be done" in done.stdout + done.stderr
