"""Precision where label 1 is rare."""

import numpy as np
import pytest
from scipy.stats import binom

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.evaluation.statistics.effective import clopper_pearson, grouped_share
from dnalm.evaluation.statistics.prevalence import precision, recall_at
from dnalm.evaluation.statistics.prevalence import prevalence as grouped_prevalence
from dnalm.tables.predictions import ClassPredictions

SETTINGS = EvaluateSettings(effective_groups=30, largest_group=0.05)
VALIDATION = ClassPredictions(np.arange(2), np.array([0, 1]), np.array([[0.8, 0.2], [0.2, 0.8]]))
"""Its threshold is .5."""


def binary(positives: int, found: int, negatives: int, alarms: int) -> ClassPredictions:
    score = np.repeat([0.9, 0.1, 0.7, 0.2], [found, positives - found, alarms, negatives - alarms])
    labels = np.repeat([1, 0], [positives, negatives])
    return ClassPredictions(np.arange(len(score)), labels, np.column_stack((1 - score, score)))


def prevalence(predictions, settings):
    """Of records that are groups of their own."""
    return grouped_prevalence(predictions, {name: part.ids for name, part in predictions.items()}, settings)


def test_the_periodicity_number_of_chromosome_2():
    """MCC .93 at 1:1, but at 1 % four of five calls are wrong: tpr .965 and fpr .035."""
    assert precision(0.5, 0.965, 0.035) == pytest.approx(0.965)
    assert round(precision(0.01, 0.965, 0.035), 4) == 0.2178
    assert precision(0.3, 0.0, 0.0) is None


def test_background_by_hand():
    predictions = {"validation": VALIDATION, "test": binary(100, 90, 100, 30), "background": binary(0, 0, 1000, 20)}
    found = prevalence(predictions, SETTINGS)
    assert (found["negatives"], found["n_negatives"], found["false_positives"]) == ("background", 1000, 20)
    assert (found["tpr"], found["fpr"], found["threshold"]) == (0.9, 0.02, 0.5)
    rare = {part["prevalence"]: part for part in found["precision"]}
    assert rare[0.5]["precision"] == pytest.approx(0.9 / 0.92)
    assert rare[0.01]["precision"] == pytest.approx(0.009 / (0.009 + 0.99 * 0.02))
    assert rare[0.001]["precision"] == pytest.approx(0.0009 / (0.0009 + 0.999 * 0.02))
    assert all(part["low"] < part["precision"] < part["high"] for part in found["precision"])
    # at most 10 of 1,000 may be above: the 20 at .7 are too many, so the threshold is .7, above which 90 of 100 lie
    assert found["recall_at_1_percent_fpr"] == 0.9
    tpr, fpr = clopper_pearson(90, 100, 0.025), clopper_pearson(20, 1000, 0.025)
    # each record is a group: the intervals of shares are nearly those of independent records
    assert rare[0.01]["low"] == pytest.approx(0.01 * tpr[0] / (0.01 * tpr[0] + 0.99 * fpr[1]), rel=0.01)
    assert rare[0.01]["high"] == pytest.approx(0.01 * tpr[1] / (0.01 * tpr[1] + 0.99 * fpr[0]), rel=0.01)
    assert (found["fpr_low"], found["fpr_high"]) == pytest.approx(clopper_pearson(20, 1000, 0.05), rel=0.01)
    assert found["groups"] == {"positives": pytest.approx(100), "negatives": pytest.approx(1000)}


def test_no_false_positive_is_no_perfect_precision():
    found = prevalence({"validation": VALIDATION, "test": binary(50, 50, 40, 0)}, SETTINGS)
    assert found["negatives"] == "test" and found["fpr"] == 0 and found["fpr_low"] == 0
    assert found["fpr_high"] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert [part["precision"] for part in found["precision"]] == [None] * 3
    assert [part["high"] for part in found["precision"]] == [1] * 3
    assert found["precision"][2]["low"] < 0.01
    assert found["recall_at_1_percent_fpr"] is None
    for said in (
        "the smallest rate they can show is 0.025",
        "the rate is below 0.088",
        "They are too few to measure recall at a rate of 1 %",
    ):
        assert said in found["note"]


def test_nothing_found_at_all():
    found = prevalence({"validation": VALIDATION, "test": binary(50, 0, 200, 0)}, SETTINGS)
    assert [(part["precision"], part["low"]) for part in found["precision"]] == [(None, 0)] * 3
    assert found["recall_at_1_percent_fpr"] == 0


@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_clopper_pearson_is_where_the_tails_are(count):
    low, high = clopper_pearson(count, 20, 0.05)
    assert low == 0 if count == 0 else binom.sf(count - 1, 20, low) == pytest.approx(0.025)
    assert high == 1 if count == 20 else binom.cdf(count, 20, high) == pytest.approx(0.025)


def test_the_interval_holds_at_least_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth, covered = precision(0.01, 0.9, 0.03), 0
    for _ in range(200):
        test = binary(150, rng.binomial(150, 0.9), 400, rng.binomial(400, 0.03))
        found = prevalence({"validation": VALIDATION, "test": test}, SETTINGS)
        covered += found["precision"][1]["low"] <= truth <= found["precision"][1]["high"]
    assert covered >= 190


def test_related_windows_of_the_background_widen_the_interval():
    """200 families of 50 windows, on 3 % of which the model fails as a whole."""
    rng, truth, held, narrow = np.random.default_rng(2), precision(0.01, 0.9, 0.03), 0, 0
    families = np.repeat(np.arange(200), 50)
    for _ in range(200):
        test = binary(150, rng.binomial(150, 0.9), 10, 0)
        score = np.where((rng.random(200) < 0.03)[families], 0.7, 0.2)
        background = ClassPredictions(np.arange(10_000), np.zeros(10_000, int), np.column_stack((1 - score, score)))
        scored = {"validation": VALIDATION, "test": test, "background": background}
        groups = {"test": test.ids, "background": families}
        found = grouped_prevalence(scored, groups, SETTINGS)["precision"][1]
        held += found["low"] <= truth <= found["high"]
        alone = prevalence(scored, SETTINGS)["precision"][1]
        narrow += alone["low"] <= truth <= alone["high"]
    assert held >= 190 and narrow < 150, (held, narrow)


def test_a_share_in_groups():
    codes = np.repeat(np.arange(40), 10)
    none = np.zeros(400, bool)
    assert grouped_share(none, codes, 0.05) == (0.0, pytest.approx(1 - 0.025 ** (1 / 40)))
    assert grouped_share(~none, codes, 0.05) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    apart = np.random.default_rng(0).random(400) < 0.2
    whole, single = (np.ptp(grouped_share(hits, codes, 0.05)) for hits in (codes < 8, apart))
    assert whole > 2 * single


def test_recall_at_a_rate():
    negatives = np.arange(200) / 200
    positives = np.array([0.9, 0.985, 0.99, 0.999])
    assert (
        recall_at(0.01, positives, negatives) == 0.5
    )  # of the negatives .995 and .99 may be above the threshold, .985 may not
    assert recall_at(0.01, positives, negatives[:99]) is None
    assert recall_at(0.01, positives, np.full(100, 0.99)) == 0.25


def test_what_has_no_answer():
    three = ClassPredictions(np.arange(3), np.arange(3), np.eye(3))
    assert prevalence({"validation": three, "test": three}, SETTINGS) is None
    assert prevalence({"validation": VALIDATION, "test": binary(5, 3, 0, 0)}, SETTINGS) is None
    assert prevalence({"validation": VALIDATION, "test": binary(0, 0, 5, 1)}, SETTINGS) is None
