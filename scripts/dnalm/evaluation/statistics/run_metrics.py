"""How good a run's predictions are, as numbers."""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.evaluation.statistics.calibration import calibration, calibration_error, equal_bins, judged
from dnalm.evaluation.statistics.prevalence import prevalence
from dnalm.evaluation.statistics.record_losses import record_losses
from dnalm.evaluation.statistics.resampling import group_facts, intervals
from dnalm.evaluation.statistics.thresholds import threshold
from dnalm.metrics import classification_metrics
from dnalm.names import SCORED_SPLITS
from dnalm.tables.predictions import Predictions

METRICS = (
    "accuracy",
    "mcc",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "auroc",
    "auprc",
    "log_loss",
    "brier",
    "ece",
)
"""The numbers that compare runs, in the order of tables."""


def evaluate(
    predictions: dict[str, Predictions], groups: dict[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any]:
    """The content of a metrics.json.

    The test split's metrics by most probable class (`split_metrics`), comparable with the literature, and the same names
    under `validation`; `intervals` of the test metrics by name, with `intervals_note`; `groups` of the test records;
    `threshold`, `calibration` and `prevalence`, as the modules of these names give them.

    groups: the group of each record, (n,), for `validation` and `test`.
    """
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
        "groups": group_facts(groups["test"]),
        "threshold": threshold(predictions),
        "calibration": {**calibrated, "brier_interval": bounds.get("brier")},
        "prevalence": prevalence(predictions, settings),
    }


def split_metrics(predictions: Predictions, bins: int) -> dict[str, Any]:
    """Metrics of one split.

    `METRICS`, `n`, `n_per_class` {label: records}, and `confusion_matrix` (k rows of truth by k columns of
    prediction). AUROC and AUPRC (average precision) are those of label 1, or with more than two classes the mean over
    one class against the rest, for the classes that occur; None where only one class occurs. `ece` is the calibration
    error in so many `bins` at most.
    """
    labels, classes = predictions.labels, predictions.classes
    rankings = predictions.one_against_rest()
    score, truth = judged(predictions)
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
