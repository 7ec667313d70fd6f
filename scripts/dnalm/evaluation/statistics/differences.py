"""The difference of two run groups' primary metric on the same test records, and what may be said of it.

Each side's value is the mean over its runs. Its interval for another test set is exact on the effective number of
records (MCC: `effective`), or symmetric on Fisher's z scale (Spearman correlation) or on that of logarithms (bits per
base, a ratio of sums); the two make the interval of the
difference, with the correlation between them over groups of records (MOVER: Newcombe 1998, Statistics in Medicine
17:2635; Zou and Donner 2008, Statistics in Medicine 27:1693). So it exists for any number of errors and stays in range.

If each side that is trained from a seed has at least three, seeds are taken as drawn at random too, and the verdict is
on the methods: the squared margin of each side's mean over seeds (Student's t with one degree of freedom less than
seeds) is added to that over groups. It holds the noise of the records in each run, which the groups' variance holds as
well: that is conservative. (One t with Satterthwaite's degrees of freedom rejects .08 at three seeds: lab notebook.)
With fewer seeds the verdict is on the trained models. The p value is the level at which the interval meets 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, t

from dnalm.evaluation.statistics.bounded import FISHER_Z
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.effective import effective_size, exact_interval, metric_range
from dnalm.evaluation.statistics.primary import primary_metric, primary_statistic, primary_value
from dnalm.evaluation.statistics.resampling import SMALLEST_ERROR
from dnalm.names import BITS_PER_BASE
from dnalm.tables.predictions import Predictions

POWER = 0.8
"""Probability of finding a difference of the detectable size."""
FEWEST_SEEDS = 3
"""Runs from which the variation over seeds is estimated."""
METHODS, MODELS = "methods", "models"
ENDS = metric_range("mcc", 2)
_SMALLEST_P = 1e-9


@dataclass(frozen=True)
class Side:
    """The runs of one side: `by_seed`, and the derivatives of their mean by the weight of each group, (G,).

    seeded: whether another seed would give another model.
    """

    metric: str
    by_seed: Sequence[float]
    influence: np.ndarray
    seeded: bool

    @property
    def value(self) -> float:
        """The mean over the runs."""
        return float(np.mean(self.by_seed))

    @property
    def error(self) -> float:
        """Standard error of `value` over groups of records."""
        return _error(self.influence)

    @property
    def varies(self) -> bool:
        """Whether it has a standard error: no run without errors has one, and none that gives one class only."""
        return self.error > SMALLEST_ERROR

    @property
    def is_perfect(self) -> bool:
        """Whether every class is right: a run without errors is as uncertain as its groups are few."""
        return self.metric == "mcc" and not self.varies and self.value > 1 - SMALLEST_ERROR

    def interval(self, alpha: float, size: float, groups: float) -> tuple[float, float]:
        """The interval of level 1 - alpha, for so many effective groups.

        size: effective records of a run without errors, which does not tell its own.
        """
        value, error = self.value, self.error
        if not (self.varies or self.is_perfect):
            return value, value
        if self.metric == "mcc":
            return exact_interval(value, error, groups if self.varies else size, ENDS, alpha)
        if self.metric in BITS_PER_BASE:
            factor = float(np.exp(error / value * t.isf(alpha / 2, max(groups - 1, 1))))
            return value / factor, value * factor
        margin = error * FISHER_Z.slope(value) * float(t.isf(alpha / 2, max(groups - 1, 1)))
        low, high = FISHER_Z.inverse(FISHER_Z.transform(value) + np.array([-margin, margin]))
        return float(low), float(high)

    def size(self, groups: float) -> float:
        """Independent records with which the value would be as uncertain as it is; `groups` if it does not vary."""
        return effective_size((self.value + 1) / 2, self.error / 2 if self.varies else 0.0, groups)

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None for one run."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None

    @property
    def seed_variance(self) -> float:
        """The variance of `value` over seeds; 0 for one run, or without seeds."""
        return (self.spread or 0.0) ** 2 / len(self.by_seed) if self.seeded else 0.0

    @property
    def enough_seeds(self) -> bool:
        """Whether the variation over seeds is known: there is none, or it is estimated."""
        return not self.seeded or len(self.by_seed) >= FEWEST_SEEDS


def side(runs: Sequence[Predictions], codes: np.ndarray, facts: Groups, seeded: bool) -> Side:
    """One side of a comparison. codes: the group of each record, (n,), integers from 0; facts: of these groups."""
    slopes = [primary_statistic(run, codes, facts.number)(np.ones((1, facts.number)))[1][0] for run in runs]
    return Side(primary_metric(runs[0]), [primary_value(run) for run in runs], np.mean(slopes, axis=0), seeded)


def _error(influence: np.ndarray) -> float:
    """Standard error of a statistic from its derivatives by the weights of G groups, (G,)."""
    groups = len(influence)
    return float(np.sqrt(groups / max(groups - 1, 1) * (influence**2).sum()))


@dataclass(frozen=True)
class Difference:
    """`one` minus `other`, which were scored on records of `groups` effective groups."""

    one: Side
    other: Side
    groups: float

    @property
    def value(self) -> float:
        """The difference."""
        return self.one.value - self.other.value

    @property
    def about(self) -> str:
        """Whether the interval is about the methods, over seeds, or about these models."""
        return METHODS if self.one.enough_seeds and self.other.enough_seeds else MODELS

    @property
    def tells_apart(self) -> bool:
        """Whether there is an interval: not if the two do as well as each other on every group, errors included."""
        varies = _error(self.one.influence - self.other.influence) > SMALLEST_ERROR
        return varies or abs(self.value) > SMALLEST_ERROR or self.one.is_perfect

    @property
    def error(self) -> float:
        """Standard error over groups of records and, if `about` methods, over seeds."""
        over_groups = _error(self.one.influence - self.other.influence)
        return float(np.sqrt(over_groups**2 + sum(self._seed_variances)))

    @property
    def _seed_variances(self) -> list[float]:
        return [side.seed_variance if self.about == METHODS else 0.0 for side in (self.one, self.other)]

    def limits(self, alpha: float) -> tuple[float, float]:
        """The interval of level 1 - alpha."""
        (low, high), (base_low, base_high) = (
            side.interval(alpha, rival.size(self.groups), self.groups)
            for side, rival in ((self.one, self.other), (self.other, self.one))
        )
        seeds = sum(
            float(t.isf(alpha / 2, max(len(side.by_seed) - 1, 1))) ** 2 * variance
            for side, variance in zip((self.one, self.other), self._seed_variances, strict=True)
        )
        down = self._margin(self.one.value - low, base_high - self.other.value)
        up = self._margin(high - self.one.value, self.other.value - base_low)
        most = np.inf if self.one.metric in BITS_PER_BASE else ENDS[1] - ENDS[0]
        return (
            max(self.value - float(np.sqrt(down + seeds)), -most),
            min(self.value + float(np.sqrt(up + seeds)), most),
        )

    def _margin(self, one: float, other: float) -> float:
        scale = float(np.linalg.norm(self.one.influence) * np.linalg.norm(self.other.influence))
        together = float(self.one.influence @ self.other.influence) / scale if scale else 0.0
        return max(one**2 + other**2 - 2 * together * one * other, 0.0)

    @property
    def p(self) -> float:
        """The smallest alpha whose interval does not hold 0."""
        sign, nearest = (1, 0) if self.value > 0 else (-1, 1)

        def beyond(log_alpha: float) -> float:
            return sign * self.limits(float(np.exp(log_alpha)))[nearest]

        smallest = float(np.log(_SMALLEST_P))
        if not self.value or beyond(-1e-9) <= 0:
            return 1.0
        if beyond(smallest) >= 0:
            return _SMALLEST_P
        return float(np.exp(brentq(beyond, smallest, -1e-9, xtol=1e-6)))

    def detectable(self, alpha: float) -> float:
        """A difference that would be found with probability `POWER`: half the interval, and the quantile of `POWER`."""
        low, high = self.limits(alpha)
        return (high - low) / 2 + self.error * float(norm.ppf(POWER))

    def entry(self) -> dict[str, Any]:
        """Its part of a comparison.json, without `low`, `high`, `p` and `detectable`."""
        return {
            "metric": self.one.metric,
            "value": self.one.value,
            "against_value": self.other.value,
            "difference": self.value,
            "by_seed": list(self.one.by_seed),
            "against_by_seed": list(self.other.by_seed),
            "against_seeds": len(self.other.by_seed),
            "seed_sd": self.one.spread,
            "against_seed_sd": self.other.spread if self.other.seeded else None,
            "about": self.about,
            "about_note": self.about_note,
            "groups_effective": self.groups,
        }

    @property
    def about_note(self) -> str:
        """What the verdict holds for, in a sentence."""
        if self.about == METHODS:
            return "The verdict is on the methods: seeds and groups of test records are both taken as drawn at random."
        fewest = min(len(side.by_seed) for side in (self.one, self.other) if side.seeded)
        seeds = "1 seed" if fewest == 1 else f"{fewest} seeds"
        return (
            f"The verdict is on these trained models ({seeds}), not on the method: at least {FEWEST_SEEDS} seeds are"
            " needed to tell how much the result varies between them."
        )
