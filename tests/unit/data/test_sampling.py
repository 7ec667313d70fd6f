import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.sampling import apportion


def test_by_hand():
    assert apportion(10, [1, 1, 1]).tolist() == [4, 3, 3]
    assert apportion(3, [0.6, 0.2, 0.2]).tolist() == [2, 1, 0]
    assert apportion(5, [0, 2]).tolist() == [0, 5]
    assert apportion(0, [1, 2]).tolist() == [0, 0]


@given(st.integers(0, 1000), st.lists(st.floats(0, 100), min_size=1, max_size=6).filter(lambda w: sum(w) > 1e-3))
@settings(deadline=None)
def test_sums_up_and_is_within_one_of_the_share(total, weights):
    parts = apportion(total, weights)
    assert parts.sum() == total
    assert parts == pytest.approx(total * np.array(weights) / sum(weights), abs=1.000001)
    assert (parts >= 0).all()
