"""Spearman correlation of scores of several models, one per stratum, with an interval clustered by group."""

import numpy as np
from scipy import stats

from dnalm.evaluation.statistics.bounded import FISHER_Z, Bounded, bound
from dnalm.evaluation.statistics.clusters import Groups


def clustered_spearman(scores: np.ndarray, targets: np.ndarray, strata: np.ndarray, codes: np.ndarray) -> Bounded:
    """Mean over strata, weighted by records, of the Spearman correlation with targets, and 95 % bounds.

    scores, targets: (n,); strata, codes: (n,) integers from 0, the fold and the group of each record. Only records of
    the same stratum are compared, as scores of different models have no common scale. Strata without two different
    targets are left out; if all are, the value is None. The correlation of constant scores is 0. The variance is that
    of the linearised statistic (infinitesimal jackknife: Efron 1982, chapter 6), summed by group; the bounds are
    symmetric on Fisher's z scale, from Student's t; degrees of freedom: the effective groups minus one.
    """
    value, compared = 0.0, np.zeros(len(targets), dtype=bool)
    influence = np.zeros(len(targets))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        if not np.ptp(targets[rows]):
            continue
        compared[rows] = True
        correlation, by_record = rank_correlation(scores[rows], targets[rows])
        value += len(rows) * correlation
        influence[rows] = by_record
    number = int(compared.sum())
    if not number:
        return Bounded(None)
    freedom = Groups.of(codes[compared]).effective - 1
    return bound(value / number, influence[compared] / number, codes[compared], freedom, 0.0, FISHER_Z)


def rank_correlation(one: np.ndarray, other: np.ndarray) -> tuple[float, np.ndarray]:
    """Spearman correlation of two columns, (n,) each, and each record's influence, (n,); zeros if one is constant.

    The influence is the derivative of the statistic by the record's weight, times n. With u and v the centred mid-ranks
    in units of n, the influence on the covariance is u v - cov + A + B, where A is the mean over all records of the
    change of their u caused by this record, times their v, and B is the same with u and v exchanged.
    """
    if not np.ptp(one) or not np.ptp(other):
        return 0.0, np.zeros(len(one))
    u, v = (stats.rankdata(column) / len(column) for column in (one, other))
    u, v = u - u.mean(), v - v.mean()
    covariance, spread, other_spread = (float(np.mean(a * b)) for a, b in ((u, v), (u, u), (v, v)))
    value = covariance / np.sqrt(spread * other_spread)
    of_covariance = u * v - covariance + _through_ranks(one, v) + _through_ranks(other, u)
    of_spreads = sum(
        (w**2 - square + 2 * _through_ranks(column, w)) / square
        for column, w, square in ((one, u, spread), (other, v, other_spread))
    )
    return value, of_covariance / np.sqrt(spread * other_spread) - value / 2 * of_spreads


def _through_ranks(column: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over records j of (h(i, j) - rank of j) * weights[j] for each record i; weights sum to 0.

    h(i, j) is the contribution of record i to the rank of j: 1 if i is below j, 1/2 if they are equal.
    """
    values, place, sizes = np.unique(column, return_inverse=True, return_counts=True)
    sums = np.bincount(place, weights, len(values))
    above = np.cumsum(sums[::-1])[::-1] - sums / 2
    middle = (np.cumsum(sizes) - sizes / 2) / len(column)
    return np.asarray((above[place] - float(middle[place] @ weights)) / len(column))
