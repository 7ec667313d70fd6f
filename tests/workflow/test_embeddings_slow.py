"""Embeddings and probes by the workflow: a model, its probe, a random twin's, and vectors to take away."""

import hashlib
import re
import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import ROOT
from pages import checked

from dnalm.files import read_json

pytestmark = pytest.mark.slow

CONFIG = {
    "datasets": {"table": {"kind": "table", "path": "table.csv", "labels": {0: "other", 1: "planted"}, "baselines": ["kmer"]}},
    "models": {
        "small": {
            "architecture": {
                "model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 64, "max_position_embeddings": 64,
            },
            "tokenizer": {"train": "bpe", "vocabulary": 100},
        },
        "tuned": {"run": "table/small/short/seed1"},
        "twin": {"run": "table/small/short/seed1", "initialisation": "random"},
    },
    "recipes": {
        "short": {"learning_rate": 1e-3, "epochs": 1, "batch_size": 16},
        "probe": {"method": "probe", "pooling": ["mean", "cls"]},
    },
    "embeddings": {"vectors": {"model": "tuned", "dataset": "table", "splits": ["validation", "test"], "pooling": ["max"], "layers": [0, -1]}},
    "runs": [
        {"dataset": "table", "model": "small", "recipe": "short"},
        {"dataset": "table", "model": "tuned", "recipe": "probe", "seeds": [1, 2]},
        {"dataset": "table", "model": "twin", "recipe": "probe", "seeds": [1, 2]},
    ],
    "device": "cpu",
}  # fmt: skip


def run(directory, *arguments):
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--configfile", directory / "config.yaml", *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("embeddings")
    (directory / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    rows = []
    for index in range(240):
        text = hashlib.sha256(str(index).encode()).hexdigest()
        sequence = "".join("ACGT"[int(digit, 16) % 4] for digit in text)
        rows.append((sequence[:20] + ("TATATAAG" * 2 if index % 2 else "") + sequence[20:], index % 2))
    pd.DataFrame(rows, columns=["sequence", "label"]).to_csv(directory / "table.csv", index=False)
    result = run(directory)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


def test_vectors_are_stored_once_for_all_that_read_them(finished):
    stored = finished / "results/table/embeddings"
    own = read_json(stored / "tuned/pretrained-window/validation.json")
    assert own["poolings"] == ["cls", "max", "mean"] and own["layers"] == [0, 1] and own["seed"] is None
    assert read_json(stored / "tuned/pretrained-window/test.json")["poolings"] == ["max"]
    assert sorted(path.name for path in (stored / "twin").iterdir()) == ["seed1-window", "seed2-window"]
    assert not (stored / "twin/seed1-window/test.npy").exists()


def test_an_embedding_has_ids_vectors_and_a_map(finished):
    folder = finished / "results/embeddings/vectors"
    ids = pd.read_parquet(finished / "results/table/data/test.parquet")["id"].tolist()
    rows, values = pq.read_table(folder / "test.parquet"), np.load(folder / "test.npy")
    assert rows.column_names == ["id", "max_layer0", "max_layer1"] and rows["id"].to_pylist() == ids
    assert values.shape == (len(ids), 2, 1, 32)
    assert np.array_equal(np.stack(rows["max_layer1"].to_numpy()), values[:, 1, 0])
    points = pd.read_csv(folder / "map.tsv", sep="\t")
    assert set(points["split"]) == {"validation", "test"} and points["label"].isin([0, 1]).all()


def test_a_probe_is_a_run_like_any_other(finished):
    runs = finished / "results/table/runs"
    for model in ("tuned", "twin"):
        record = read_json(runs / model / "probe/seed1/run.json")
        assert record["best_setting"] and record["trainable_parameters"] == 2 * 33
        log = pd.read_csv(runs / model / "probe/seed1/training_log.tsv", sep="\t")
        validation = read_json(runs / model / "probe/seed1/metrics.json")["validation"]
        assert log["mcc"].max() == pytest.approx(validation["mcc"], abs=1e-3)
        assert {
            "config.json",
            "model.safetensors",
            "probe.json",
            "probe.safetensors",
            "tokenizer.json",
            "README.md",
        } <= {path.name for path in (runs / model / "probe/seed1/model").iterdir()}
    same = [(runs / f"tuned/probe/seed{seed}/model/probe.safetensors").read_bytes() for seed in (1, 2)]
    other = [(runs / f"twin/probe/seed{seed}/model/probe.safetensors").read_bytes() for seed in (1, 2)]
    assert same[0] == same[1] and other[0] != other[1]
    twins = read_json(finished / "results/table/comparison.json")["twins"]
    assert [(one["model"], one["recipe"], one["against"]) for one in twins] == [("tuned", "probe", "twin")]


def test_the_report_shows_settings_and_map(finished):
    page = (finished / "results/report/index.html").read_text()
    text = " ".join(checked(page).text)
    assert "the best of 20 settings by validation MCC" in text
    assert re.search(r"tuned · probe: its 2 seeds are the same run", text) and "2 seeds, the same run" in text
    assert "twin · probe: its 2 seeds" not in text
    assert "tuned on validation and test: max of layer 1, 32 numbers a record" in text
    assert "coloured by label" in page
    card = (finished / "results/table/runs/tuned/probe/seed1/README.md").read_text()
    assert "penalty" in card and "pipeline(" not in card


def test_another_pooling_embeds_again_and_trains_nothing_else(finished):
    changed = yaml.safe_load((finished / "config.yaml").read_text())
    changed["embeddings"]["vectors"]["pooling"] = ["last"]
    (finished / "config.yaml").write_text(yaml.safe_dump(changed))
    planned = set(re.findall(r"^(?:local)?rule (\w+):", run(finished, "-n").stdout, re.MULTILINE))
    assert {"embed", "select_embeddings", "map_embeddings", "report"} <= planned
    assert not planned & {"finetune", "tokenize", "certify", "audit", "baseline"}
