"""A split's metrics as functions of the weights of its groups, as a bootstrap over groups needs them.

Records are read once: metrics of hard predictions come from one confusion matrix per group, mean losses from one sum
per group, and rank metrics from cumulative sums over records that are sorted once. Each value comes with
the standard error of the linearised statistic (infinitesimal jackknife; Efron 1982, chapter 6): with u_g the derivative
with respect to the weight w_g of group g, the variance is G / (G - 1) sum_g w_g u_g^2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dnalm.evaluation.statistics.record_losses import record_losses
from dnalm.tables.predictions import ClassPredictions

Estimate = tuple[np.ndarray, np.ndarray]
"""A metric under each of B weightings and its standard error, both (B,); NaN where undefined."""
RANKED = ("auroc", "auprc")


def group_confusions(predictions: ClassPredictions, codes: np.ndarray, groups: int) -> np.ndarray:
    """Confusion matrix of each group, flattened: (groups, k * k), with truth i and prediction j at i * k + j.

    codes: the group of each record, (n,), integers in 0 .. groups - 1.
    """
    k = predictions.classes
    cells = (codes * k + predictions.labels) * k + predictions.predicted
    return np.bincount(cells, minlength=groups * k * k).reshape(groups, k * k).astype(float)


class GroupedMetrics:
    """Metrics of `predictions` whose records belong to groups `codes` (n,), integers in 0 .. groups - 1."""

    def __init__(self, predictions: ClassPredictions, codes: np.ndarray, groups: int) -> None:
        """Sum by group and sort the records."""
        losses = record_losses(predictions)
        self._classes = predictions.classes
        self._confusions = group_confusions(predictions, codes, groups)
        self._losses = {name: np.bincount(codes, values, groups) for name, values in losses.items()}
        self._rankings = [_Ranking(truth, score, codes, groups) for truth, score in predictions.one_against_rest()]

    def measure(self, weights: np.ndarray) -> dict[str, Estimate]:
        """Every metric under each of B weightings, (B, groups), at least 0; rank metrics only if two classes occur.

        Rank metrics are undefined where a class has no weight.
        """
        counts = (weights @ self._confusions).reshape(-1, self._classes, self._classes)
        result = {}
        for name, metric in HARD_METRICS.items():
            values, gradients = metric(counts)
            derivatives = gradients.reshape(len(weights), -1) @ self._confusions.T
            result[name] = (values, standard_errors(weights, derivatives))
        sizes = self._confusions.sum(axis=1)
        totals = weights @ sizes
        for name, sums in self._losses.items():
            values = weights @ sums / totals
            derivatives = (sums - values[:, None] * sizes) / totals[:, None]
            result[name] = (values, standard_errors(weights, derivatives))
        if self._rankings:
            result |= self._ranked(weights)
        return result

    def _ranked(self, weights: np.ndarray) -> dict[str, Estimate]:
        values = {name: np.empty(len(weights)) for name in RANKED}
        errors = {name: np.empty(len(weights)) for name in RANKED}
        for row, weighting in enumerate(weights):
            parts = [ranking.measure(weighting) for ranking in self._rankings]
            for i, name in enumerate(RANKED):
                values[name][row] = np.mean([part[i][0] for part in parts])
                derivatives = np.mean([part[i][1] for part in parts], axis=0)
                errors[name][row] = standard_errors(weighting[None], derivatives[None])[0]
        return {name: (values[name], errors[name]) for name in RANKED}


def standard_errors(weights: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    """Standard error, (B,), from weights and derivatives with respect to them, both (B, groups)."""
    groups = weights.shape[1]
    if groups < 2:
        return np.full(len(weights), np.nan)
    errors: np.ndarray = np.sqrt(groups / (groups - 1) * np.einsum("bg,bg,bg->b", weights, derivatives, derivatives))
    return errors


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Quotient; 0 where the denominator is 0, as in scikit-learn's metrics."""
    quotient: np.ndarray = np.zeros_like(numerator * denominator)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def accuracy(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy (B,) of confusion matrices (B, k, k), and its gradient (B, k, k)."""
    total = counts.sum(axis=(1, 2))
    values = np.trace(counts, axis1=1, axis2=2) / total
    return values, (np.eye(counts.shape[1]) - values[:, None, None]) / total[:, None, None]


def mcc(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matthews correlation (B,) of confusion matrices (B, k, k), and its gradient (B, k, k).

    R_K of Gorodkin 2004; both are 0 where it is undefined (one class in truth or in prediction).
    """
    total = counts.sum(axis=(1, 2))
    right = np.trace(counts, axis1=1, axis2=2)
    truth, guess = counts.sum(axis=2), counts.sum(axis=1)
    of_guess = total**2 - (guess**2).sum(axis=1)
    of_truth = total**2 - (truth**2).sum(axis=1)
    scale = np.sqrt(of_guess * of_truth)
    values = _ratio(right * total - (truth * guess).sum(axis=1), scale)
    slope = np.eye(counts.shape[1]) * total[:, None, None] + right[:, None, None]
    slope = slope - guess[:, :, None] - truth[:, None, :]
    shrink = _ratio(total[:, None] - guess, of_guess[:, None])[:, None, :]
    shrink = shrink + _ratio(total[:, None] - truth, of_truth[:, None])[:, :, None]
    gradient = _ratio(slope, scale[:, None, None]) - values[:, None, None] * shrink
    return values, np.where(scale[:, None, None] > 0, gradient, 0)


def _macro(counts: np.ndarray, of_truth: float, of_guess: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean over classes of right / (of_truth * records of the class + of_guess * predictions of it)."""
    k = counts.shape[1]
    right = np.diagonal(counts, axis1=1, axis2=2)
    denominator = of_truth * counts.sum(axis=2) + of_guess * counts.sum(axis=1)
    ratios = _ratio(right, denominator)
    lost = _ratio(ratios, denominator)
    gradient = -of_truth * lost[:, :, None] - of_guess * lost[:, None, :]
    gradient = gradient + np.eye(k) * _ratio(np.ones_like(denominator), denominator)[:, :, None]
    return ratios.mean(axis=1), gradient / k


HARD_METRICS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    "accuracy": accuracy,
    "mcc": mcc,
    "macro_f1": lambda counts: _macro(counts, 0.5, 0.5),
    "macro_precision": lambda counts: _macro(counts, 0.0, 1.0),
    "macro_recall": lambda counts: _macro(counts, 1.0, 0.0),
}
"""Metrics of confusion matrices, with gradients. A class without records or predictions counts as 0 in a macro mean."""


@dataclass(frozen=True)
class _Places:
    """Positions of scores among other, sorted scores: index before and after equal ones."""

    before: np.ndarray
    after: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, among: np.ndarray) -> "_Places":
        return cls(np.searchsorted(among, scores, "left"), np.searchsorted(among, scores, "right"))


class _Ranking:
    """One class against the rest: AUROC (ties count as a half) and average precision, with derivatives by group."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray, codes: np.ndarray, groups: int) -> None:
        self._groups = groups
        sides = []
        for side in (truth, ~truth):
            order = np.argsort(scores[side], kind="stable")
            sides.append((scores[side][order], codes[side][order]))
        (positive, self._positive), (negative, self._negative) = sides
        self._among_negatives = _Places.of(positive, negative)
        self._among_positives = _Places.of(negative, positive)
        self._own = _Places.of(positive, positive)

    def measure(self, weights: np.ndarray) -> tuple[tuple[float, np.ndarray], tuple[float, np.ndarray]]:
        """(AUROC, derivatives (groups,)) and the same for average precision, under weights (groups,)."""
        mine, others = weights[self._positive], weights[self._negative]
        up_to_positive, up_to_negative = _cumulative(mine), _cumulative(others)
        positives, negatives = up_to_positive[-1], up_to_negative[-1]
        if not positives or not negatives:
            undefined = (np.nan, np.full(self._groups, np.nan))
            return undefined, undefined

        place, other_place = self._among_negatives, self._among_positives
        below = (up_to_negative[place.before] + up_to_negative[place.after]) / (2 * negatives)
        above = 1 - (up_to_positive[other_place.before] + up_to_positive[other_place.after]) / (2 * positives)
        area = float(mine @ below / positives)
        by_area = self._by_group((below - area) / positives, (above - area) / negatives)

        found = positives - up_to_positive[self._own.before]  # at the threshold of each positive's own score
        called = found + negatives - up_to_negative[place.before]
        precision = _ratio(found, called)
        average = float(mine @ precision / positives)
        per_call = _ratio(mine, called)
        gained, lost = _cumulative(per_call), _cumulative(per_call * precision)
        own = precision - average + gained[self._own.after] - lost[self._own.after]
        by_average = self._by_group(own / positives, -lost[other_place.after] / positives)
        return (area, by_area), (average, by_average)

    def _by_group(self, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.bincount(self._positive, positive, self._groups)
        return sums + np.bincount(self._negative, negative, self._groups)


def _cumulative(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1 ... n values, (n + 1,)."""
    return np.concatenate(([0.0], np.cumsum(values)))
