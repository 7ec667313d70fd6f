"""AUROC of scores that several models gave, each to its own stratum, with an interval clustered by group."""

import numpy as np
from scipy import stats

from dnalm.evaluation.statistics.bounded import LOGIT, Bounded, bound
from dnalm.evaluation.statistics.clusters import Groups


def weakest_class(labels: np.ndarray, codes: np.ndarray) -> float:
    """Effective groups of the class that has fewest: they limit how precise an AUROC can be."""
    return min((Groups.of(codes[labels == label]).effective for label in np.unique(labels)), default=0.0)


def clustered_auroc(scores: np.ndarray, labels: np.ndarray, strata: np.ndarray, codes: np.ndarray) -> Bounded:
    """Mean over classes of one-against-rest AUROC (with two classes: AUROC of label 1), with 95 % bounds.

    scores: (n, k); labels: (n,) in 0 .. k-1; strata, codes: (n,) integers from 0, the fold and the group of each
    record. Only records of the same stratum are compared, as scores of different models have no common scale; strata
    are weighted by their numbers of pairs. The variance is that of Obuchowski 1997 (Biometrics 53:567,
    doi:10.2307/2533958): placement values (DeLong 1988) summed by group; a group may hold several classes. The bounds
    are symmetric on the logit scale, from Student's t; degrees of freedom: the effective groups of the scarcest class
    minus one (`bound`).
    """
    present = np.unique(labels)
    if len(present) < 2:
        return Bounded(None)
    classes = present[1:] if len(present) == 2 else present
    tried = (_one_class(labels == label, scores[:, label], strata) for label in classes)
    parts = [part for part in tried if part is not None]
    if not parts:
        return Bounded(None)
    value = float(np.mean([part[0] for part in parts]))
    influence = np.mean([part[1] for part in parts], axis=0)
    return bound(value, influence, codes, weakest_class(labels, codes) - 1, 0.5, LOGIT)


def _one_class(truth: np.ndarray, scores: np.ndarray, strata: np.ndarray) -> tuple[float, np.ndarray] | None:
    """AUROC within strata and each record's influence on it, (n,); None if no stratum holds both classes."""
    value, pairs = 0.0, 0
    influence = np.zeros(len(truth))
    for stratum in np.unique(strata):
        rows = np.flatnonzero(strata == stratum)
        positive, negative = rows[truth[rows]], rows[~truth[rows]]
        weight = len(positive) * len(negative)
        if not weight:
            continue
        rank = np.empty(len(truth))
        rank[rows] = stats.rankdata(scores[rows])
        below = (rank[positive] - stats.rankdata(scores[positive])) / len(negative)
        above = 1 - (rank[negative] - stats.rankdata(scores[negative])) / len(positive)
        area = float(below.mean())
        influence[positive] = weight * (below - area) / len(positive)
        influence[negative] = weight * (above - area) / len(negative)
        value, pairs = value + weight * area, pairs + weight
    return (value / pairs, influence / pairs) if pairs else None
