"""Primary comparisons of several data sets, and figures over repeated splits."""

import numpy as np
import pytest

from dnalm.evaluation.statistics.across import adjust_primaries, over_splits


def test_primaries_of_all_data_sets_are_corrected_together():
    comparisons = {
        "a": {"primary": {"p": 0.02}},
        "b": {"primary": {"p": 0.01}},
        "c": {"primary": None},
        "d": {"primary": {"p": None}},
        "e": {"primary": {"p": 0.5}},
    }
    assert adjust_primaries(comparisons) == pytest.approx({"a": 0.04, "b": 0.03, "e": 0.5})
    assert adjust_primaries({}) == {}


def test_splits_by_hand():
    found = over_splits([0.1, 0.2, 0.3], test_to_train=0.25)
    assert (found.mean, found.sd) == pytest.approx((0.2, 0.1))
    margin = 4.302653 * 0.1 * np.sqrt(1 / 3 + 0.25)
    assert (found.low, found.high) == pytest.approx((0.2 - margin, 0.2 + margin), rel=1e-5)
    assert found.p is not None and found.p > 0.05
    assert over_splits([0.1], 0.25).low is None
