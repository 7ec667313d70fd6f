import numpy as np
from closeness import close
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dnalm.data.attrition import kept_and_dropped, ks_statistic, summary


def test_ks_by_hand():
    assert ks_statistic([1, 2, 3, 4], [1, 2, 3, 4]) == 0
    assert ks_statistic([1, 2], [3, 4]) == 1
    assert ks_statistic([1, 2, 3, 4], [3, 4, 5, 6]) == 0.5
    assert ks_statistic([], [1]) is None


values = st.lists(st.integers(0, 8), min_size=1, max_size=30)


@given(values, values)
@settings(deadline=None)
def test_ks_is_scipys(first, second):
    assert close(ks_statistic(first, second), stats.ks_2samp(first, second, method="asymp").statistic, 1e-6, scale=1)


def test_summary_leaves_missing_values_out():
    assert summary([1, np.nan, 3]) == {
        "n": 2, "mean": 2, "minimum": 1, "quartile_1": 1.5, "median": 2, "quartile_3": 2.5, "maximum": 3,
    }  # fmt: skip
    assert summary([])["n"] == 0
    assert summary([])["median"] is None


def test_kept_and_dropped():
    result = kept_and_dropped([1, 2, np.nan, 9], [True, True, True, False])
    assert (result["kept"]["n"], result["dropped"]["n"], result["ks"]) == (2, 1, 1)
    assert kept_and_dropped([1, 2], [True, True])["ks"] is None
