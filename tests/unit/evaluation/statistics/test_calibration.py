"""Calibration by hand, temperatures that are known, and intervals that cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.evaluation.statistics.calibration import calibration, calibration_error, equal_bins, fitted_temperature
from dnalm.tables.predictions import ClassPredictions

SETTINGS = EvaluateSettings(calibration_bins=2, replicates=300, effective_groups=10, largest_group=0.05)


def binary(labels, score) -> ClassPredictions:
    score = np.asarray(score, float)
    return ClassPredictions(
        np.arange(len(score)).astype(object), np.asarray(labels), np.column_stack((1 - score, score))
    )


def drawn(n: int, temperature: float, seed: int) -> ClassPredictions:
    """Labels that come true with a probability whose logit is that of the score over `temperature`."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 2, n)
    labels = (rng.random(n) < 1 / (1 + np.exp(-logit / temperature))).astype(int)
    return binary(labels, 1 / (1 + np.exp(-logit)))


def whole(test: ClassPredictions, validation: ClassPredictions | None = None, groups=None, **changes):
    groups = np.arange(len(test.labels)) if groups is None else groups
    return calibration(
        {"validation": validation or test, "test": test}, {"test": groups}, SETTINGS.model_copy(update=changes)
    )


def test_two_bins_by_hand():
    """Ten records near .2, one of them true, and ten at .8, five true: |.2 - .1| / 2 + |.8 - .5| / 2 = .2."""
    score = [0.1] * 5 + [0.3] * 5 + [0.8] * 10
    labels = [1, *[0] * 9, *[1] * 5, *[0] * 5]
    found = whole(binary(labels, score))
    assert found["bins"] == [
        {"low": 0.1, "high": 0.3, "mean_score": pytest.approx(0.2), "fraction": pytest.approx(0.1), "n": 10},
        {"low": 0.8, "high": 0.8, "mean_score": pytest.approx(0.8), "fraction": 0.5, "n": 10},
    ]
    assert found["ece"] == pytest.approx(0.2)
    assert found["brier"] == pytest.approx((0.81 + 4 * 0.01 + 5 * 0.09 + 5 * 0.04 + 5 * 0.64) / 20)
    assert found["temperature"] is None and found["ece_interval"]["low"] <= 0.2 <= found["ece_interval"]["high"]
    assert found["note"].startswith("2 bins of equal numbers of records by the probability of label 1 (10 to 10;")
    assert "30 % of the test records have label 1): where label 1 is rarer, they are too high" in found["note"]


def test_many_classes_are_assessed_by_the_most_probable():
    scores = np.array([[0.6, 0.3, 0.1]] * 10 + [[0.05, 0.05, 0.9]] * 10)
    labels = np.array([0] * 3 + [1] * 7 + [2] * 10)
    found = whole(ClassPredictions(np.arange(20).astype(object), labels, scores))
    assert [(part["mean_score"], part["fraction"]) for part in found["bins"]] == [
        (pytest.approx(0.6), pytest.approx(0.3)),
        (pytest.approx(0.9), 1.0),
    ]
    assert found["ece"] == pytest.approx((0.3 + 0.1) / 2)
    right, wrong, sure = 0.4**2 + 0.3**2 + 0.1**2, 0.6**2 + 0.7**2 + 0.1**2, 0.1**2 + 2 * 0.05**2
    assert found["brier"] == pytest.approx((3 * right + 7 * wrong + 10 * sure) / 20)
    assert "most probable class" in found["note"] and "class frequencies" in found["note"]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=150), st.integers(2, 15), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_bins_are_equal_up_to_ties_and_heed_no_order(values, number, random):
    score = np.array(values) / 10
    code = equal_bins(score, number)
    assert set(code) == set(range(code.max() + 1)) and code.max() < max(1, min(number, len(values) // 10))
    assert all(len(set(code[score == value])) == 1 for value in score)
    assert (np.diff(code[np.argsort(score)]) >= 0).all()
    order = list(range(len(values)))
    random.shuffle(order)
    assert (equal_bins(score[order], number) == code[order]).all()


def test_bins_without_ties_differ_by_one_record():
    counts = np.bincount(equal_bins(np.random.default_rng(1).random(1003), 15))
    assert len(counts) == 15 and counts.max() - counts.min() <= 1


def test_equal_scores_are_one_bin_whose_error_is_no_chance():
    found = whole(binary([0, 1] * 100, [0.5] * 200), calibration_bins=15)
    assert found["ece"] == 0 and len(found["bins"]) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found_and_mends_the_test_split(temperature):
    validation, test = drawn(20_000, temperature, 1), drawn(5_000, temperature, 2)
    assert fitted_temperature(validation) == pytest.approx(temperature, rel=0.06)
    found = whole(test, validation, temperature=True, calibration_bins=15)
    mended = found["temperature"]
    assert mended["value"] == fitted_temperature(validation)
    if temperature == 1:
        assert mended["ece"] == pytest.approx(found["ece"], abs=0.01)
    else:
        assert mended["ece"] < found["ece"] / 2 and mended["brier"] < found["brier"]


def test_a_temperature_of_several_classes():
    rng = np.random.default_rng(4)
    logits = rng.normal(0, 2, (20_000, 4))
    truth = np.exp(logits / 2)
    labels = (rng.random((20_000, 1)) > np.cumsum(truth / truth.sum(axis=1, keepdims=True), axis=1)).sum(axis=1)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert fitted_temperature(ClassPredictions(np.arange(20_000), labels, scores)) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("labels", [[0, 1] * 20, [0, 1, 1, 0] * 10])
def test_where_no_temperature_is_best_none_is_given(labels):
    """A validation without a mistake wants 0, one whose scores say nothing wants no end."""
    found = whole(binary(labels, [0.2, 0.8] * 20), temperature=True)
    assert found["temperature"] is None and "has no minimum" in found["note"]


def test_the_interval_covers_a_calibrated_and_an_overconfident_model():
    """Labels correlate within groups; percentile intervals cover the calibrated model's 0 not once."""
    for temperature in (1.0, 2.0):
        covered = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            groups = np.arange(600) // 3
            shared = rng.normal(size=200)[groups]
            logit = rng.normal(0, 1.5, 600) + shared
            noise = 0.7 * rng.normal(size=200)[groups] + 0.7141 * rng.normal(size=600)
            uniform = np.argsort(np.argsort(noise)) / 600
            chance = 1 / (1 + np.exp(-logit / temperature))
            test = binary((uniform < chance).astype(int), 1 / (1 + np.exp(-logit)))
            found = whole(test, groups=groups, calibration_bins=15)
            truth = calibration_error(test.scores[:, 1], chance, equal_bins(test.scores[:, 1], 15))
            covered.append(found["ece_interval"]["low"] <= truth <= found["ece_interval"]["high"])
        assert np.mean(covered) >= 0.9


def test_too_few_groups_have_no_interval():
    test = drawn(200, 1.0, 1)
    assert whole(test, groups=np.arange(200) % 9)["ece_interval"] is None
    assert whole(test, groups=np.arange(200) % 10)["ece_interval"] is not None
    assert whole(binary([1, 0, 1], [0.2, 0.9, 0.4]))["ece_interval"] is None


def test_the_seed_alone_decides():
    test = drawn(300, 1.0, 1)
    assert whole(test) == whole(test)
    assert whole(test)["ece_interval"] != whole(test, seed=2)["ece_interval"]
