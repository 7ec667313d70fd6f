"""A figure over repeated splits of the same records."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class OverSplits:
    """`mean` and `sd` between splits of a value, its interval and the p value of 0: None for one split."""

    mean: float
    sd: float | None
    low: float | None
    high: float | None
    p: float | None


def over_splits(values: Sequence[float], test_to_train: float, confidence: float = 0.95) -> OverSplits:
    """A figure over repeated splits of the same records, such as the paired difference of two run groups.

    The corrected resampled t test of Nadeau and Bengio 2003 (doi:10.1023/A:1024068626366): splits share records, so the
    variance of the mean of J values is (1 / J + test / train) times theirs. values: one a split; test_to_train: test
    records for each training record.
    """
    number, mean = len(values), float(np.mean(values))
    if number < 2:
        return OverSplits(mean, None, None, None, None)
    sd = float(np.std(values, ddof=1))
    error = sd * float(np.sqrt(1 / number + test_to_train))
    margin = float(t.isf((1 - confidence) / 2, number - 1)) * error
    p = float(2 * t.sf(abs(mean) / error, number - 1)) if error else float(mean == 0)
    return OverSplits(mean, sd, mean - margin, mean + margin, p)
