"""Metrics, predictions, curves and the summary, checked against scikit-learn and by hand."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closeness import close
from clustered import SETTINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from script_runs import run_script
from sklearn import metrics as sk

from dnalm.config.base import Settings
from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import SummarizeSettings
from dnalm.errors import UserError
from dnalm.evaluation.report.summary import summarize
from dnalm.evaluation.statistics.curves import precision_recall, roc
from dnalm.evaluation.statistics.metric_names import METRICS
from dnalm.evaluation.statistics.run_metrics import evaluate, split_metrics
from dnalm.files import write_json
from dnalm.tables.predictions import ClassPredictions, read_predictions, write_predictions


def predictions(labels, scores) -> ClassPredictions:
    ids = np.array([f"r{i}" for i in range(len(labels))], dtype=object)
    return ClassPredictions(ids, np.array(labels, dtype=np.int64), np.array(scores, dtype=float))


@st.composite
def scored(draw, classes: int):
    n = draw(st.integers(2, 60))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    weights = draw(st.lists(st.lists(st.integers(1, 20), min_size=classes, max_size=classes), min_size=n, max_size=n))
    scores = np.array(weights, dtype=float)
    return predictions(labels, scores / scores.sum(axis=1, keepdims=True))


@given(st.integers(2, 4).flatmap(scored))
@settings(max_examples=60, deadline=None)
def test_metrics_agree_with_scikit_learn(given_predictions):
    labels, scores = given_predictions.labels, given_predictions.scores
    classes = list(range(scores.shape[1]))
    guess = scores.argmax(axis=1)
    found = split_metrics(given_predictions, 15)
    assert found["accuracy"] == sk.accuracy_score(labels, guess)
    assert close(found["mcc"], sk.matthews_corrcoef(labels, guess), 1e-12, scale=1)
    for name, function in (
        ("macro_f1", sk.f1_score),
        ("macro_precision", sk.precision_score),
        ("macro_recall", sk.recall_score),
    ):
        expected = function(labels, guess, labels=classes, average="macro", zero_division=0)
        assert close(found[name], expected, 1e-12), name
    assert close(found["log_loss"], sk.log_loss(labels, scores, labels=classes), 1e-12, scale=1)
    one = scores[:, 1] if len(classes) == 2 else scores
    assert close(found["brier"], sk.brier_score_loss(labels, one, labels=classes), 1e-12, scale=1)
    assert found["confusion_matrix"] == sk.confusion_matrix(labels, guess, labels=classes).tolist()
    assert sum(map(sum, found["confusion_matrix"])) == found["n"] == len(labels)
    assert [found["n_per_class"][str(k)] for k in classes] == [sum(row) for row in found["confusion_matrix"]]
    if len(set(labels)) < 2:
        assert found["auroc"] is None and found["auprc"] is None
    elif len(classes) == 2:
        assert close(found["auroc"], sk.roc_auc_score(labels, scores[:, 1]), 1e-12, scale=1)
        assert close(found["auprc"], sk.average_precision_score(labels, scores[:, 1]), 1e-12, scale=1)
    elif len(set(labels)) == len(classes):
        expected = sk.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
        assert close(found["auroc"], expected, 1e-12, scale=1)


def test_ties_go_to_the_lower_label_and_a_sure_mistake_costs_a_finite_loss():
    found = split_metrics(predictions([1, 0], [[0.5, 0.5], [0.0, 1.0]]), 15)
    assert found["confusion_matrix"] == [[0, 1], [1, 0]]
    assert found["mcc"] == -1
    assert found["log_loss"] == pytest.approx((math.log(2) - math.log(1e-6)) / 2)


def test_a_class_that_does_not_occur_is_left_out_of_the_rank_metrics():
    found = split_metrics(
        predictions([0, 1, 0, 1], [[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.2, 0.7, 0.1]]), 15
    )
    assert found["auroc"] == 1
    assert found["n_per_class"] == {"0": 2, "1": 2, "2": 0}


@given(st.integers(2, 4).flatmap(scored))
@settings(max_examples=40, deadline=None)
def test_areas_under_the_curves_are_the_metrics(given_predictions):
    found = split_metrics(given_predictions, 15)
    if found["auroc"] is None:
        assert roc(given_predictions) is None and precision_recall(given_predictions) is None
        return
    x, y = roc(given_predictions)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1) and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(found["auroc"], abs=0.01)
    recall, precision = precision_recall(given_predictions)
    assert precision.mean() == pytest.approx(found["auprc"], abs=0.02)
    assert len(x) <= 400 and len(recall) <= 400


@given(st.integers(2, 4).flatmap(scored))
@settings(max_examples=40, deadline=None)
def test_curves_are_those_of_scikit_learn(given_predictions):
    rankings = given_predictions.one_against_rest()
    if not rankings:
        return
    x, y = roc(given_predictions)
    expected = [np.interp(x[1:], *sk.roc_curve(truth, scores)[:2]) for truth, scores in rankings]
    assert y[1:] == pytest.approx(np.mean(expected, axis=0), rel=1e-12)
    x, y = precision_recall(given_predictions)
    heights = []
    for truth, scores in rankings:
        precision, recall, _ = sk.precision_recall_curve(truth, scores)
        heights.append(precision[::-1][np.searchsorted(recall[::-1], x)])
    assert y == pytest.approx(np.mean(heights, axis=0), rel=1e-12)


def test_a_metrics_file_holds_what_the_contract_names():
    rng = np.random.default_rng(0)
    for classes in (2, 3):
        labels = rng.integers(classes, size=300)
        scores = rng.random((300, classes)) + 0.5 * np.eye(classes)[labels]
        scored = predictions(labels, scores / scores.sum(axis=1, keepdims=True))
        groups = np.arange(300) // 3
        both = dict.fromkeys(("validation", "test"), scored)
        found = evaluate(both, dict.fromkeys(both, groups), SETTINGS.model_copy(update={"temperature": True}))
        names = set(METRICS["classification"])
        assert names <= set(found) and names <= set(found["validation"]) and found["objective"] == "classification"
        assert set(found["intervals"]) == names and found["intervals_note"] == ""
        for name, bound in found["intervals"].items():
            assert bound["low"] <= found[name] <= bound["high"]
        assert found["groups"] == {"number": 100, "effective": 100, "largest": 3, "largest_fraction": 0.01}
        assert found["calibration"]["ece"] == found["ece"] and found["calibration"]["brier"] == found["brier"]
        assert found["calibration"]["brier_interval"] == found["intervals"]["brier"]
        assert (found["threshold"] is None) == (found["prevalence"] is None) == (classes == 3)
        json.dumps(found, allow_nan=False)


def table(**changes) -> pd.DataFrame:
    columns = {
        "id": ["a", "b", "c", "d"],
        "split": ["validation", "validation", "test", "test"],
        "label": [0, 1, 0, 1],
        "score_0": [0.9, 0.2, 0.6, 0.5],
        "score_1": [0.1, 0.8, 0.4, 0.5],
    }
    return pd.DataFrame(columns | changes)


def test_predictions_survive_a_round_trip_in_the_order_of_the_splits(tmp_path):
    path = tmp_path / "p.parquet"
    table().iloc[::-1].to_parquet(path)
    read = read_predictions(path)
    assert list(read) == ["validation", "test"]
    assert read["test"].ids.tolist() == ["d", "c"] and read["test"].predicted.tolist() == [0, 0]
    write_predictions(path, read)
    first = path.read_bytes()
    write_predictions(path, read_predictions(path))
    assert path.read_bytes() == first
    assert pd.read_parquet(path).columns.tolist() == ["id", "split", "label", "score_0", "score_1"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": ["a", "b", "b", "d"]}, "record 'b': the id occurs twice"),
        ({"split": ["validation", "train", "test", "test"]}, "record 'b': its split is neither"),
        ({"split": ["test"] * 4}, "no records of split 'validation'"),
        ({"label": [0, 1, 2, 1]}, "record 'c': its label is not one of 0 .. 1"),
        ({"label": [0, 1, None, 1]}, "record 'c': its label is not one of 0 .. 1"),
        ({"label": [0, -1, 0, 1]}, "record 'b': its label is not one of 0 .. 1"),
        ({"score_1": [0.1, float("nan"), 0.4, 0.5]}, "record 'b': a score is missing"),
        ({"score_1": [0.1, float("inf"), 0.4, 0.5]}, "record 'b': a score is missing or not a number"),
        ({"score_0": [1.2, 0.2, 0.6, 0.5], "score_1": [-0.2, 0.8, 0.4, 0.5]}, "record 'a': a score lies outside"),
        ({"score_1": [0.1, 0.8, 0.5, 0.5]}, "record 'c': its scores do not sum to 1 (1 such records)"),
    ],
)
def test_bad_predictions_are_named(tmp_path, changes, said):
    path = tmp_path / "p.parquet"
    table(**changes).to_parquet(path)
    with pytest.raises(UserError) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("column", ["id", "split", "label", "score_0", "score_1"])
def test_a_missing_column_is_named(tmp_path, column):
    path = tmp_path / "p.parquet"
    table().drop(columns=column).to_parquet(path)
    with pytest.raises(UserError, match=r"no column|score columns"):
        read_predictions(path)


def call(script: str, settings: Settings, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_script(script, *arguments, spec=settings)


def test_evaluate_writes_metrics_or_one_line(tmp_path):
    path, output = tmp_path / "p.parquet", tmp_path / "out" / "metrics.json"
    table().to_parquet(path)
    for split, ids in (("validation", ["b", "a"]), ("test", ["c", "d"])):  # joined by id
        labels = [int(name in "bd") for name in ids]
        pd.DataFrame({"id": ids, "label": labels, "group": ids}).to_parquet(tmp_path / f"{split}.parquet")
    places = ("--predictions", path, "--data", tmp_path, "--output", output)
    assert call("evaluate.py", SETTINGS, *places).returncode == 0
    groups = {"validation": np.array(["a", "b"]), "test": np.array(["c", "d"])}
    assert json.loads(output.read_text()) == evaluate(read_predictions(path), groups, SETTINGS)
    output.unlink()
    table(label=[0, 1, 7, 1]).to_parquet(path)
    failed = call("evaluate.py", SETTINGS, *places)
    assert failed.returncode == 1 and list(output.parent.iterdir()) == []
    assert failed.stderr == f"error: {path}: record 'c': its label is not one of 0 .. 1 (1 such records)\n"


def test_summary_has_one_row_a_run_in_fixed_columns(tmp_path):
    runs = [
        SeededRun(dataset="d", model="baseline", recipe="kmer", seed=1),
        SeededRun(dataset="d", model="small", recipe="scratch", seed=7),
    ]
    groups = dict.fromkeys(("validation", "test"), np.array([0, 1]))
    poor = {"test": predictions([0, 0], [[0.9, 0.1]] * 2), "validation": predictions([0, 1], [[0.9, 0.1]] * 2)}
    one_class = evaluate(poor, groups, SETTINGS)
    good = dict.fromkeys(("test", "validation"), predictions([0, 1], [[0.9, 0.1], [0.2, 0.8]]))
    good = evaluate(good, groups, SETTINGS)
    for run, metrics in zip(runs, (good, one_class), strict=True):
        write_json(tmp_path / run.folder / "metrics.json", metrics)
    output = tmp_path / "summary" / "metrics.tsv"
    assert call("summarize.py", SummarizeSettings(runs=runs), "--results", tmp_path, "--output", output).returncode == 0
    lines = [line.split("\t") for line in output.read_text().splitlines()]
    names = list(METRICS["classification"])
    assert lines[0][:16] == ["dataset", "model", "recipe", "seed", "objective", "n", *names]
    assert lines[0][16] == "validation_n" and lines[0][17:] == [f"validation_{name}" for name in names]
    assert lines[1][:8] == ["d", "baseline", "kmer", "1", "classification", "2", "1", "1"]
    assert lines[2][lines[0].index("auroc")] == "NA" and lines[2][lines[0].index("validation_auroc")] == "0.5"
    assert list(summarize(tmp_path, []).columns) == [*lines[0][:6], "validation_n"]
