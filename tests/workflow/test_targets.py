"""A table with numbers to predict, from the config to the metrics."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from closeness import close

from dnalm.metrics import regression_metrics
from dnalm.names import SPLITS


def write_table(path, n=240):
    rng = np.random.default_rng(1)
    sequences = [
        "".join(rng.choice(list("ACGT"), 40, p=[0.5 - gc, gc, gc, 0.5 - gc])) for gc in rng.uniform(0.1, 0.4, n)
    ]
    share = np.array([sum(map(sequence.count, "GC")) / 40 for sequence in sequences])
    table = pd.DataFrame({"note": "x", "Sequence": sequences, "Score": -3 + 10 * share + rng.normal(size=n)})
    table.to_csv(path, index_label="")
    return table


def config(path, **more):
    dataset = {"kind": "table", "path": "scores.csv", "sequence_column": "Sequence", "target_column": "Score", **more}
    path.write_text(yaml.safe_dump({"datasets": {"scores": {**dataset, "baselines": ["mean", "length_gc"]}}}))
    return path


def test_from_the_config_to_the_metrics(snakemake, tmp_path):
    table = write_table(tmp_path / "scores.csv")
    done = snakemake("metrics", "--configfile", config(tmp_path / "c.yaml", max_records={"train": 100}))
    assert done.returncode == 0, done.stdout + done.stderr
    results = tmp_path / "results/scores"
    parts = pd.concat([pd.read_parquet(results / f"data/{split}.parquet") for split in SPLITS])
    rows = parts["id"].str.removeprefix("table-").astype(int) - 1
    assert len(parts) == 100 + 48 + 48 and (parts["target"].to_numpy() == table["Score"].to_numpy()[rows]).all()
    manifest = json.loads((results / "data/manifest.json").read_text())
    assert [line["dropped"] for line in manifest["ledger"]] == [{}, {"max_records": 44}]
    metrics = json.loads((results / "runs/baseline/length_gc/seed1/metrics.json").read_text())
    predictions = pd.read_parquet(results / "runs/baseline/length_gc/seed1/predictions.parquet")
    test = predictions[predictions["split"] == "test"]
    assert {name: metrics[name] for name in ("spearman", "r2", "rmse")} == pytest.approx(
        {k: v for k, v in regression_metrics(test["target"], test["prediction"]).items() if k != "pearson"}
    )
    assert metrics["intervals"]["spearman"]["low"] > 0 and metrics["spearman"] > 0.4
    summary = pd.read_csv(tmp_path / "results/summary/metrics.tsv", sep="\t")
    assert summary["recipe"].tolist() == ["length_gc", "mean"] and set(summary["objective"]) == {"regression"}
    assert close(summary["spearman"], [metrics["spearman"], 0])
    assert json.loads((results / "comparison.json").read_text())["note"] == "There is no model to compare."


def test_a_value_that_is_no_number_is_one_line(snakemake, tmp_path):
    table = write_table(tmp_path / "scores.csv").astype({"Score": str})
    table.loc[7, "Score"] = "n/a"
    table.to_csv(tmp_path / "scores.csv", index_label="")
    done = snakemake("metrics", "--configfile", config(tmp_path / "c.yaml"))
    assert done.returncode != 0 and not list(tmp_path.glob("results/scores/preparation/*"))
    log = (tmp_path / "logs/import_table/scores.log").read_text()
    assert log.splitlines()[-1] == "error: scores.csv, line 9: target 'n/a' is not a number (such as -1.5 or 2e-3)"
