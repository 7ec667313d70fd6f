"""Confidence intervals of a trained model's metrics, by drawing groups of related records with replacement.

A bootstrap interval says how much the metrics would vary with another test set of the same kind, for the model as it is
trained; how much they vary with the seed of the training is another matter and no part of it.

The method is the studentised bootstrap (Efron and Tibshirani 1993, chapter 12.5), symmetric (Hall 1992, chapter 3.5), on
a scale that keeps within a metric's bounds. It was chosen by measured coverage against percentile and BCa intervals,
which are too narrow for few groups or a metric near 1: see docs/lab-notebook.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dnalm.config.stages.evaluation import IntervalSettings
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.grouped import Estimate, GroupedMetrics
from dnalm.evaluation.statistics.grouped_numbers import GroupedNumbers
from dnalm.tables.predictions import ClassPredictions, Predictions

SMALLEST_ERROR = 1e-9
"""A standard error below this is rounding: resampling does not move the metric."""
_CELLS = 2**21
"""Weights drawn at a time, so that memory does not grow with the replicates."""


@dataclass(frozen=True)
class Intervals:
    """`bounds`: {metric: {"low", "high"}}; `note`: why some or all are withheld, or what makes them less sure."""

    bounds: dict[str, dict[str, float]]
    note: str


def intervals(predictions: Predictions, groups: np.ndarray, settings: IntervalSettings) -> Intervals:
    """Intervals of every metric of `predictions`, clustered by `groups` (n,).

    settings: confidence, replicates, seed; effective_groups (fewest for which intervals are given) and largest_group (the
    share of the records that one group may hold without a caution).
    """
    codes = np.unique(groups, return_inverse=True)[1]
    facts = Groups.of(codes)
    if reason := too_few(facts, settings):
        return Intervals({}, f"Intervals not given: {reason}.")
    metrics: GroupedMetrics | GroupedNumbers
    if isinstance(predictions, ClassPredictions):
        metrics = GroupedMetrics(predictions, codes, facts.number)
    else:
        metrics = GroupedNumbers(predictions, codes, facts.number)
    with threadpool_limits(limits=1):  # sums in another order would be another result
        observed = metrics.measure(np.ones((1, facts.number)))
        parts = [metrics.measure(weights) for weights in draws(facts.number, settings.replicates, settings.seed)]
    bounds, still = {}, []
    for name, (value, error) in observed.items():
        values, errors = (np.concatenate([part[name][i] for part in parts]) for i in (0, 1))
        low, high = interval(name, (value, error), (values, errors), settings.confidence)
        if np.isnan(low):
            still.append(name)
        else:
            bounds[name] = {"low": low, "high": high}
    notes = [f"No interval of {', '.join(still)}: resampling the groups hardly moves it." if still else ""]
    notes.append(caution(facts, settings))
    return Intervals(bounds, " ".join(filter(None, notes)))


def group_facts(groups: np.ndarray) -> dict[str, float]:
    """How the records (n,) hang together: `number` of groups, `effective` number, records of the `largest`, its share."""
    facts = Groups.of(np.unique(groups, return_inverse=True)[1])
    return {
        "number": facts.number,
        "effective": facts.effective,
        "largest": facts.largest,
        "largest_fraction": facts.largest_fraction,
    }


def too_few(facts: Groups, settings: IntervalSettings) -> str:
    """Why no interval is given, or nothing: the effective groups (Kish 1965: n^2 / sum n_i^2) are too few."""
    least = settings.effective_groups
    if facts.effective >= least:
        return ""
    return f"{_floor(facts.effective)} effective groups of records, at least {least} are needed"


def caution(facts: Groups, settings: IntervalSettings) -> str:
    """A sentence on the largest group if it holds too many of the records, or nothing."""
    if facts.largest_fraction <= settings.largest_group:
        return ""
    return f"One group holds {facts.largest_fraction:.1%} of the records: the intervals may be too narrow."


def _floor(number: float) -> str:
    """One decimal, rounded down, so that what is too little never looks enough."""
    return f"{np.floor(10 * number) / 10:g}"


def draws(groups: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn, (rows, groups), until there are `replicates` rows; the same for the same seed."""
    rng = np.random.default_rng(seed)
    left = replicates
    while left:
        rows = min(left, max(1, _CELLS // groups))
        drawn = [np.bincount(rng.integers(groups, size=groups), minlength=groups) for _ in range(rows)]
        yield np.array(drawn, dtype=float)
        left -= rows


def interval(name: str, observed: Estimate, replicates: Estimate, confidence: float) -> tuple[float, float]:
    """The interval of one metric from its value and standard error, (1,) each, and those of its replicates, (B,) each.

    NaN where resampling does not move the metric, or too often leaves it undefined or at its bound.
    """
    value, error = float(observed[0][0]), float(observed[1][0])
    if not error > SMALLEST_ERROR:
        return np.nan, np.nan
    with np.errstate(all="ignore"):
        place, slope = _transformed(name, np.append(value, replicates[0]))
        scaled = np.append(error, replicates[1]) * slope
        margin = scaled[0] * critical(studentised(place[0], place[1:], scaled[1:]), confidence)
    if not np.isfinite(margin):
        return np.nan, np.nan
    low, high = sorted(_restored(name, place[0] + side * margin) for side in (-1, 1))
    return low, high


def studentised(value: float, values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """|value of a replicate - value| in standard errors of the replicate, (B,); infinite where there is no error.

    A replicate that is undefined, or has none of what makes the metric vary, so widens the interval.
    """
    with np.errstate(all="ignore"):
        distances: np.ndarray = np.abs(values - value) / errors
    return np.where(np.isfinite(distances) & (errors > SMALLEST_ERROR), distances, np.inf)


def critical(distances: np.ndarray, confidence: float) -> float:
    """What |t| exceeds with probability 1 - confidence: an order statistic, infinite if there are too few replicates."""
    rank = int(np.ceil(confidence * (len(distances) + 1) - 1e-9))
    return float(np.sort(distances)[rank - 1]) if rank <= len(distances) else np.inf


_CORRELATIONS = ("mcc", "spearman", "pearson")
_ERRORS = ("log_loss", "brier", "rmse")


def _transformed(name: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scale on which a metric's interval is symmetric, and the absolute value of its slope.

    atanh of a correlation, the logarithm of an error, that of the unexplained share 1 - R2, and else the logit.
    """
    if name in _CORRELATIONS:
        return np.arctanh(values), 1 / (1 - values**2)
    if name in _ERRORS:
        return np.log(values), 1 / values
    if name == "r2":
        return np.log(1 - values), 1 / (1 - values)
    return np.log(values / (1 - values)), 1 / (values * (1 - values))


def _restored(name: str, place: float) -> float:
    if name in _CORRELATIONS:
        return float(np.tanh(place))
    if name == "r2":
        return float(1 - np.exp(place))
    return float(np.exp(place)) if name in _ERRORS else float(expit(place))
