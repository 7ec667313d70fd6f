"""Probes: what is fitted and chosen, and a finished probe's scores."""

import json

import numpy as np
import pandas as pd
import pytest
from closeness import close
from small_models import TINY, call, error_line, write_task

from dnalm.config.recipes import Recipe
from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.tables.predictions import read_predictions
from dnalm.training.embedding_files import read_vectors
from dnalm.training.objectives.classification import Classification
from dnalm.training.objectives.regression import Regression
from dnalm.training.probing import PENALTIES, Probe, Vectors, fits, scores_of

RANDOM = np.random.default_rng(3)


def standardised(n=400, hidden=6):
    values = RANDOM.normal(size=(n, hidden))
    return (values - values.mean(axis=0)) / values.std(axis=0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weights", [None, "balanced"])
def test_a_fit_is_at_its_minimum(classes, weights):
    """Of the weighted mean loss + penalty / 2 * squared coefficients, by its gradient."""
    values = standardised()
    truth = (values[:, 0] + RANDOM.normal(size=400) > 0.8).astype(int) + (classes - 2) * (values[:, 1] > 0)
    objective = Classification({k: str(k) for k in range(classes)}, weights)
    share = np.ones(400) if weights is None else 400 / (classes * np.bincount(truth))[truth]
    for penalty, weight, bias, converged in fits(objective, values, truth, classes):
        missed = (scores_of(objective, values @ weight.T + bias) - np.eye(classes)[truth]) * share[:, None]
        gradient = missed.T @ values / 400 + penalty * weight
        # two classes have one logit, whose penalty is on the second class alone
        assert converged and close(gradient[-1 if classes == 2 else slice(None)], 0.0 * gradient[-1 if classes == 2 else slice(None)], 1e-4, scale=1.0)  # fmt: skip
        assert close(missed.mean(axis=0), np.zeros(classes), 1e-4, scale=1.0)


def test_ridge_is_the_closed_form():
    values, targets = standardised(), 5 + 3 * RANDOM.normal(size=400)
    objective = Regression.of_targets(targets)
    aims = (targets - targets.mean()) / targets.std()
    for penalty, weight, bias, _ in fits(objective, values, targets, 1):
        expected = np.linalg.solve(values.T @ values / 400 + penalty * np.eye(6), values.T @ aims / 400)
        assert close(weight[0], expected, 1e-8) and abs(bias[0]) < 1e-9
        assert close(
            scores_of(objective, values @ weight.T + bias)[:, 0], values @ expected * targets.std() + targets.mean()
        )


def test_a_class_without_training_records_has_probability_0():
    values = standardised()
    truth = np.where(values[:, 0] > 0, 3, 1)
    *_, (_, weight, bias, _) = fits(Classification(dict.fromkeys(range(4), "")), values, truth, 4)
    scores = scores_of(Classification(), values @ weight.T + bias)
    assert np.isfinite(scores).all() and (scores[:, [0, 2]] == 0).all()
    assert np.mean(scores.argmax(axis=1) == truth) > 0.97
    with pytest.raises(UserError, match="two classes or more"):
        next(fits(Classification(), values, np.ones(400, dtype=int), 2))


def test_keys_that_a_probe_does_not_have_are_errors():
    assert Recipe(method="probe", class_weights="balanced", max_train_records=50, gpus=1).layers == "all"
    for key, value in (("epochs", 5), ("focal_gamma", 2), ("reverse_complement", True), ("precision", "fp32")):
        with pytest.raises(
            ValueError, match=f"{key}: has no effect on a probe, whose keys are best_metric, class_weights"
        ):
            Recipe(method="probe", **{key: value})


def test_dropped_records_have_no_vectors():
    values = RANDOM.normal(size=(5, 1, 1, 3)).astype(np.float32)
    values[[1, 4]] = np.nan
    assert Vectors(values, {"counts": {"dropped": 2}}).kept().tolist() == [True, False, True, True, False]


@pytest.fixture
def embedded(tmp_path):
    """A task's tables, and vectors that hold its label in layer 1 by `mean` alone, with noise."""
    write_task(tmp_path, {"train": 300, "validation": 150, "test": 24})
    for split in ("train", "validation"):
        labels = pd.read_parquet(tmp_path / f"data/{split}.parquet")["label"].to_numpy()
        values = RANDOM.normal(size=(len(labels), 2, 2, 16)).astype(np.float32)
        values[:, 1, 0] += np.outer(2 * labels - 1, RANDOM.normal(size=16) if split == "never" else np.ones(16))
        facts = {"layers": [0, 1], "layers_of_model": 2, "poolings": ["mean", "max"], "hidden": 16, "device": "cpu",
                 "precision": "fp32", "counts": {"records": len(labels), "dropped": 0}}  # fmt: skip
        (tmp_path / "v").mkdir(exist_ok=True)
        np.save(tmp_path / f"v/{split}.npy", values)
        (tmp_path / f"v/{split}.json").write_text(json.dumps(facts))
    return tmp_path


SMALL = {**TINY, "hidden_size": 16}


def probe(monkeypatch, root, name="run", architecture=SMALL, seed=1, **recipe):
    spec = {
        "recipe": {"method": "probe", "pooling": ["mean", "max"], **recipe}, "seed": seed, "architecture": architecture,
        "checkpoint": None, "max_tokens": None, "labels": None, "initialisation": "random",
    }  # fmt: skip
    options = [("data", "data"), ("vectors", "v"), ("tokenizer", "tokenizer"), ("model", f"{name}/model")]
    options += [("training-log", f"{name}/log.tsv"), ("record", f"{name}/run.json")]
    words = [word for key, path in options for word in (f"--{key}", root / path)]
    return call(monkeypatch, "probe.py", *words, spec=spec)


def test_the_layer_that_holds_the_label_is_chosen(monkeypatch, embedded):
    assert probe(monkeypatch, embedded) == 0
    log, record = pd.read_csv(embedded / "run/log.tsv", sep="\t"), read_json(embedded / "run/run.json")
    assert (
        len(log) == 2 * 2 * len(PENALTIES) and record["chosen"]["layer"] == 1 and record["chosen"]["pooling"] == "mean"
    )
    best = log[log["setting"] == record["best_setting"]].iloc[0]
    assert best["mcc"] == log["mcc"].max() > 0.97 and best["penalty"] == record["chosen"]["penalty"]
    assert (log[(log["layer"] == 0) | (log["pooling"] == "max")]["mcc"] < 0.35).all()


def test_shuffled_labels_are_not_learnt(monkeypatch, embedded):
    for split in ("train", "validation"):
        table = pd.read_parquet(embedded / f"data/{split}.parquet")
        table["label"] = RANDOM.permutation(table["label"].to_numpy())
        table.to_parquet(embedded / f"data/{split}.parquet")
    assert probe(monkeypatch, embedded, layers=[1], pooling=["mean"]) == 0
    assert pd.read_csv(embedded / "run/log.tsv", sep="\t")["mcc"].abs().max() < 0.3


def test_the_seed_draws_the_sample_and_nothing_else(monkeypatch, embedded):
    runs = {"one": (1, {}), "again": (1, {}), "other": (2, {})}
    runs |= {"sample": (1, {"max_train_records": 60}), "resample": (2, {"max_train_records": 60})}
    for name, (seed, recipe) in runs.items():
        assert probe(monkeypatch, embedded, name, seed=seed, **recipe) == 0
    probes = {name: (embedded / name / "model/probe.safetensors").read_bytes() for name in runs}
    assert probes["one"] == probes["again"] == probes["other"] != probes["sample"] != probes["resample"]
    assert read_json(embedded / "sample/run.json")["counts"]["train"]["used"] == 60


def test_a_finished_probe_scores_as_it_was_chosen(monkeypatch, capsys, tmp_path):
    """By the scripts, from tokens to predictions: embed, probe, predict_splits and predict agree, with long records."""
    write_task(tmp_path, {"train": 200, "validation": 60, "test": 30})
    base = {"architecture": TINY, "checkpoint": None, "max_tokens": 16}
    for split in ("train", "validation"):
        spec = base | {"dataset": "d", "model": "m", "split": split, "seed": 1, "pooling": ["mean", "last"], "layers": "all", "overlong": "window"}  # fmt: skip
        options = ("--table", tmp_path / f"data/{split}.parquet", "--tokens", tmp_path / "tokens", "--tokenizer", tmp_path / "tokenizer")  # fmt: skip
        more = ("--device", "cpu", "--vectors", tmp_path / f"v/{split}.npy", "--record", tmp_path / f"v/{split}.json")
        assert call(monkeypatch, "embed.py", *options, *more, spec=spec) == 0
    recipe = {"method": "probe", "pooling": ["mean", "last"], "layers": [1]}
    spec = base | {"recipe": recipe, "seed": 1, "labels": {0: "random", 1: "array"}, "initialisation": "random"}
    places = [("data", "data"), ("vectors", "v"), ("tokenizer", "tokenizer"), ("model", "model")]
    places += [("training-log", "log.tsv"), ("record", "run.json")]
    assert call(monkeypatch, "probe.py", *[w for k, p in places for w in (f"--{k}", tmp_path / p)], spec=spec) == 0
    log, record = pd.read_csv(tmp_path / "log.tsv", sep="\t"), read_json(tmp_path / "run.json")

    scored = (
        "--data",
        tmp_path / "data",
        "--tokens",
        tmp_path / "tokens",
        "--model",
        tmp_path / "model",
        "--device",
        "cpu",
    )
    files = ("--output", tmp_path / "p.parquet", "--counts", tmp_path / "counts.json")
    assert call(monkeypatch, "predict_splits.py", *scored, *files, spec={"overlong": "window", "max_tokens": 16}) == 0
    assert read_json(tmp_path / "counts.json")["validation"]["overlong"] > 0
    found = read_predictions(tmp_path / "p.parquet")["validation"]
    finished, stored = Probe.read(tmp_path / "model"), read_vectors(tmp_path / "v/validation")
    expected = scores_of(Classification(), finished.logits(stored.column(finished.layer, finished.pooling)))
    assert close(found.scores, expected, 1e-5)
    quality = Classification().quality(found.scores, found.labels)
    assert close(quality["loss"], log["validation_loss"][record["best_setting"] - 1], 1e-4)
    assert quality["mcc"] > 0.6

    table = tmp_path / "data/validation.parquet"
    written = ("--model", tmp_path / "model", "--input", table, "--output", tmp_path / "s.tsv", "--device", "cpu")
    assert call(monkeypatch, "predict.py", *written) == 0
    scores = pd.read_csv(tmp_path / "s.tsv", sep="\t")
    assert close(scores[["score_random", "score_array"]].to_numpy(), found.scores, 1e-5)
    capsys.readouterr()
    (tmp_path / "model/probe.safetensors").write_bytes(b"damaged")
    assert call(monkeypatch, "predict.py", *written) == 1
    assert "not a finished probe" in error_line(capsys)
