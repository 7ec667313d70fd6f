"""A number with the bounds of its confidence interval, from what each group of records contributes to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Bounded:
    """`value`, None where it is undefined; `low` and `high` bound it, None where not asked for or not known."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """A scale on which an interval is symmetric: the way there, its slope, and the way back."""

    there: Callable[[float], Any]
    slope: Callable[[float], float]
    back: Callable[[np.ndarray], np.ndarray]


LOGIT = Scale(special.logit, lambda value: 1 / (value * (1 - value)), special.expit)
FISHER_Z = Scale(np.arctanh, lambda value: 1 / (1 - value**2), np.tanh)


def bound(
    value: float, influence: np.ndarray, codes: np.ndarray, freedom: float, chance: float, scale: Scale
) -> Bounded:
    """95 % bounds of a measure of out-of-fold scores, whose records belong to groups.

    influence: each record's influence on the value, (n,), summed by group (`codes`, (n,), integers from 0). The bounds
    lie symmetrically on `scale`, by Student's t with so many degrees of freedom. Where there is no effect, two folds
    score each other by the same products, which at most doubles the variance (such scores depend on each other: Nadeau
    and Bengio 2003, doi:10.1023/A:1024068626366); bounds that then hold `chance` are the ones given. A value at the end
    of its range bounds itself.
    """
    by_group = np.bincount(codes, influence)
    number = len(np.unique(codes))
    if freedom <= 0 or number < 2:
        return Bounded(value)
    with np.errstate(divide="ignore"):
        place = float(scale.there(value))
    if not np.isfinite(place):
        return Bounded(value, value, value)
    error = float(np.sqrt(number / (number - 1) * (by_group**2).sum()))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error * scale.slope(value)
    for width in (np.sqrt(2) * margin, margin):
        low, high = scale.back(place + np.array([-width, width]))
        if low <= chance <= high:
            break
    return Bounded(value, float(low), float(high))
