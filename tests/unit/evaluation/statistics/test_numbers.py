"""Metrics of predicted numbers: replicates are scipy's, derivatives are exact, intervals cover, comparison and strata."""

import json

import numpy as np
import pandas as pd
import pytest
from closeness import close
from clustered import SETTINGS, group_sizes, simulate_numbers, true_number_metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import r2_score, root_mean_squared_error

from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import CompareSettings
from dnalm.errors import UserError
from dnalm.evaluation.report.summary import summarize
from dnalm.evaluation.statistics.clusters import match
from dnalm.evaluation.statistics.comparison import RunGroup, compare, difference
from dnalm.evaluation.statistics.grouped_numbers import GroupedNumbers
from dnalm.evaluation.statistics.metric_names import METRICS
from dnalm.evaluation.statistics.resampling import intervals
from dnalm.evaluation.statistics.run_metrics import evaluate
from dnalm.evaluation.statistics.strata import strata
from dnalm.metrics import regression_metrics
from dnalm.names import SCORED_SPLITS
from dnalm.tables.predictions import NumberPredictions, read_predictions, write_predictions

NAMES = set(METRICS["regression"])


def numbers(targets, predicted) -> NumberPredictions:
    ids = np.array([f"r{i}" for i in range(len(targets))], dtype=object)
    return NumberPredictions(ids, np.array(targets, dtype=float), np.array(predicted, dtype=float))


@st.composite
def weighted(draw):
    """Predictions with many ties, their groups, and one weight a group."""
    groups, n = draw(st.integers(2, 8)), draw(st.integers(2, 40))
    columns = [draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)) for _ in range(2)]
    codes = np.array(draw(st.lists(st.integers(0, groups - 1), min_size=n, max_size=n)))
    weights = np.array(draw(st.lists(st.integers(0, 3), min_size=groups, max_size=groups)), dtype=float)
    if not weights[codes].any():
        weights[codes[0]] = 1
    offset = draw(st.sampled_from([0.0, 1e6]))
    return numbers(np.array(columns[0]) + offset, columns[1]), codes, weights


@given(weighted())
@settings(max_examples=150, deadline=None)
def test_a_weight_is_so_many_copies_of_a_record(case):
    scored, codes, weights = case
    found = GroupedNumbers(scored, codes, len(weights)).measure(weights[None])
    copies = np.repeat(np.arange(len(codes)), weights[codes].astype(int))
    targets, predicted = scored.targets[copies], scored.predicted[copies]
    expected = regression_metrics(targets, predicted)
    for name in NAMES:
        assert close(found[name][0][0], expected[name], 1e-9, scale=max(1, abs(expected[name]))), name
    if np.ptp(targets) and np.ptp(predicted):
        assert close(expected["spearman"], spearmanr(targets, predicted)[0], 1e-12, scale=1)
        assert close(expected["pearson"], pearsonr(targets, predicted)[0], 1e-9, scale=1)
    if np.ptp(targets):
        assert expected["r2"] == pytest.approx(r2_score(targets, predicted), rel=1e-12)
    assert expected["rmse"] == pytest.approx(root_mean_squared_error(targets, predicted))


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_standard_errors_are_those_of_the_derivatives(digits):
    """Finite differences of the weights, the change of ranks and all; with few digits there are many ties."""
    rng = np.random.default_rng(digits)
    (scored,), codes = simulate_numbers(rng, np.full(20, 10))
    scored = numbers(scored.targets.round(digits), 100 + scored.predicted.round(digits))
    metrics, groups = GroupedNumbers(scored, codes, 20), 20
    weights = rng.multinomial(groups, np.full(groups, 1 / groups)).astype(float)
    step = 1e-5 * np.eye(groups)
    up, down = metrics.measure(weights + step), metrics.measure(weights - step)
    found = metrics.measure(weights[None])
    assert set(found) == NAMES
    for name, (_, error) in found.items():
        slopes = (up[name][0] - down[name][0]) / 2e-5
        assert error[0] == pytest.approx(np.sqrt(groups / (groups - 1) * (weights * slopes**2).sum()), rel=1e-5), name


def test_blocks_of_weightings_change_nothing(monkeypatch):
    (scored,), codes = simulate_numbers(np.random.default_rng(1), np.full(12, 3))
    weights = np.random.default_rng(2).integers(0, 3, (7, 12)).astype(float)
    whole = GroupedNumbers(scored, codes, 12).spearman(weights)
    monkeypatch.setattr("dnalm.evaluation.statistics.grouped_numbers._CELLS", 80)
    for one, other in zip(whole, GroupedNumbers(scored, codes, 12).spearman(weights), strict=True):
        assert np.array_equal(one, other)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """120 unequal groups; the longer study is in tests/study_coverage.py, its figures in docs/lab-notebook.md."""
    rng, truth, repeats = np.random.default_rng(1), true_number_metrics(), 100
    held, above = dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    for seed in range(repeats):
        (scored,), codes = simulate_numbers(rng, group_sizes(rng, 120, 4, 0.6))
        found = intervals(scored, codes, SETTINGS.model_copy(update={"replicates": 200, "seed": seed}))
        assert set(found.bounds) == NAMES and not found.note
        for name, bound in found.bounds.items():
            held[name] += bound["low"] <= truth[name] <= bound["high"]
            above[name] += truth[name] > bound["high"]
    for name in NAMES:  # a true coverage of .95 gives 89 to 99 of 100 with a probability of .99
        assert 89 <= held[name] <= 99 and above[name] <= 8, (name, held[name], above[name])


def test_intervals_keep_within_bounds_and_follow_the_unit():
    (scored,), codes = simulate_numbers(np.random.default_rng(3), np.full(60, 5), slope=0.95, noise=0.1)
    found = intervals(scored, codes, SETTINGS).bounds
    for name, bound in found.items():
        assert bound["low"] < regression_metrics(scored.targets, scored.predicted)[name] < bound["high"]
        assert name == "rmse" or bound["high"] < 1
    scaled = intervals(numbers(1000 * scored.targets + 7e4, 1000 * scored.predicted + 7e4), codes, SETTINGS).bounds
    for name, bound in found.items():
        factor = 1000 if name == "rmse" else 1
        assert scaled[name] == pytest.approx({side: factor * value for side, value in bound.items()}, rel=1e-6)


def test_a_constant_prediction_correlates_0_and_has_no_interval_of_it():
    (scored,), codes = simulate_numbers(np.random.default_rng(3), np.full(60, 5))
    constant = numbers(scored.targets, np.full(300, 0.1))
    assert {name: regression_metrics(constant.targets, constant.predicted)[name] for name in ("spearman", "pearson")} == {
        "spearman": 0, "pearson": 0,
    }  # fmt: skip
    found = intervals(constant, codes, SETTINGS)
    assert not {"spearman", "pearson"} & set(found.bounds) and "rmse" in found.bounds
    assert found.note.startswith("No interval of spearman, pearson") and "hardly varies over resamples" in found.note


def test_perfect_predictions_have_no_interval():
    (scored,), codes = simulate_numbers(np.random.default_rng(3), np.full(60, 5))
    found = intervals(numbers(scored.targets, scored.targets), codes, SETTINGS)
    assert not found.bounds and all(name in found.note for name in NAMES)


def splits(seed=0, size=60, **how):
    """Predictions of validation and test, and the test split's table."""
    rng = np.random.default_rng(seed)
    (scored,), codes = simulate_numbers(rng, np.full(size, 5), **how)
    half = size * 5 // 2
    parts = {"validation": scored.take(np.arange(half)), "test": scored.take(np.arange(half, 2 * half))}
    names = [f"g{code}" for code in codes]
    bases = ["".join(row) for row in rng.choice(list("ACGT"), (2 * half, 30))]
    table = pd.DataFrame(
        {"id": scored.ids, "sequence": bases, "target": scored.targets, "group": names, "source": "table"}
    )
    return parts, table.iloc[half:].reset_index(drop=True), np.array(names[:half])


def test_metrics_of_a_run(tmp_path):
    parts, table, groups = splits()
    write_predictions(tmp_path / "p.parquet", parts)
    found = evaluate(
        read_predictions(tmp_path / "p.parquet"), {"validation": groups, "test": table["group"].to_numpy(str)}, SETTINGS
    )
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {*NAMES, "n", "objective", "validation", "intervals", "intervals_note", "groups", "residuals"}
    assert found["objective"] == "regression" and found["n"] == 150 and found["validation"]["n"] == 150
    for split, values in (("test", found), ("validation", found["validation"])):
        expected = regression_metrics(parts[split].targets, parts[split].predicted)
        assert {name: values[name] for name in NAMES} == expected
    gap = parts["test"].targets - parts["test"].predicted
    assert found["residuals"]["mean"] == pytest.approx(gap.mean()) and found["residuals"]["median"] == np.median(gap)


def test_models_are_chosen_and_compared_by_spearman():
    good, table, _ = splits(noise=0.3)
    rng = np.random.default_rng(5)

    def worse(noise):
        return {
            split: NumberPredictions(part.ids, part.targets, part.predicted + noise * rng.normal(size=len(part)))
            for split, part in good.items()
        }

    kmer = worse(0.5)
    mean = {split: NumberPredictions(part.ids, part.targets, np.zeros(len(part))) for split, part in good.items()}
    groups = [
        RunGroup("baseline", "mean", [mean]),
        RunGroup("baseline", "kmer", [kmer]),
        RunGroup("m", "full", [good, worse(0.05)]),
        RunGroup("m", "poor", [worse(2.0)]),
    ]
    found = compare(
        groups,
        table,
        CompareSettings(
            dataset="d", kind="table", runs=[], twins={}, confidence=0.95, effective_groups=2, largest_group=1.0
        ),
    )
    primary = found["primary"]
    assert (primary["model"], primary["recipe"], primary["against"]) == ("m", "full", "kmer")
    assert primary["metric"] == "spearman" and primary["significant"] and 0 < primary["low"] < primary["difference"]
    test = kmer["test"]
    assert primary["against_value"] == pytest.approx(spearmanr(test.targets, test.predicted)[0])
    assert primary["by_seed"][0] == pytest.approx(spearmanr(good["test"].targets, good["test"].predicted)[0])
    (other,) = found["others"]
    assert other["recipe"] == "poor" and other["high"] < 0 and other["p_holm"] == other["p"]
    axes = {axis["axis"]: axis for axis in found["strata"]}
    assert set(axes) == {"target", "gc"}  # every sequence has one length, every group one size


def test_equal_predictions_never_differ():
    parts, table, _ = splits()
    test, groups = parts["test"], table["group"].to_numpy(str)
    found = difference(([numbers(test.targets, 10 * test.predicted)], True), ([test], False), groups, SETTINGS)
    assert close(found["difference"], 0, 1e-12, scale=1) and found["p"] is None and "do not differ" in found["note"]


def test_two_equally_good_models_differ_as_often_as_they_should():
    rng, found = np.random.default_rng(7), 0
    for _ in range(60):
        (one, other), codes = simulate_numbers(rng, group_sizes(rng, 60, 4, 0.6), runs=2)
        result = difference(([other], True), ([one], False), codes, SETTINGS)
        found += result["p"] <= 0.05
    assert found <= 8  # of 60, at a true rate of .05 with probability .995


def test_strata_by_target_length_and_gc():
    rng = np.random.default_rng(2)
    n = 400
    sequences = ["".join(rng.choice(list("ACGT"), length)) for length in rng.integers(20, 90, n)]
    target = np.arange(n) / 10
    predicted = np.where(target < 20, target, -target)  # right for the lower half, turned round for the upper
    ids = np.array([f"r{i}" for i in range(n)], dtype=object)
    table = pd.DataFrame({"id": ids, "sequence": sequences, "target": target, "group": ids})
    found = strata({"m/r": [NumberPredictions(ids, target, predicted)]}, table, "table")
    axes = {axis["axis"]: axis for axis in found}
    assert list(axes) == ["target", "length", "gc"]
    assert [one["values"]["m/r"] for one in axes["target"]["bins"]] == pytest.approx([1, 1, -1, -1])
    assert [one["n"] for one in axes["target"]["bins"]] == [100] * 4 and "targets vary little" in axes["target"]["note"]
    few = strata({"m/r": [NumberPredictions(ids[:80], target[:80], predicted[:80])]}, table[:80], "table")
    assert {one["note"] for one in few[0]["bins"]} == {"too few records (fewer than 30)"}


def test_predictions_that_do_not_fit_the_table():
    parts, table, _ = splits()
    test = parts["test"]
    assert (match(test, table, "p") == np.arange(150)).all()
    changed = table.assign(target=table["target"].where(table.index != 3, 9.0))
    with pytest.raises(
        UserError, match=rf"p: record '{test.ids[3]}' has another target than in the data set's table \(1 such"
    ):
        match(test, changed, "p")
    with pytest.raises(UserError, match="p: predicts a target, and the data set's records have a label"):
        match(test, table.rename(columns={"target": "label"}), "p")


def test_summary_of_both_objectives(tmp_path):
    parts, table, groups = splits()
    by_split = {"validation": groups, "test": table["group"].to_numpy(str)}
    found = evaluate(parts, by_split, SETTINGS)
    runs = [SeededRun(dataset=name, model="baseline", recipe="kmer", seed=1) for name in ("n", "c")]
    classes = dict.fromkeys(METRICS["classification"], 0.5) | {"n": 4}
    classes |= {"validation": {**classes, "n": 3}, "objective": "classification"}
    for run, metrics in zip(runs, (found, classes), strict=True):
        folder = tmp_path / run.folder
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(metrics))
    table = summarize(tmp_path, runs)
    names = [*METRICS["classification"], *METRICS["regression"]]
    assert list(table) == [
        "dataset", "model", "recipe", "seed", "objective", "n", *names, "validation_n", *(f"validation_{name}" for name in names),
    ]  # fmt: skip
    assert table["objective"].tolist() == ["regression", "classification"] and table["n"].tolist() == [150, 4]
    assert table.loc[0, "spearman"] == found["spearman"] and table.loc[1, "validation_mcc"] == 0.5
    assert (
        table.loc[0, list(METRICS["classification"])].isna().all()
        and table.loc[1, list(METRICS["regression"])].isna().all()
    )
    assert list(summarize(tmp_path, runs[:1]))[6:10] == list(METRICS["regression"])  # only what occurs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ["a", "a", "c", "d"]}, "record 'a': the id occurs twice"),
        ({"split": ["validation", "other", "test", "test"]}, "record 'b': its split is neither validation nor test"),
        (
            {"split": ["validation", "background", "test", "test"]},
            "record 'b': its split is neither validation nor test",
        ),
        ({"target": [0.0, np.nan, 1.0, 2.0]}, "record 'b': its target is missing, infinite"),
        ({"prediction": [0.0, 1.0, np.inf, 2.0]}, "record 'c': its prediction is missing, infinite"),
        ({"prediction": ["0", "x", "1", "2"]}, "record 'b': its prediction is missing, infinite"),
        ({"split": ["test"] * 4}, "no records of split 'validation'"),
        ({"prediction": None}, "no column 'prediction'; predictions have id, split, target, prediction"),
    ],
)
def test_wrong_predictions(changes, message, tmp_path):
    columns = {
        "id": list("abcd"),
        "split": ["validation"] * 2 + ["test"] * 2,
        "target": [0.0, 1, 2, 3],
        "prediction": [0.1] * 4,
    }
    table = pd.DataFrame({name: value for name, value in {**columns, **changes}.items() if value is not None})
    table.to_parquet(tmp_path / "p.parquet")
    with pytest.raises(UserError, match=message):
        read_predictions(tmp_path / "p.parquet")


def test_predictions_keep_every_digit(tmp_path):
    parts, _, _ = splits()
    write_predictions(tmp_path / "p.parquet", parts)
    read = read_predictions(tmp_path / "p.parquet")
    assert set(read) == set(SCORED_SPLITS)
    for split, part in read.items():
        assert isinstance(part, NumberPredictions) and len(part) == 150
        assert np.array_equal(part.targets, parts[split].targets) and np.array_equal(part.truth, parts[split].truth)
        assert np.array_equal(part.predicted, parts[split].predicted) and np.array_equal(part.ids, parts[split].ids)
