"""Runs with few errors or none: their intervals exist, are as wide as they should be, and follow the number of errors."""

import numpy as np
import pytest
from clustered import SETTINGS, simulate, true_metrics
from scipy.stats import binomtest

from dnalm.evaluation.statistics.comparison import difference
from dnalm.evaluation.statistics.resampling import intervals
from dnalm.tables.predictions import ClassPredictions

N = 400


def with_errors(errors: int, positives: float = 0.5, classes: int = 2, seed: int = 0) -> ClassPredictions:
    """Confident predictions of `N` records, `errors` of them wrong; of the same seed, more errors hold the fewer."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.where(np.arange(N) < positives * N, 1, np.arange(N) % classes * (classes > 2)))
    guess = labels.copy()
    wrong = rng.permutation(N)[:errors]
    guess[wrong] = (guess[wrong] + 1) % classes
    certain = rng.uniform(0.95, 0.99, N)
    scores = np.repeat(((1 - certain) / (classes - 1))[:, None], classes, axis=1)
    scores[np.arange(N), guess] = certain
    return ClassPredictions(np.arange(N).astype(str).astype(object), labels, scores)


@pytest.mark.parametrize(("positives", "size", "classes"), [(0.5, 1, 2), (0.05, 1, 2), (0.5, 10, 2), (0.3, 2, 3)])
def test_bounds_fall_with_every_error(positives, size, classes):
    before = None
    for errors in range(21):
        found = intervals(with_errors(errors, positives, classes), np.arange(N) // size, SETTINGS)
        assert "No interval" not in found.note and "not given" not in found.note
        metrics = ("accuracy", "mcc") if positives < 0.5 else ("accuracy", "mcc", "macro_f1", "auprc")
        for name, bound in found.bounds.items():
            assert (-1 if name == "mcc" else 0) <= bound["low"] <= bound["high"]
            assert bound["high"] <= (4 if name == "log_loss" else 2 if name == "brier" and classes > 2 else 1)
        for name in metrics if before else ():
            for end in ("low", "high"):
                # where errors of one group come together, the next may tell that they are less clustered than it seemed
                step = 1e-3 if name == "auprc" or size > 1 else 1e-9
                assert found.bounds[name][end] <= before[name][end] + step, (errors, name, end)
        before = found.bounds


def test_independent_records_have_the_interval_of_clopper_and_pearson():
    for errors in range(10):
        found = intervals(with_errors(errors), np.arange(N), SETTINGS).bounds["accuracy"]
        exact = binomtest(N - errors, N).proportion_ci(0.95, "exact")
        assert (found["low"], found["high"]) == pytest.approx(tuple(exact), rel=1e-3)


def test_a_run_without_errors_is_as_uncertain_as_its_groups_are_few():
    perfect = with_errors(0)
    lows = [intervals(perfect, np.arange(N) // size, SETTINGS).bounds["accuracy"]["low"] for size in (1, 4, 10)]
    assert lows == pytest.approx([0.025 ** (1 / groups) for groups in (400, 100, 40)])
    rare = intervals(with_errors(0, positives=0.05), np.arange(N), SETTINGS).bounds["mcc"]
    assert 0.88 < rare["low"] < 0.93  # up to 17 % of all positives may be missed if none of 20 was


def test_near_1_the_truth_is_held():
    rng = np.random.default_rng(4)
    for separation, number in ((3.0, 400), (3.6, 150)):
        truth, held = true_metrics(separation), {"accuracy": 0, "mcc": 0, "auroc": 0}
        for repeat in range(150):
            (scored,), codes = simulate(rng, np.full(number, 2), separation)
            settings = SETTINGS.model_copy(update={"replicates": 200, "seed": repeat})
            found = intervals(scored, codes, settings).bounds
            for name in held:
                held[name] += found[name]["low"] <= truth[name] <= found[name]["high"]
        assert min(held.values()) >= 137, (separation, held)


def compared(errors: int, more: int, size: int = 1) -> dict:
    """A run with some errors against one with the same and more."""
    sides = ([with_errors(errors)], True), ([with_errors(errors + more)], False)
    return difference(*sides, np.arange(N) // size, SETTINGS)


@pytest.mark.parametrize("errors", [0, 3, 40])
def test_differences_of_few_errors_follow_their_number(errors):
    before = compared(errors, 1)
    for more in range(2, 21):
        found = compared(errors, more)
        assert found["low"] > before["low"] and found["high"] > before["high"] and found["p"] < before["p"]
        assert (found["p"] <= 0.05) == (found["low"] > 0)
        before = found


def test_0_against_a_few_errors_is_no_interval_from_minus_2_to_2():
    for more in (1, 2, 3):
        found = compared(0, more)
        assert -0.03 < found["low"] < 0 < found["difference"] < found["high"] < 0.06
        assert found["p"] > 0.05 and found["detectable"] < 0.05
    assert compared(0, 0)["low"] == pytest.approx(2 * 0.025 ** (1 / N) - 2, rel=1e-3)
    # as McNemar's exact test: 6 of 6 are more than chance (p = .031), 4 of 4 are not (.125)
    assert compared(0, 6)["p"] <= 0.05 < compared(0, 4)["p"]


def test_whole_groups_in_error_count_as_one():
    apart = compared(0, 10, size=1)
    wrong = np.arange(N) < 10
    scored = with_errors(0)
    scores = np.where(wrong[:, None], scored.scores[:, ::-1], scored.scores)
    sides = ([scored], True), ([ClassPredictions(scored.ids, scored.labels, scores)], False)
    together = difference(*sides, np.arange(N) // 10, SETTINGS)
    assert apart["p"] < 0.01 and together["p"] > 0.5 and together["low"] < -0.05
