"""ROC and precision-recall curves, at as many points as a chart can show."""

import numpy as np

from dnalm.tables.predictions import ClassPredictions

POINTS = 300

Curve = tuple[np.ndarray, np.ndarray]
"""x and y, both of shape (m,), x ascending, ending at 1."""


def roc(predictions: ClassPredictions) -> Curve | None:
    """False positive rate and true positive rate of label 1, or None if only one class occurs.

    With more than two classes, the mean of the one-against-rest curves at each false positive rate: the area under it
    is the macro AUROC.
    """
    grid = np.linspace(0, 1, POINTS + 1)
    heights = []
    for truth, scores in predictions.one_against_rest():
        true, false = _positives(truth, scores)
        heights.append(np.interp(grid, np.append(0, false / false[-1]), np.append(0, true / true[-1])))
    return (np.append(0, grid), np.append(0, np.mean(heights, axis=0))) if heights else None


def precision_recall(predictions: ClassPredictions) -> Curve | None:
    """Recall and precision of label 1, or None if only one class occurs; several classes as in `roc`.

    Between two recalls the precision is that of the higher one, so the area is the average precision.
    """
    grid = np.linspace(0, 1, POINTS + 1)[1:]
    heights = []
    for truth, scores in predictions.one_against_rest():
        true, false = _positives(truth, scores)
        heights.append((true / (true + false))[np.searchsorted(true / true[-1], grid)])
    return (grid, np.mean(heights, axis=0)) if heights else None


def _positives(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each distinct score as threshold (scores >= threshold are positive), highest first.

    The last values are the numbers of all positives and all negatives in `truth`.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]), 1))
    true = np.cumsum(truth[order])[last]
    return true, last + 1 - true
