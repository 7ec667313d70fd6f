"""Exact intervals of metrics that have two ends, on the effective number of records; they hold with few errors too.

A metric is taken as a share of its range, and its standard error over groups of records gives the number of independent
records with which a share would be as uncertain. The interval is that of Clopper and Pearson for this number (Korn and
Graubard 1998, Survey Methodology 24:193). It exists for any number of errors, and stays within the metric's range.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import beta, norm, t

from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.grouped import RANKED, GroupedMetrics
from dnalm.evaluation.statistics.record_losses import SMALLEST_PROBABILITY
from dnalm.names import SMALLER_IS_BETTER
from dnalm.tables.predictions import ClassPredictions

FEWEST_ERRORS = 10
"""With fewer errors, or fewer right answers, among the effective records a bootstrap has too little to draw from."""
_SMALLEST_SHARE = 1e-12
_CERTAIN = 1e-7
"""Probability of the wrong classes of a right answer, so that it ranks within a wrong one."""


def metric_range(name: str, classes: int) -> tuple[float, float]:
    """The smallest and the largest value of a metric of predictions of so many classes."""
    most = {"brier": 1.0 if classes == 2 else 2.0, "log_loss": -float(np.log(SMALLEST_PROBABILITY))}
    return (-1.0, 1.0) if name == "mcc" else (0.0, most.get(name, 1.0))


def effective_size(share: float, error: float, groups: float) -> float:
    """Independent records with which a share would have this standard error; `groups` if it has none.

    groups: effective groups of records; the t distribution of so many groups minus one widens the error.
    """
    if not error > 0:
        return groups
    freedom = max(groups - 1, 1.0)
    return share * (1 - share) / error**2 * float((norm.ppf(0.975) / t.ppf(0.975, freedom)) ** 2)


def clopper_pearson(count: float, size: float, alpha: float) -> tuple[float, float]:
    """Two-sided interval of level 1 - alpha of a proportion (Clopper and Pearson 1934); counts may be fractions."""
    low = float(beta.ppf(alpha / 2, count, size - count + 1)) if count > _SMALLEST_SHARE * size else 0.0
    high = float(beta.ppf(1 - alpha / 2, count + 1, size - count)) if size - count > _SMALLEST_SHARE * size else 1.0
    return low, high


def exact_interval(
    value: float, error: float, groups: float, ends: tuple[float, float], alpha: float
) -> tuple[float, float]:
    """The interval of level 1 - alpha of a metric between two `ends`, from its standard error and effective groups."""
    low, width = ends[0], ends[1] - ends[0]
    share = min(max((value - low) / width, 0.0), 1.0)
    size = effective_size(share, error / width, groups)
    bounds = clopper_pearson(share * size, size, alpha)
    return low + width * bounds[0], low + width * bounds[1]


def grouped_share(hits: np.ndarray, codes: np.ndarray, alpha: float) -> tuple[float, float]:
    """Interval of level 1 - alpha of the share of records that are hits, whose records belong to groups.

    hits: booleans (n,); codes: the group of each record, (n,), integers from 0. It is no narrower than that of a share
    of 0, or of 1, which says what part of the groups may be of a kind that was not seen.
    """
    sizes, counts = np.bincount(codes), np.bincount(codes, hits)
    facts = Groups.of(codes)
    share = float(hits.mean())
    influence = (counts - share * sizes)[sizes > 0] / len(hits)
    error = float(np.sqrt(facts.number / max(facts.number - 1, 1) * (influence**2).sum()))
    low, high = exact_interval(share, error, facts.effective, (0.0, 1.0), alpha)
    unseen = 1 - (alpha / 2) ** (1 / facts.effective)
    return (min(low, 1 - unseen), high) if share > 0.5 else (low, max(high, unseen))


def few_errors(value: float, error: float, groups: float, ends: tuple[float, float]) -> bool:
    """Whether the effective records hold fewer than `FEWEST_ERRORS` errors, or as few right answers."""
    share = (value - ends[0]) / (ends[1] - ends[0])
    return effective_size(share, error / (ends[1] - ends[0]), groups) * min(share, 1 - share) < FEWEST_ERRORS


def perfect_bounds(labels: np.ndarray, codes: np.ndarray, classes: int) -> Callable[[float], Mapping[str, float]]:
    """The worse bound of each metric of a run without an error, as a function of alpha (the level is 1 - alpha).

    Without an error among G groups, up to 1 - (alpha / 2)^(1 / G) of all groups may be ones on which the run fails
    (Clopper and Pearson 1934). Each class in turn fails by that much, with its own effective groups, and then all
    classes together (not for rank metrics, which would lose twice); the worst counts. No run with errors is more
    certain. labels, codes: the class and the group of each record, (n,).
    """
    occurring = np.unique(labels)
    right, wrong = np.meshgrid(occurring, np.arange(classes), indexing="ij")
    truth, guess = right.ravel(), wrong.ravel()
    certain = np.where(truth == guess, 1 - _CERTAIN, 1.0)
    scores = np.repeat(((1 - certain) / max(classes - 1, 1))[:, None], classes, axis=1)
    scores[np.arange(len(truth)), guess] = certain
    metrics = GroupedMetrics(ClassPredictions(np.arange(len(truth)), truth, scores), np.arange(len(truth)), len(truth))
    sizes = np.array([np.sum(labels == label) for label in occurring], float)
    groups = np.array([Groups.of(codes[labels == label]).effective for label in occurring])

    def bounds(alpha: float) -> dict[str, float]:
        failing = np.vstack((np.diag(groups), np.full(len(groups), Groups.of(codes).effective)))
        failed = np.where(failing > 0, 1 - (alpha / 2) ** (1 / np.maximum(failing, 1)), 0)
        weights = np.zeros((len(failing), len(occurring), classes))
        weights += (failed * sizes / max(classes - 1, 1))[:, :, None]
        weights[:, np.arange(len(occurring)), occurring] = (1 - failed) * sizes
        found = metrics.measure(weights.reshape(len(failing), -1))
        return {
            name: float(values.max() if name in SMALLER_IS_BETTER else values[: -1 if name in RANKED else None].min())
            for name, (values, _) in found.items()
        }

    return bounds
