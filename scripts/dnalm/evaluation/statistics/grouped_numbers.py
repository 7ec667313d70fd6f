"""Metrics of predicted numbers as functions of the weights of groups, as a bootstrap over groups needs them.

Pearson correlation, R2 and RMSE come from seven sums per group; the Spearman correlation, which is the Pearson
correlation of mid-ranks, from cumulative sums over records that are sorted once. Values and standard errors are as in
`grouped`; the derivatives are exact and include those of the ranks.
"""

import numpy as np
from scipy import sparse

from dnalm.evaluation.statistics.grouped import Estimate, standard_errors
from dnalm.tables.predictions import NumberPredictions

_NO_SPREAD = 1e-12
"""A variance below this fraction of that of all records is rounding: the values are equal."""
_CELLS = 2**19
"""Records times weightings ranked at a time: bounds memory for any number of replicates."""


class GroupedNumbers:
    """Metrics of `predictions` whose records belong to groups `codes` (n,), integers in 0 .. groups - 1."""

    def __init__(self, predictions: NumberPredictions, codes: np.ndarray, groups: int) -> None:
        """Sum by group and sort the records."""
        one = _standardized(predictions.targets)
        other = _standardized(predictions.predicted)
        self._scale = float(predictions.targets.std()) or 1.0
        errors = ((predictions.targets - predictions.predicted) / self._scale) ** 2
        products = (np.ones_like(one), one, other, one * one, other * other, one * other, errors)
        self._sums = np.column_stack([np.bincount(codes, values, groups) for values in products])
        self._codes = codes
        self._members = sparse.csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), (groups, len(codes)))
        self._truth, self._guess = _Order(predictions.targets), _Order(predictions.predicted)

    def measure(self, weights: np.ndarray) -> dict[str, Estimate]:
        """Every metric under each of B weightings, (B, groups), at least 0 and not all 0.

        Correlations are 0 with standard error 0 if targets or predictions do not vary, and so is R2 if the targets do
        not. R2 of constant predictions is at most 0 and has standard error 0 too, as a linear approximation fails near
        its maximum.
        """
        sums = weights @ self._sums
        found = {
            "spearman": self.spearman(weights),
            **{name: (value, slope @ self._sums.T) for name, (value, slope) in _of_moments(sums, self._scale).items()},
        }
        return {name: (value, standard_errors(weights, slopes)) for name, (value, slopes) in found.items()}

    def spearman(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spearman correlation (B,) under B weightings (B, groups), and its derivatives by the weights (B, groups)."""
        values, slopes = np.empty(len(weights)), np.empty(weights.shape)
        step = max(1, _CELLS // len(self._codes))
        for at in range(0, len(weights), step):
            part = slice(at, at + step)
            values[part], by_record = self._ranked(weights[part][:, self._codes])
            slopes[part] = (self._members @ by_record.T).T
        return values, slopes

    def _ranked(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spearman correlation (B,) under weights of the records (B, n), and its derivatives by them (B, n).

        With u and v the centred mid-ranks in units of the total weight W, A = sum w u v, B = sum w u^2 and
        C = sum w v^2, the correlation is A / sqrt(B C). A record's weight enters directly and through the ranks of the
        records above it: d u_i / d w_j = (h(i, j) - u_i - 1/2) / W with h = 1, 1/2, 0 for i above, equal to, below j.
        """
        total = weights.sum(axis=1, keepdims=True)
        one, other = (order.below(weights) / total - 0.5 for order in (self._truth, self._guess))
        covariance, spread, other_spread = (
            np.einsum("bn,bn,bn->b", weights, a, b)[:, None] for a, b in ((one, other), (one, one), (other, other))
        )
        defined = (spread > _NO_SPREAD * total) & (other_spread > _NO_SPREAD * total)
        spread, other_spread = np.where(defined, spread, 1), np.where(defined, other_spread, 1)
        scale = np.sqrt(spread * other_spread)
        value = np.where(defined, covariance / scale, 0)
        direct = one * other / scale - value / 2 * (one**2 / spread + other**2 / other_spread)
        through = self._truth.below(weights * (other / scale - value * one / spread))
        through += self._guess.below(weights * (one / scale - value * other / other_spread))
        return value[:, 0], np.where(defined, direct - through / total, 0)


class _Order:
    """The order of n values; ties are kept."""

    def __init__(self, values: np.ndarray) -> None:
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._before, self._after = (np.searchsorted(ordered, values, side) for side in ("left", "right"))

    def below(self, amounts: np.ndarray) -> np.ndarray:
        """For each record, the sum of `amounts` (B, n) over smaller values and half of equal ones, (B, n)."""
        sums = np.zeros((amounts.shape[0], amounts.shape[1] + 1))
        np.cumsum(amounts[:, self._order], axis=1, out=sums[:, 1:])
        half: np.ndarray = (sums[:, self._before] + sums[:, self._after]) / 2
        return half


def _standardized(values: np.ndarray) -> np.ndarray:
    """Values with mean 0 and variance 1, so that sums of squares keep their digits; zeros if all are equal."""
    if not np.ptp(values):
        return np.zeros(len(values))
    centred = values - values.mean()
    result: np.ndarray = centred / centred.std()
    return result


def _of_moments(sums: np.ndarray, scale: float) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pearson correlation, R2 and RMSE, (B,) each, with gradients (B, 7).

    sums: (B, 7) of 1, x, y, x^2, y^2, xy and squared errors; x and y are standardized separately, the squared errors
    are in units of `scale`^2.
    """
    n, x, y, xx, yy, xy, errors = sums.T
    zero, one = np.zeros_like(n), np.ones_like(n)
    covariance, spread, other_spread = xy - x * y / n, xx - x * x / n, yy - y * y / n
    of_covariance = np.column_stack((x * y / n**2, -y / n, -x / n, zero, zero, one, zero))
    of_spread = np.column_stack(((x / n) ** 2, -2 * x / n, zero, one, zero, zero, zero))
    of_other = np.column_stack(((y / n) ** 2, zero, -2 * y / n, zero, one, zero, zero))
    of_errors = np.column_stack((zero, zero, zero, zero, zero, zero, one))

    varies = spread > _NO_SPREAD * n
    both = varies & (other_spread > _NO_SPREAD * n)
    safe, other_safe = np.where(varies, spread, 1), np.where(both, other_spread, 1)
    root = np.sqrt(safe * other_safe)
    pearson = np.where(both, covariance / root, 0)
    slope = of_covariance / root[:, None] - (pearson / 2)[:, None] * (
        of_spread / safe[:, None] + of_other / other_safe[:, None]
    )

    ratio = errors / safe
    of_ratio = (of_errors - ratio[:, None] * of_spread) / safe[:, None]

    rmse = np.sqrt(errors / n)
    of_mean = of_errors / n[:, None]
    of_mean[:, 0] = -errors / n**2
    twice = 2 * np.where(rmse > 0, rmse, 1)
    return {
        "pearson": (pearson, np.where(both[:, None], slope, 0)),
        "r2": (np.where(varies, 1 - ratio, 0), np.where(both[:, None], -of_ratio, 0)),
        "rmse": (scale * rmse, np.where((rmse > 0)[:, None], scale * of_mean / twice[:, None], 0)),
    }
