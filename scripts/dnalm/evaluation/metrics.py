"""How good a run's predictions are, as numbers."""

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from dnalm.evaluation.predictions import Predictions
from dnalm.metrics import classification_metrics

METRICS = ("accuracy", "mcc", "macro_f1", "macro_precision", "macro_recall", "auroc", "auprc", "log_loss")
"""The numbers that compare runs, in the order of tables."""
SMALLEST_PROBABILITY = 1e-6
"""What a probability of 0 counts as in the log loss: written probabilities have six decimals."""


def evaluate(predictions: dict[str, Predictions]) -> dict[str, Any]:
    """The content of a metrics.json: the test split's metrics, and the same names under `validation`."""
    return {**split_metrics(predictions["test"]), "validation": split_metrics(predictions["validation"])}


def split_metrics(predictions: Predictions) -> dict[str, Any]:
    """Metrics of one split.

    `METRICS`, `n`, `n_per_class` {label: records}, and `confusion_matrix` (k rows of truth by k columns of
    prediction). AUROC and AUPRC (average precision) are those of label 1, or with more than two classes the mean over
    one class against the rest, for the classes that occur; None where only one class occurs.
    """
    labels, scores, classes = predictions.labels, predictions.scores, predictions.classes
    rankings = predictions.one_against_rest()
    of_truth = scores[np.arange(len(labels)), labels].clip(SMALLEST_PROBABILITY, 1)
    return {
        **classification_metrics(labels, predictions.predicted, classes),
        "auroc": float(np.mean([roc_auc_score(*ranking) for ranking in rankings])) if rankings else None,
        "auprc": float(np.mean([average_precision_score(*ranking) for ranking in rankings])) if rankings else None,
        "log_loss": float(-np.log(of_truth).mean()),
        "n": len(labels),
        "n_per_class": {str(k): int((labels == k).sum()) for k in range(classes)},
        "confusion_matrix": confusion_matrix(labels, predictions.predicted, labels=range(classes)).tolist(),
    }
