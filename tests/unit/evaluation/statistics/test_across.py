"""Figures over repeated splits."""

import numpy as np
import pytest

from dnalm.evaluation.statistics.across import over_splits


def test_splits_by_hand():
    found = over_splits([0.1, 0.2, 0.3], test_to_train=0.25)
    assert (found.mean, found.sd) == pytest.approx((0.2, 0.1))
    margin = 4.302653 * 0.1 * np.sqrt(1 / 3 + 0.25)
    assert (found.low, found.high) == pytest.approx((0.2 - margin, 0.2 + margin), rel=1e-5)
    assert found.p is not None and found.p > 0.05
    assert over_splits([0.1], 0.25).low is None
