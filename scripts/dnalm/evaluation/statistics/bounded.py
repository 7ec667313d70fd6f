"""Confidence intervals of out-of-fold measures from the influence of each group of records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

CONFIDENCE = 0.95
ROUNDING = 1e-12
"""A distance or an error below this is none."""


@dataclass(frozen=True)
class Bounded:
    """`value`, None where it is undefined; `low` and `high` bound it, None where not computed or undefined.

    p: two-sided p value of the chance value, None where there are no bounds.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Scale:
    """A scale on which an interval is symmetric: the transform, its slope, and its inverse."""

    transform: Callable[[float], Any]
    slope: Callable[[float], float]
    inverse: Callable[[np.ndarray], np.ndarray]


LOGIT = Scale(special.logit, lambda value: 1 / (value * (1 - value)), special.expit)
FISHER_Z = Scale(np.arctanh, lambda value: 1 / (1 - value**2), np.tanh)


def bound(
    value: float, influence: np.ndarray, codes: np.ndarray, freedom: float, chance: float, scale: Scale
) -> Bounded:
    """95 % bounds of a measure of out-of-fold scores whose records belong to groups.

    influence: each record's influence on the value, (n,), summed by group (`codes`, (n,), integers from 0). The bounds
    are symmetric on `scale`, from Student's t with `freedom` degrees of freedom. Without an effect, the scores of
    different folds are correlated, which at most doubles the variance (Nadeau and Bengio 2003,
    doi:10.1023/A:1024068626366): if the bounds with doubled variance include `chance`, they are returned. The p value
    is that of a t-test against `chance` on the same scale, with doubled variance. A value at the end of its range is
    its own bounds; its p is then that of as many tosses of a coin as there are degrees of freedom.
    """
    by_group = np.bincount(codes, influence)
    number = len(np.unique(codes))
    if freedom <= 0 or number < 2:
        return Bounded(value)
    with np.errstate(divide="ignore"):
        place = float(scale.transform(value))
    if not np.isfinite(place):
        return Bounded(value, value, value, 2.0**-freedom)
    error = float(np.sqrt(number / (number - 1) * (by_group**2).sum())) * scale.slope(value)
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    distance = abs(place - float(scale.transform(chance)))
    if distance < ROUNDING:
        p = 1.0
    else:
        p = 2 * float(stats.t.sf(distance / (np.sqrt(2) * error), freedom)) if error > ROUNDING else 2.0**-freedom
    for width in (np.sqrt(2) * margin, margin):
        low, high = scale.inverse(place + np.array([-width, width]))
        if low <= chance <= high:
            break
    return Bounded(value, float(low), float(high), p)
