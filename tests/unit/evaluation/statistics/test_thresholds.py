"""The decision threshold: chosen on validation, applied to test."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.evaluation.statistics.thresholds import best_threshold, threshold
from dnalm.tables.predictions import ClassPredictions


def binary(labels, score) -> ClassPredictions:
    score = np.asarray(score, float)
    return ClassPredictions(
        np.arange(len(score)).astype(object), np.asarray(labels), np.column_stack((1 - score, score))
    )


def test_the_middle_that_separates_validation_is_applied_to_test():
    validation = binary([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4])
    test = binary([0, 0, 0, 1, 1], [0.1, 0.24, 0.26, 0.9, 0.2])
    found = threshold({"validation": validation, "test": test})
    assert found["value"] == pytest.approx(0.25) and found["validation_mcc"] == 1
    # called: .26 (wrong) and .9 (right); missed: .2
    assert (found["precision"], found["recall"], found["accuracy"]) == (0.5, 0.5, 0.6)
    assert found["mcc"] == pytest.approx((1 * 2 - 1 * 1) / 6)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken():
    assert best_threshold(binary([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])) == (0.5, 1)  # .5 itself is among them
    # .1|0 .2|1 .3|0 .4|1: cuts at .15 and .35 mirror each other
    assert best_threshold(binary([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4]))[0] == pytest.approx(0.35)
    # the same around .5: cuts at .4 and .6 are as near, and the lower is taken
    assert best_threshold(binary([0, 1, 0, 1], [0.35, 0.45, 0.55, 0.65]))[0] == pytest.approx(0.4)


@pytest.mark.parametrize(("labels", "score"), [([1, 1, 1], [0.2, 0.4, 0.9]), ([0, 1, 0], [0.7] * 3), ([0], [0.3])])
def test_where_no_threshold_helps_it_is_a_half(labels, score):
    assert best_threshold(binary(labels, score)) == (0.5, 0)


def test_a_threshold_that_calls_nothing_has_no_precision():
    found = threshold({"validation": binary([0, 1], [0.2, 0.8]), "test": binary([0, 1], [0.3, 0.4])})
    assert found["precision"] is None and found["recall"] == 0 and found["mcc"] == 0
    found = threshold({"validation": binary([0, 1], [0.2, 0.8]), "test": binary([0, 0], [0.3, 0.9])})
    assert found["precision"] == 0 and found["recall"] is None


def test_three_classes_have_none():
    three = ClassPredictions(np.arange(3).astype(object), np.arange(3), np.eye(3))
    assert threshold({"validation": three, "test": three}) is None


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=60), st.randoms())
@settings(max_examples=50)
def test_no_threshold_beats_it_and_row_order_is_nothing(records, random):
    labels, score = np.array([label for label, _ in records]), np.array([score for _, score in records]) / 20
    value, mcc = best_threshold(binary(labels, score))
    cuts = [0.5, *(cut for cut in np.arange(-1, 42, 2) / 40 if score.min() < cut < score.max())]

    def at(cut):
        both = len(set(labels)) == len(set(score > cut)) == 2
        return np.corrcoef(labels, score > cut)[0, 1] if both else 0.0  # of two dichotomies, which is their MCC

    tried = {cut: at(cut) for cut in cuts}
    assert mcc == pytest.approx(max(tried.values())) and 0 <= value <= 1
    assert at(value) == pytest.approx(mcc)
    if tried[0.5] == pytest.approx(mcc):
        assert value == 0.5
    random.shuffle(records)
    assert best_threshold(binary([label for label, _ in records], np.array([s for _, s in records]) / 20)) == (
        value,
        mcc,
    )
