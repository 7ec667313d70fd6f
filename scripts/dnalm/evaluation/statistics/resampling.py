"""Confidence intervals of a trained model's metrics, by drawing groups of related records with replacement.

A bootstrap interval says how much the metrics would vary with another test set of the same kind, for the model as it
is; variation over training seeds is not included.

The method is the symmetric (Hall 1992, chapter 3.5) studentised bootstrap (Efron and Tibshirani 1993, chapter 12.5), on
a scale that keeps the interval within a metric's range. It was chosen for its measured coverage: percentile and BCa
intervals are too narrow for few groups or a metric near 1 (docs/lab-notebook.md).

A bootstrap cannot draw errors that are not there. So where the effective number of records holds fewer than ten errors,
or ten right answers, the interval of a classification metric is the exact one of `effective`; and no interval is more
certain than that of a run without an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dnalm.config.stages.evaluation import GroupLimits, IntervalSettings
from dnalm.evaluation.statistics.bits import GroupedBits
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.effective import exact_interval, few_errors, metric_range, perfect_bounds
from dnalm.evaluation.statistics.grouped import Estimate, GroupedMetrics
from dnalm.evaluation.statistics.grouped_numbers import GroupedNumbers
from dnalm.names import BITS_PER_BASE, SMALLER_IS_BETTER
from dnalm.tables.predictions import BitPredictions, ClassPredictions, Predictions

SMALLEST_ERROR = 1e-9
"""A standard error below this is rounding: the metric is constant over resamples."""
SURE_GROUPS = 60
"""With fewer effective groups, intervals miss the truth more often where a few groups fail as a whole."""
_CELLS = 2**21
"""Weights drawn at a time: bounds memory for any number of replicates."""


@dataclass(frozen=True)
class Intervals:
    """`bounds`: {metric: {"low", "high"}}; `note`: why some or all are withheld, or a caution."""

    bounds: dict[str, dict[str, float]]
    note: str


def intervals(predictions: Predictions, groups: np.ndarray, settings: IntervalSettings) -> Intervals:
    """Intervals of every metric of `predictions`, clustered by `groups` (n,).

    settings: confidence, replicates, seed; effective_groups (the minimum for intervals) and largest_group (the fraction
    of the records in one group above which a caution is given).
    """
    codes = np.unique(groups, return_inverse=True)[1]
    facts = Groups.of(codes)
    if reason := too_few(facts, settings):
        return Intervals({}, f"Intervals not given: {reason}.")
    metrics: GroupedMetrics | GroupedNumbers | GroupedBits
    if isinstance(predictions, ClassPredictions):
        metrics = GroupedMetrics(predictions, codes, facts.number)
    elif isinstance(predictions, BitPredictions):
        metrics = GroupedBits(predictions, codes, facts.number)
    else:
        metrics = GroupedNumbers(predictions, codes, facts.number)
    with threadpool_limits(limits=1):  # the order of sums would change results
        observed = metrics.measure(np.ones((1, facts.number)))
        parts = [metrics.measure(weights) for weights in draws(facts.number, settings.replicates, settings.seed)]
    exact = _Exact(predictions, codes, facts, observed, 1 - settings.confidence)
    bounds, constant = {}, []
    for name, (value, error) in observed.items():
        values, errors = (np.concatenate([part[name][i] for part in parts]) for i in (0, 1))
        low, high = interval(name, (value, error), (values, errors), settings.confidence)
        low, high = exact.mended(name, (float(value[0]), float(error[0])), (low, high))
        if np.isnan(low):
            constant.append(name)
        else:
            bounds[name] = {"low": low, "high": high}
    notes = [f"No interval of {', '.join(constant)}: it hardly varies over resamples." if constant else ""]
    notes.append(caution(facts, settings))
    return Intervals(bounds, " ".join(filter(None, notes)))


class _Exact:
    """The exact intervals of class predictions with few errors; of other predictions, none."""

    def __init__(
        self, predictions: Predictions, codes: np.ndarray, facts: Groups, observed: dict[str, Estimate], alpha: float
    ) -> None:
        self._groups, self._alpha, self._classes = facts.effective, alpha, 0
        if isinstance(predictions, ClassPredictions):
            self._classes = predictions.classes
            self._perfect: Mapping[str, float] = perfect_bounds(predictions.labels, codes, self._classes)(alpha)
            self._right, error = (float(part[0]) for part in observed["accuracy"])
            self._few = few_errors(self._right, error, self._groups, (0.0, 1.0))

    def mended(self, name: str, observed: tuple[float, float], bounds: tuple[float, float]) -> tuple[float, float]:
        """The interval of a metric from its value and error, and that of the bootstrap; NaN if it does not vary."""
        if not self._classes:
            return bounds
        (value, error), ends, smaller = observed, metric_range(name, self._classes), name in SMALLER_IS_BETTER
        if not error > SMALLEST_ERROR:
            if smaller and self._right == 1:
                return ends[0], max(value, self._perfect[name])
            if value == ends[1] and not smaller:
                return self._perfect[name], value
            if value not in ends:
                return np.nan, np.nan
            bounds = exact_interval(value, 0.0, self._groups, ends, self._alpha)
        elif self._few or few_errors(value, error, self._groups, ends) or np.isnan(bounds[0]):
            bounds = exact_interval(value, error, self._groups, ends, self._alpha)
        if name == "log_loss":  # it has no end that a failure would reach
            return bounds
        worst = self._perfect[name]
        return (bounds[0], max(bounds[1], worst)) if smaller else (min(bounds[0], worst), bounds[1])


def group_facts(groups: np.ndarray) -> dict[str, float]:
    """Groups of the records (n,): `number`, `effective` number, records of the `largest`, `largest_fraction` of all."""
    facts = Groups.of(np.unique(groups, return_inverse=True)[1])
    return {
        "number": facts.number,
        "effective": facts.effective,
        "largest": facts.largest,
        "largest_fraction": facts.largest_fraction,
    }


def too_few(facts: Groups, settings: GroupLimits) -> str:
    """Why no interval is given (too few effective groups, Kish 1965: n^2 / sum n_i^2), or an empty string."""
    least = settings.effective_groups
    if facts.effective >= least:
        return ""
    return f"{_floor(facts.effective)} effective groups of records, at least {least} are needed"


def caution(facts: Groups, settings: GroupLimits) -> str:
    """Sentences if the groups are few, or the largest holds too many of the records; or an empty string."""
    notes = []
    if facts.effective < SURE_GROUPS:
        notes.append(
            f"Only {_floor(facts.effective)} effective groups of records, fewer than {SURE_GROUPS}: if a few groups"
            " fail as a whole, the intervals may be too narrow."
        )
    if facts.largest_fraction > settings.largest_group:
        notes.append(f"One group holds {facts.largest_fraction:.1%} of the records: the intervals may be too narrow.")
    return " ".join(notes)


def _floor(number: float) -> str:
    """One decimal, rounded down, so that a number below a limit never reads as the limit."""
    return f"{np.floor(10 * number) / 10:g}"


def draws(groups: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Bootstrap counts of the groups in blocks (rows, groups), `replicates` rows in all; deterministic for a seed."""
    rng = np.random.default_rng(seed)
    left = replicates
    while left:
        rows = min(left, max(1, _CELLS // groups))
        drawn = [np.bincount(rng.integers(groups, size=groups), minlength=groups) for _ in range(rows)]
        yield np.array(drawn, dtype=float)
        left -= rows


def interval(name: str, observed: Estimate, replicates: Estimate, confidence: float) -> tuple[float, float]:
    """The interval of one metric from its value and standard error, (1,) each, and those of its replicates, (B,) each.

    NaN if the metric is constant over resamples, or undefined or at its bound in too many of them.
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
    """|value of a replicate - value| in standard errors of the replicate, (B,); infinite if undefined or without error.

    So replicates without a usable standard error widen the interval.
    """
    with np.errstate(all="ignore"):
        distances: np.ndarray = np.abs(values - value) / errors
    return np.where(np.isfinite(distances) & (errors > SMALLEST_ERROR), distances, np.inf)


def critical(distances: np.ndarray, confidence: float) -> float:
    """The critical value of |t|, which it exceeds with probability 1 - confidence; infinite with too few replicates."""
    rank = int(np.ceil(confidence * (len(distances) + 1) - 1e-9))
    return float(np.sort(distances)[rank - 1]) if rank <= len(distances) else np.inf


_CORRELATIONS = ("mcc", "spearman", "pearson")
_ERRORS = ("log_loss", "brier", "rmse", *BITS_PER_BASE)


def _transformed(name: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scale on which a metric's interval is symmetric, and the absolute value of its slope.

    atanh for correlations, log for errors, log(1 - R2) for R2, logit for the rest.
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
