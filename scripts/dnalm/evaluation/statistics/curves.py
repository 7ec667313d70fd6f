"""ROC and precision-recall curves, at as many points as a chart can show."""

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from dnalm.tables.predictions import ClassPredictions

POINTS = 300

Curve = tuple[np.ndarray, np.ndarray]
"""x and y, both of shape (m,), x ascending, ending at 1."""


def roc(predictions: ClassPredictions) -> Curve | None:
    """False positive rate and true positive rate of label 1, or None where only one class occurs.

    With more than two classes the mean, at each false positive rate, over one class against the rest: the area under
    it is the macro AUROC.
    """
    grid = np.linspace(0, 1, POINTS + 1)
    heights = []
    for truth, scores in predictions.one_against_rest():
        false_positive, true_positive, _ = roc_curve(truth, scores)
        heights.append(np.interp(grid, false_positive, true_positive))
    return (np.append(0, grid), np.append(0, np.mean(heights, axis=0))) if heights else None


def precision_recall(predictions: ClassPredictions) -> Curve | None:
    """Recall and precision of label 1, or None where only one class occurs; several classes as in `roc`.

    Between two recalls the precision is that of the higher one, so the area is the average precision.
    """
    grid = np.linspace(0, 1, POINTS + 1)[1:]
    heights = []
    for truth, scores in predictions.one_against_rest():
        precision, recall, _ = precision_recall_curve(truth, scores)
        heights.append(precision[::-1][np.searchsorted(recall[::-1], grid)])
    return (grid, np.mean(heights, axis=0)) if heights else None
