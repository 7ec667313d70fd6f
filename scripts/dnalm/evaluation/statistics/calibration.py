"""Calibration of probabilities: expected calibration error with its bins, Brier score, and a fitted temperature."""

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
"""Minimum mean number of records per bin: with fewer the error is mostly noise."""

_LOG_LIMIT = float(np.log(100))
"""Temperatures are between 1/100 and 100."""


def calibration(
    predictions: dict[str, ClassPredictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    """The calibration of `test`, with an interval of its error clustered by `groups["test"]` (n,).

    settings: calibration_bins, confidence, replicates, seed, effective_groups (the minimum for an interval) and
    temperature (whether to fit one on `validation`). Assessed is the probability of label 1 with two classes, and that
    of the most probable class with more. Keys: bins, ece, ece_interval, brier (its interval comes from `resampling`
    with those of the other metrics), temperature, note.
    """
    test = predictions["test"]
    score, truth = score_and_outcome(test)
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


def score_and_outcome(predictions: ClassPredictions) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The probability that is assessed, and whether the predicted event occurred, both (n,)."""
    if predictions.classes == 2:
        return predictions.scores[:, 1], predictions.labels == 1
    return predictions.scores.max(axis=1), predictions.labels == predictions.predicted


def equal_bins(score: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    """The bin of each record, (n,), integers from 0: at most `number` bins of equal numbers of records by rank.

    Equal scores share the bin of their middle rank, so that row order does not matter; there are fewer bins if they
    would hold less than `FEWEST_IN_BIN` records on average.
    """
    number = max(1, min(number, len(score) // FEWEST_IN_BIN))
    _, value, counts = np.unique(score, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return np.unique((middle * number // len(score)).astype(np.int64)[value], return_inverse=True)[1]


def calibration_error(score: NDArray[np.float64], truth: NDArray[np.bool_], code: NDArray[np.int64]) -> float:
    """Expected calibration error (Naeini et al. 2015): |mean score - fraction true| by bin, weighted by records."""
    return float(np.abs(np.bincount(code, score - truth)).sum() / len(score))


def fitted_temperature(validation: ClassPredictions) -> float | None:
    """The temperature T with the least log loss of softmax(log(scores) / T) on `validation` (Guo et al. 2017).

    None if the loss has no minimum: it falls as T goes to 0 if no prediction is wrong, and as T grows if the scores
    carry no information.
    """
    if (validation.predicted == validation.labels).all():
        return None
    logits = _logits(validation)
    rows = np.arange(len(logits))

    def loss(log_inverse: float) -> float:
        return -float(log_softmax(logits * np.exp(log_inverse), axis=1)[rows, validation.labels].mean())

    found = minimize_scalar(loss, bounds=(-_LOG_LIMIT, _LOG_LIMIT), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(-found.x)) if abs(found.x) < _LOG_LIMIT - 1e-3 else None


def _interval(
    gap: NDArray[np.float64], code: NDArray[np.int64], groups: np.ndarray, settings: EvaluateSettings
) -> dict[str, float] | None:
    """The interval of the calibration error from each record's gap, score - truth (n,); None for too few groups.

    Groups are resampled, bins stay fixed. The error is a sum of absolute values, so sampling noise biases it upwards,
    and resampling adds the same bias again: no percentile, BCa or studentised interval covers a true error of 0. The
    lower limit is therefore the error minus the resampled deviations of the bins from their observed gaps, which bound
    the noise (triangle inequality); the upper limit is that of the basic bootstrap. Measured coverage:
    docs/lab-notebook.md.
    """
    _, group = np.unique(groups, return_inverse=True)
    facts = Groups.of(group)
    if too_few(facts, settings):
        return None
    width = int(code.max()) + 1
    sums = np.bincount(group * width + code, gap, facts.number * width).reshape(facts.number, width)
    sizes = np.bincount(group).astype(float)
    with threadpool_limits(limits=1):  # the order of sums would change results
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
    score, truth = score_and_outcome(scaled)
    means = {name: float(losses.mean()) for name, losses in record_losses(scaled).items()}
    return {"value": value, "ece": calibration_error(score, truth, equal_bins(score, number)), **means}


def _note(test: ClassPredictions, score: NDArray[np.float64], code: NDArray[np.int64], unfitted: bool) -> str:
    size = int(code.max()) + 1
    counts = np.bincount(code, minlength=size)
    probability = "the probability of label 1" if test.classes == 2 else "the probability of the most probable class"
    by_chance = np.sqrt(2 / np.pi * np.bincount(code, score * (1 - score))).sum() / len(score)
    parts = [
        f"{size} bins of equal numbers of records by {probability}"
        f" ({counts.min():,} to {counts.max():,}; equal scores share a bin).",
        f"With perfect calibration the error would still be about {by_chance:.3f} here, by chance.",
    ]
    if test.classes == 2:
        share = float(np.mean(test.labels == 1))
        parts.append(
            f"The probabilities reflect the class frequencies of the data set ({per_cent(share)} of the test records"
            " have label 1): where label 1 is rarer, they are too high."
        )
    else:
        parts.append("The probabilities reflect the class frequencies of the data set.")
    if unfitted:
        parts.append("No temperature is given: the loss on validation has no minimum.")
    return " ".join(parts)
