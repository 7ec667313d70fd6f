"""Metrics of a run's predictions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.errors import UserError
from dnalm.evaluation.statistics.bits import UNIFORM, bit_metrics
from dnalm.evaluation.statistics.calibration import calibration, calibration_error, equal_bins, score_and_outcome
from dnalm.evaluation.statistics.prevalence import prevalence
from dnalm.evaluation.statistics.record_losses import record_losses
from dnalm.evaluation.statistics.resampling import group_facts, intervals
from dnalm.evaluation.statistics.thresholds import threshold
from dnalm.metrics import classification_metrics, regression_metrics
from dnalm.names import SCORED_SPLITS
from dnalm.tables.predictions import BitPredictions, ClassPredictions, NumberPredictions, Predictions

_QUANTILES = {"minimum": 0.0, "quartile_1": 0.25, "median": 0.5, "quartile_3": 0.75, "maximum": 1.0}


def evaluate(
    predictions: Mapping[str, Predictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    """The content of a metrics.json.

    `objective`; the test split's metrics and `n`, and the same names under `validation`; `intervals` of the test
    metrics by name, with `intervals_note`; `groups` of the test records. Classification metrics are those of the most
    probable class (`split_metrics`), as in the literature, with `threshold`, `calibration` and `prevalence` from the
    modules of these names, and `collapsed`, whether one class is predicted throughout the test split; regression adds
    `residuals`, the distribution of target - prediction in test. Of a language model there are bits per base of all, of
    soft-masked and of other bases, with the number of `bases` and of `soft_masked_bases`; `collapsed` says whether it
    does no better than 2 bits.

    groups: the group of each record, (n,), of every split.
    """
    numbers = {split: part for split, part in predictions.items() if isinstance(part, NumberPredictions)}
    classes = {split: part for split, part in predictions.items() if isinstance(part, ClassPredictions)}
    bits = {split: part for split, part in predictions.items() if isinstance(part, BitPredictions)}
    if bits:
        measured = _of_bits(bits, groups, settings)
    else:
        measured = _of_numbers(numbers, groups, settings) if numbers else _of_classes(classes, groups, settings)
    return {
        **measured,
        "objective": predictions["test"].objective,
        "groups": group_facts(groups["test"]),
    }


def _of_bits(
    predictions: dict[str, BitPredictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    for split, part in predictions.items():
        if not part.truth.any():
            raise UserError(f"{split}: no base is scored, so there are no bits per base")
    test, validation = (bit_metrics(predictions[split]) for split in ("test", "validation"))
    found = intervals(predictions["test"], groups["test"], settings)
    return {
        **test,
        "validation": validation,
        "intervals": found.bounds,
        "intervals_note": found.note,
        "collapsed": test[predictions["test"].metric] >= UNIFORM,
    }


def _of_numbers(
    predictions: dict[str, NumberPredictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    test, validation = (
        {**regression_metrics(part.targets, part.predicted), "n": len(part)}
        for part in (predictions["test"], predictions["validation"])
    )
    found = intervals(predictions["test"], groups["test"], settings)
    residuals = predictions["test"].targets - predictions["test"].predicted
    return {
        **test,
        "validation": validation,
        "intervals": found.bounds,
        "intervals_note": found.note,
        "residuals": {
            "mean": float(residuals.mean()),
            "sd": float(residuals.std(ddof=1)) if len(residuals) > 1 else 0.0,
            **{name: float(np.quantile(residuals, place)) for name, place in _QUANTILES.items()},
        },
    }


def _of_classes(
    predictions: dict[str, ClassPredictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    test, validation = (
        split_metrics(predictions[split], settings.calibration_bins) for split in ("test", "validation")
    )
    found = intervals(predictions["test"], groups["test"], settings)
    calibrated = calibration(predictions, {split: groups[split] for split in SCORED_SPLITS}, settings)
    bounds = dict(found.bounds)
    if calibrated["ece_interval"]:
        bounds["ece"] = calibrated["ece_interval"]
    return {
        **test,
        "validation": validation,
        "intervals": bounds,
        "intervals_note": found.note,
        "collapsed": len(np.unique(predictions["test"].predicted)) == 1,
        "threshold": threshold(predictions),
        "calibration": {**calibrated, "brier_interval": bounds.get("brier")},
        "prevalence": prevalence(predictions, groups, settings),
    }


def split_metrics(predictions: ClassPredictions, bins: int) -> dict[str, Any]:
    """Metrics of one split.

    Those of `metric_names.METRICS`, `n`, `n_per_class` {label: records}, and `confusion_matrix` (k rows of truth by k
    columns of prediction). AUROC and AUPRC (average precision) are those of label 1, or with more than two classes the
    one-against-rest mean over the classes that occur; None if only one class occurs. `ece` is the calibration error in
    at most `bins` bins.
    """
    labels, classes = predictions.labels, predictions.classes
    rankings = predictions.one_against_rest()
    score, truth = score_and_outcome(predictions)
    return {
        **classification_metrics(labels, predictions.predicted, classes),
        "auroc": float(np.mean([roc_auc_score(*ranking) for ranking in rankings])) if rankings else None,
        "auprc": float(np.mean([average_precision_score(*ranking) for ranking in rankings])) if rankings else None,
        **{name: float(losses.mean()) for name, losses in record_losses(predictions).items()},
        "ece": calibration_error(score, truth, equal_bins(score, bins)),
        "n": len(labels),
        "n_per_class": {str(k): int((labels == k).sum()) for k in range(classes)},
        "confusion_matrix": confusion_matrix(labels, predictions.predicted, labels=range(classes)).tolist(),
    }
