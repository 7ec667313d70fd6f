"""Intervals: replicates agree with scikit-learn, coverage is what it should be, and too little data is said to be so."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closeness import close
from clustered import SETTINGS, group_sizes, simulate, true_metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from script_runs import run_script
from sklearn import metrics as sk

from dnalm.evaluation.statistics.grouped import HARD_METRICS, RANKED, GroupedMetrics, group_confusions
from dnalm.evaluation.statistics.resampling import critical, draws, group_facts, interval, intervals
from dnalm.tables.predictions import ClassPredictions, write_predictions

HARD = ("accuracy", "mcc", "macro_f1", "macro_precision", "macro_recall")


def predictions(labels, scores) -> ClassPredictions:
    ids = np.array([f"r{i}" for i in range(len(labels))], dtype=object)
    return ClassPredictions(ids, np.array(labels, dtype=np.int64), np.array(scores, dtype=float))


@st.composite
def weighted(draw):
    """Predictions with many ties, their groups, and one weight a group."""
    classes, groups, n = draw(st.integers(2, 4)), draw(st.integers(2, 8)), draw(st.integers(2, 40))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    parts = draw(st.lists(st.lists(st.integers(1, 5), min_size=classes, max_size=classes), min_size=n, max_size=n))
    codes = np.array(draw(st.lists(st.integers(0, groups - 1), min_size=n, max_size=n)))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=groups, max_size=groups)), dtype=float)
    if not weights[codes].any():
        weights[codes[0]] = 1
    scores = np.array(parts, dtype=float)
    return predictions(labels, scores / scores.sum(axis=1, keepdims=True)), codes, weights


@given(weighted())
@pytest.mark.filterwarnings("ignore:A single label")
@settings(max_examples=150, deadline=None)
def test_every_replicate_is_scikit_learns(case):
    scored, codes, weights = case
    found = GroupedMetrics(scored, codes, len(weights)).measure(weights[None])
    labels, guess, w, classes = scored.labels, scored.predicted, weights[codes], list(range(scored.classes))
    macro = {"labels": classes, "average": "macro", "zero_division": 0, "sample_weight": w}
    one = scored.scores[:, 1] if scored.classes == 2 else scored.scores
    expected = {
        "accuracy": sk.accuracy_score(labels, guess, sample_weight=w),
        "mcc": sk.matthews_corrcoef(labels, guess, sample_weight=w),
        "macro_f1": sk.f1_score(labels, guess, **macro),
        "macro_precision": sk.precision_score(labels, guess, **macro),
        "macro_recall": sk.recall_score(labels, guess, **macro),
        "log_loss": sk.log_loss(labels, scored.scores, labels=classes, sample_weight=w),
        "brier": sk.brier_score_loss(labels, one, labels=classes, sample_weight=w),
    }
    rankings = scored.one_against_rest()
    if rankings and all(0 < w[truth].sum() < w.sum() for truth, _ in rankings):
        expected["auroc"] = np.mean([sk.roc_auc_score(*ranking, sample_weight=w) for ranking in rankings])
        expected["auprc"] = np.mean([sk.average_precision_score(*ranking, sample_weight=w) for ranking in rankings])
    elif rankings:
        assert np.isnan(found["auroc"][0]).all() and np.isnan(found["auprc"][0]).all()
    for name, value in expected.items():
        assert close(found[name][0][0], value, 1e-12, scale=1), name


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_standard_errors_are_those_of_the_derivatives(classes):
    rng = np.random.default_rng(classes)
    scores = rng.random((200, classes)).round(1) + 0.05
    labels = rng.integers(classes, size=200)
    scores[np.arange(200), labels] += 0.3
    codes, groups = rng.integers(20, size=200), 20
    metrics = GroupedMetrics(predictions(labels, scores / scores.sum(axis=1, keepdims=True)), codes, groups)
    weights = rng.multinomial(groups, np.full(groups, 1 / groups)).astype(float)
    step = 1e-5 * np.eye(groups)
    up, down = metrics.measure(weights + step), metrics.measure(weights - step)
    found = metrics.measure(weights[None])
    assert set(found) == {*HARD, *RANKED, "log_loss", "brier"}
    for name, (_, error) in found.items():
        slopes = (up[name][0] - down[name][0]) / 2e-5
        assert error[0] == pytest.approx(np.sqrt(groups / (groups - 1) * (weights * slopes**2).sum()), rel=1e-5), name


def test_confusions_of_groups_by_hand():
    scored = predictions([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    assert group_confusions(scored, np.array([0, 0, 1]), 2).tolist() == [[1, 0, 0, 1], [0, 0, 1, 0]]
    value, gradient = HARD_METRICS["mcc"](np.array([[[5.0, 0], [3, 0]]]))
    assert value.tolist() == [0] and not gradient.any()


def test_draws_are_the_same_however_many_are_asked_for():
    first = np.concatenate(list(draws(5, 7, seed=3)))
    assert first.shape == (7, 5) and (first.sum(axis=1) == 5).all()
    assert np.array_equal(first, np.concatenate(list(draws(5, 20, seed=3)))[:7])
    sizes = [len(part) for part in draws(1_000_000, 5, seed=3)]
    assert sizes == [2, 2, 1]


def test_an_interval_by_hand():
    values, errors = np.array([0.0, 0.1, -0.1, 0.3]), np.full(4, 0.1)
    found = interval("mcc", (np.array([0.0]), np.array([0.05])), (values, errors), 0.6)
    # |t| of the replicates: 0, 1, 1, 3 (atanh of small numbers); the third of four is the quantile of .6
    t = math.atanh(0.1) / (0.1 / (1 - 0.01))
    assert found == pytest.approx((-math.tanh(t * 0.05), math.tanh(t * 0.05)))
    assert critical(np.array([3.0, 1.0, 2.0]), 0.75) == 3 and critical(np.array([3.0, 1.0, 2.0]), 0.9) == math.inf


def test_intervals_lie_within_bounds_and_hold_the_value():
    (scored,), codes = simulate(np.random.default_rng(0), np.full(60, 5), 2.2)
    found = intervals(scored, codes, SETTINGS)
    assert found.note == "" and set(found.bounds) == {*HARD, *RANKED, "log_loss", "brier"}
    observed = GroupedMetrics(scored, codes, 60).measure(np.ones((1, 60)))
    for name, bound in found.bounds.items():
        assert 0 < bound["low"] < observed[name][0][0] < bound["high"] and (name == "log_loss" or bound["high"] < 1)
    assert found == intervals(scored, np.array([f"g{code:02}" for code in codes]), SETTINGS)
    shuffled = np.random.default_rng(1).permutation(len(codes))
    again = intervals(
        ClassPredictions(scored.ids[shuffled], scored.labels[shuffled], scored.scores[shuffled]),
        codes[shuffled],
        SETTINGS,
    )
    for name, bound in found.bounds.items():
        assert close(again.bounds[name], bound, 1e-12)


def test_related_records_make_intervals_wider():
    rng = np.random.default_rng(2)
    (scored,), codes = simulate(rng, np.full(40, 25), 1.0, spread=1.5)
    grouped = intervals(scored, codes, SETTINGS).bounds["mcc"]
    single = intervals(scored, np.arange(len(codes)), SETTINGS).bounds["mcc"]
    assert grouped["high"] - grouped["low"] > 2 * (single["high"] - single["low"])


def test_too_few_effective_groups_give_none_and_say_so():
    limits = SETTINGS.model_copy(update={"effective_groups": 30, "largest_group": 0.05})
    scored = predictions([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    found = intervals(scored, np.array(["a", "b", "c"]), limits)
    assert found.bounds == {}
    assert found.note == "Intervals not given: 3 effective groups of records, at least 30 are needed."
    # 100 groups, but one of them holds half of the records: 200^2 / (100^2 + 100) = 3.96
    (scored,), codes = simulate(np.random.default_rng(0), np.array([100] + [1] * 100), 1.0)
    assert "3.9 effective groups" in intervals(scored, codes, limits).note
    facts = group_facts(codes)
    assert facts == {"number": 101, "effective": pytest.approx(3.960396), "largest": 100, "largest_fraction": 0.5}


def test_a_large_group_is_a_caution():
    (scored,), codes = simulate(np.random.default_rng(0), np.array([12] + [1] * 188), 1.0)
    found = intervals(scored, codes, SETTINGS.model_copy(update={"effective_groups": 30, "largest_group": 0.05}))
    assert found.bounds and found.note == "One group holds 6.0% of the records: the intervals may be too narrow."


def test_what_does_not_vary_has_no_interval():
    labels = np.arange(200) % 2
    constant = predictions(labels, np.full((200, 2), 0.5))
    found = intervals(constant, np.arange(200), SETTINGS)
    assert "accuracy" in found.bounds and {"mcc", "auroc"}.isdisjoint(found.bounds)
    assert found.note.startswith("No interval of mcc") and "auroc" in found.note
    one_class = intervals(
        predictions(np.zeros(200, int), np.tile([[0.9, 0.1], [0.4, 0.6]], (100, 1))), np.arange(200), SETTINGS
    )
    assert set(one_class.bounds) >= {"accuracy", "log_loss"} and "auroc" not in one_class.bounds


def test_95_percent_intervals_hold_the_truth_95_times_of_100():
    rng, repeats, number, separation = np.random.default_rng(7), 500, 120, 1.0
    truth, held = true_metrics(separation), {"mcc": 0, "auroc": 0}
    for repeat in range(repeats):
        sizes = group_sizes(rng, number, 4, 0.8, largest=0.05)
        assert len(sizes) >= 100 and sizes.max() <= 0.05 * sizes.sum()
        (scored,), codes = simulate(rng, sizes, separation)
        found = intervals(scored, codes, SETTINGS.model_copy(update={"replicates": 200, "seed": repeat})).bounds
        for name in held:
            held[name] += found[name]["low"] <= truth[name] <= found[name]["high"]
    assert all(0.93 <= count / repeats <= 0.97 for count in held.values()), held


def call(path: Path, **spec) -> subprocess.CompletedProcess[str]:
    places = ["--predictions", path / "p.parquet", "--data", path / "data", "--output", path / "out" / "metrics.json"]
    return run_script("evaluate.py", *places, spec=SETTINGS.model_copy(update=spec))


def write(path: Path, size: int, **changes) -> None:
    """Predictions of validation and test, `size` records each, and their tables; changes are made to that of test."""
    scored = {}
    for split in ("validation", "test"):
        scores = np.linspace(0.1, 0.9, size)
        ids = np.array([f"{split}-{i}" for i in range(size)], dtype=object)
        scored[split] = ClassPredictions(ids, np.arange(size) % 2, np.column_stack((1 - scores, scores)))
        table = pd.DataFrame({"id": ids, "label": scored[split].labels, "group": [f"g{i}" for i in range(size)]})
        (path / "data").mkdir(exist_ok=True)
        (table.assign(**changes) if split == "test" else table).to_parquet(path / "data" / f"{split}.parquet")
    write_predictions(path / "p.parquet", scored)


def test_three_rows_are_scored_without_intervals(tmp_path):
    write(tmp_path, 3)
    done = call(tmp_path, effective_groups=30)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["intervals"] == {} and found["calibration"]["brier_interval"] is None
    assert found["intervals_note"] == "Intervals not given: 3 effective groups of records, at least 30 are needed."
    assert found["groups"] == {"number": 3, "effective": 3, "largest": 1, "largest_fraction": pytest.approx(1 / 3)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"id": ["test-0", "other", "test-2", "test-3"]},
            "p.parquet: test: record 'test-1' is not in the data set's table",
        ),
        (
            {"id": ["test-0", "test-1", "test-1", "test-3"]},
            "test.parquet: record 'test-1': the id occurs twice (1 such",
        ),
        ({"group": ["a", None, "b", "c"]}, "test.parquet: record 'test-1': it has no group (1 such"),
        ({"group": ["a", "b", "", ""]}, "test.parquet: record 'test-2': it has no group (2 such"),
        ({"label": [0, 1, 1, 1]}, "p.parquet: test: record 'test-2' has another label than in the data set's table"),
    ],
)
def test_tables_that_do_not_fit_are_one_line(tmp_path, changes, said):
    write(tmp_path, 4, **changes)
    failed = call(tmp_path)
    assert failed.returncode == 1 and not (tmp_path / "out").exists()
    (line,) = failed.stderr.splitlines()
    assert line.startswith("error: ") and said in line


def test_a_table_without_groups_is_one_line(tmp_path):
    write(tmp_path, 4)
    pd.read_parquet(tmp_path / "data" / "test.parquet").drop(columns="group").to_parquet(
        tmp_path / "data" / "test.parquet"
    )
    failed = call(tmp_path)
    assert failed.stderr == f"error: {tmp_path}/data/test.parquet: no column 'group'; run split_labels again\n"
