"""The whole chain on a tiny simulated genome and a tiny table: what it makes, and what it does the second time."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from faults import results

CONFIG = {
    "genomes": {"tiny": {"simulate": {"chromosomes": 2, "length": 100_000, "arrays": 100, "seed": 3}}},
    "catalogues": {"arrays": {"genome": "tiny", "simulated": True}},
    "datasets": {
        "repeats": {
            "kind": "repeats",
            "genome": "tiny",
            "catalogue": "arrays",
            "flank": 5,
            "negatives": {"unique": 2, "interspersed": 1, "shuffled": 1},
            "baselines": ["majority", "periodicity", "cnn"],
            "background": 200,
        },
        "table": {"kind": "table", "path": "table.csv", "labels": {0: "other", 1: "planted"}, "baselines": ["kmer"]},
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
    "recipes": {"short": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 16, "reverse_complement": True}},
    "runs": [
        {"dataset": "repeats", "model": "small", "recipe": "short", "seeds": [1]},
        {"dataset": "table", "model": "small", "recipe": "short", "seeds": [1]},
    ],
    "device": "cpu",
}  # fmt: skip

RUN = "results/repeats/runs/small/short/seed1"


def prepare(directory):
    """A config and a table with a planted motif, in an empty directory."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    rows = []
    for index in range(200):
        text = hashlib.sha256(str(index).encode()).hexdigest()
        sequence = "".join("ACGT"[int(digit, 16) % 4] for digit in text)
        rows.append((sequence[:20] + ("TATATAAG" if index % 2 else "") + sequence[20:], index % 2))
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(directory / "table.csv", index=False)
    return directory


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = prepare(tmp_path_factory.mktemp("chain"))
    result = run(directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


def run(directory, *arguments):
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml", *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


def test_everything_is_there(finished):
    summary = pd.read_csv(finished / "results/summary/metrics.tsv", sep="\t")
    assert sorted(summary["dataset"].value_counts().items()) == [("repeats", 4), ("table", 2)]
    assert summary["accuracy"].between(0, 1).all()
    assert "<html" in (finished / "results/report/index.html").read_text()
    page = (finished / "results/report/repeats.html").read_text()
    for split in ("train", "validation", "test"):
        for label, count in (
            pd.read_parquet(finished / f"results/repeats/data/{split}.parquet")["label"].value_counts().items()
        ):
            assert re.search(rf"{split}</th>(<td>[0-9,]+</td>)*<td>{count:,}</td>", page), (split, label)
    metrics = json.loads((finished / RUN / "metrics.json").read_text())
    assert metrics["prevalence"]["negatives"] == "background" and metrics["prevalence"]["n_negatives"] > 50
    assert json.loads((finished / "results/repeats/comparison.json").read_text())["primary"]["against"] in (
        "periodicity",
        "cnn",
        "majority",
    )
    card = (finished / RUN / "README.md").read_text()
    assert card == (finished / RUN / "model/README.md").read_text() and card.startswith("---\n")
    checks = {
        check["name"]: check for check in json.loads((finished / "results/repeats/audit.json").read_text())["checks"]
    }
    assert (
        checks["shared_sequences"]["status"] == "pass"
        and checks["overlong"]["details"]["models"]["small"]["limit"] == 64
    )
    log = pd.read_csv(finished / RUN / "training_log.tsv", sep="\t")
    assert len(log) == 2
    assert log.notna().all(axis=None)


def test_ledger_sums_hold(finished):
    for dataset in ("repeats", "table"):
        manifest = json.loads((finished / f"results/{dataset}/data/manifest.json").read_text())
        for line in manifest["ledger"]:
            assert line["in"] == line["kept"] + sum(line["dropped"].values())
        kept = {
            split: len(pd.read_parquet(finished / f"results/{dataset}/data/{split}.parquet"))
            for split in manifest["splits"]
        }
        assert kept == {split: value["records"] for split, value in manifest["splits"].items()}


def test_no_group_is_in_two_splits_and_no_negative_overlaps_a_repeat(finished):
    splits = [
        pd.read_parquet(finished / f"results/repeats/data/{name}.parquet") for name in ("train", "validation", "test")
    ]
    groups = [set(split["group"]) for split in splits]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    arrays = pd.read_parquet(finished / "results/catalogues/arrays.parquet")
    records = pd.concat(splits)
    cut = records[records["source"].isin(["unique", "interspersed"])]
    assert set(cut["source"]) == {"unique", "interspersed"}
    pairs = cut.merge(arrays, on="chrom", suffixes=("", "_array"))
    assert not ((pairs["start"] < pairs["end_array"]) & (pairs["start_array"] < pairs["end"])).any()
    assert (records["sequence"].str.len() >= 26 + 10).all()


def test_a_second_run_does_nothing(finished):
    result = run(finished)
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout + result.stderr


def test_a_touched_input_and_other_cores_re_run_nothing(finished):
    os.utime(finished / "table.csv")
    result = run(finished, "--dry-run", "--cores", "1")
    assert "Nothing to be done" in result.stdout + result.stderr


def test_a_changed_recipe_re_runs_the_training_alone(finished):
    config = json.loads(json.dumps(CONFIG))
    config["recipes"]["short"]["weight_decay"] = 0.5
    (finished / "changed.yaml").write_text(yaml.safe_dump(config))
    result = run(finished, "--dry-run", "--quiet", "rules", "--configfile", finished / "changed.yaml")
    planned = {
        line.split()[0]
        for line in result.stdout.splitlines() + result.stderr.splitlines()
        if line and line.split()[-1].isdigit()
    }
    assert planned - {"total", "all"} == {
        "finetune",
        "predict_splits",
        "evaluate",
        "plan",
        "look",
        "compare",
        "model_card",
        "summarize",
        "report",
    }


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(finished, tmp_path):
    """As far as a training's metrics; the slow tests kill the whole chain, and again and again."""
    directory = prepare(tmp_path / "killed")
    wanted = RUN.replace("repeats", "table") + "/metrics.json"
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += [
        "--workflow-profile",
        ROOT / "profiles/default",
        "--configfile",
        directory / "config.yaml",
        "--cores",
        "2",
        wanted,
    ]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
    deadline = time.monotonic() + 300
    while not list(directory.glob("logs/finetune/**/*.log")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (directory / wanted).exists()
    locked = run(directory, "--cores", "2", wanted)
    assert locked.returncode != 0
    assert "--unlock" in locked.stderr
    assert run(directory, "--unlock").returncode == 0
    result = run(directory, "--cores", "2", wanted)
    assert result.returncode == 0, result.stderr
    first, second = results(finished), results(directory)
    assert len(first) > 40 and len(second) > 10 and wanted in second
    assert second == {name: digest for name, digest in first.items() if name in second}
    assert not list(directory.rglob("*.tmp"))


def test_snakemakes_own_report(finished):
    result = run(finished, "--report", "report.zip")
    assert result.returncode == 0, result.stderr
    assert (finished / "report.zip").stat().st_size > 10_000
