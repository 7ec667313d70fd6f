"""Calibration: do the probabilities come true? Calibration error with its bins, Brier score, and a fitted temperature."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.evaluation.report.text import per_cent
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.record_losses import SMALLEST_PROBABILITY, record_losses
from dnalm.evaluation.statistics.resampling import draws, too_few
from dnalm.tables.predictions import ClassPredictions

FEWEST_IN_BIN = 10
"""Records that a bin has at least, on average: with too few the error is all chance."""

_WIDEST = float(np.log(100))
"""Temperatures lie within 1/100 and 100."""


def calibration(
    predictions: dict[str, ClassPredictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    """The calibration of `test`, with an interval of its error clustered by `groups["test"]` (n,).

    settings: calibration_bins, confidence, replicates, seed, effective_groups (fewest for which intervals are given) and
    temperature (whether one is fitted on `validation`). With two classes it is the probability of label 1 that is judged,
    with more that of the most probable class. Keys: bins, ece, ece_interval, brier (whose interval `resampling` gives with the
    other metrics'), temperature, note.
    """
    test = predictions["test"]
    score, truth = judged(test)
    code = equal_bins(score, settings.calibration_bins)
    size = int(code.max()) + 1
    counts = np.bincount(code, minlength=size)
    bins = [
        {
            "low": float(score[code == i].min()),
            "high": float(score[code == i].max()),
            "mean_score": float(score[code == i].mean()),
            "fraction": float(truth[code == i].mean()),
            "n": int(counts[i]),
        }
        for i in range(size)
    ]
    value = fitted_temperature(predictions["validation"]) if settings.temperature else None
    return {
        "bins": bins,
        "ece": calibration_error(score, truth, code),
        "ece_interval": _interval(score - truth, code, groups["test"], settings),
        "brier": float(record_losses(test)["brier"].mean()),
        "temperature": None if value is None else _tempered(test, value, settings.calibration_bins),
        "note": _note(test, score, code, bool(settings.temperature and value is None)),
    }


def judged(predictions: ClassPredictions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability whose calibration is judged, and whether it came true, both (n,)."""
    if predictions.classes == 2:
        return predictions.scores[:, 1], predictions.labels == 1
    return predictions.scores.max(axis=1), predictions.labels == predictions.predicted


def equal_bins(score: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    """The bin of each record, 0 .. at most number - 1, (n,): equal numbers of records by rank, none without.

    Equal scores share the bin of their middle one, so that neither row order nor ties matter; there are no more bins than
    leave `FEWEST_IN_BIN` records for each.
    """
    number = max(1, min(number, len(score) // FEWEST_IN_BIN))
    _, value, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return np.unique((middle * number // len(score)).astype(np.int64)[value], return_inverse=True)[1]


def calibration_error(score: NDArray[np.float64], truth: NDArray[np.bool_], code: NDArray[np.int64]) -> float:
    """Expected calibration error (Naeini et al. 2015): |mean score - fraction true| of each bin, weighted by records."""
    return float(np.abs(np.bincount(code, score - truth)).sum() / len(score))


def fitted_temperature(validation: ClassPredictions) -> float | None:
    """The temperature T with the least log loss of softmax(log(scores) / T) on `validation` (Guo et al. 2017).

    None where none is best: without a mistake the loss falls as T goes to 0, and if the scores say nothing as it grows.
    """
    if (validation.predicted == validation.labels).all():
        return None
    logits = _logits(validation)
    rows = np.arange(len(logits))

    def loss(log_inverse: float) -> float:
        return -float(log_softmax(logits * np.exp(log_inverse), axis=1)[rows, validation.labels].mean())

    found = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(-found.x)) if abs(found.x) < _WIDEST - 1e-3 else None


def _interval(
    gap: NDArray[np.float64], code: NDArray[np.int64], groups: np.ndarray, settings: EvaluateSettings
) -> dict[str, float] | None:
    """The interval of the calibration error from each record's gap, score - truth (n,); None for too few groups.

    Groups are resampled, the bins stay. The error is a sum of absolute values, so never below what chance makes of it, and
    resampling adds as much again: no percentile, BCa or studentised interval covers a true error of 0. So the lower limit
    takes off the resampled deviations of all bins from their own gaps, of which, by the triangle inequality, no more than
    that is chance; the upper one is that of the basic bootstrap. Measured coverage: docs/lab-notebook.md.
    """
    _, group = np.unique(groups, return_inverse=True)
    facts = Groups.of(group)
    if too_few(facts, settings):
        return None
    width = int(code.max()) + 1
    sums = np.bincount(group * width + code, gap, facts.number * width).reshape(facts.number, width)
    sizes = np.bincount(group).astype(float)
    with threadpool_limits(limits=1):  # sums in another order would be another result
        drawn = np.concatenate(
            [
                (weights @ sums) / (weights @ sizes)[:, None]
                for weights in draws(facts.number, settings.replicates, settings.seed)
            ]
        )
    observed = sums.sum(axis=0) / len(group)
    error, errors = np.abs(observed).sum(), np.abs(drawn).sum(axis=1)
    chance = np.abs(drawn - observed).sum(axis=1)
    tail = (1 - settings.confidence) / 2
    return {
        "low": float(max(error - np.quantile(chance, 1 - tail), 0)),
        "high": float(max(2 * error - np.quantile(errors, tail), error)),
    }


def _logits(predictions: ClassPredictions) -> NDArray[np.float64]:
    logits: NDArray[np.float64] = np.log(predictions.scores.clip(SMALLEST_PROBABILITY, 1))
    return logits


def _tempered(test: ClassPredictions, value: float, number: int) -> dict[str, float]:
    scaled = ClassPredictions(test.ids, test.labels, softmax(_logits(test) / value, axis=1))
    score, truth = judged(scaled)
    means = {name: float(losses.mean()) for name, losses in record_losses(scaled).items()}
    return {"value": value, "ece": calibration_error(score, truth, equal_bins(score, number)), **means}


def _note(test: ClassPredictions, score: NDArray[np.float64], code: NDArray[np.int64], unfitted: bool) -> str:
    size = int(code.max()) + 1
    counts = np.bincount(code, minlength=size)
    what = "the probability of label 1" if test.classes == 2 else "the probability of the most probable class"
    by_chance = np.sqrt(2 / np.pi * np.bincount(code, score * (1 - score))).sum() / len(score)
    parts = [
        f"{size} bins of equal numbers of records by {what} ({counts.min():,} to {counts.max():,}; equal scores share a bin).",
        f"Even with perfect calibration the error would come out at about {by_chance:.3f} here, by chance.",
    ]
    if test.classes == 2:
        share = float(np.mean(test.labels == 1))
        parts.append(
            f"The probabilities carry the prior of the data set, where {per_cent(share)} of the test records have label 1:"
            " where it is rarer, they are too high."
        )
    else:
        parts.append("The probabilities carry the class frequencies of the data set.")
    if unfitted:
        parts.append("No temperature is given: none is best on validation.")
    return " ".join(parts)
