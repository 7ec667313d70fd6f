"""Metrics shared by training and evaluation, so that the two never differ."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def classification_metrics(labels: ArrayLike, predicted: ArrayLike, classes: int) -> dict[str, float]:
    """Accuracy, MCC and macro averages over all `classes`.

    labels, predicted: integer arrays of shape (n,), n >= 1, values in 0 .. classes - 1.
    A class that never occurs (or is never predicted) counts 0 in a macro average; MCC is 0 where it is undefined
    (Gorodkin 2004, R_K for more than two classes), both as scikit-learn defines them.
    """
    from sklearn.metrics import accuracy_score, matthews_corrcoef, precision_recall_fscore_support

    truth, guess = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, guess, labels=list(range(classes)), average="macro", zero_division=0.0
    )
    values: dict[str, Any] = {
        "accuracy": accuracy_score(truth, guess),
        "mcc": matthews_corrcoef(truth, guess) if np.ptp(truth) and np.ptp(guess) else 0.0,
        "macro_f1": f1,
        "macro_precision": precision,
        "macro_recall": recall,
    }
    return {name: float(value) for name, value in values.items()}


def regression_metrics(targets: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Spearman and Pearson correlation, R2 and root mean squared error.

    targets, predicted: arrays of shape (n,), n >= 1; rmse is in the targets' unit. R2 is 1 - residual / total sum of
    squares, as scikit-learn defines it: 0 for predicting the targets' mean, below 0 for worse. A correlation is 0 where
    either array is constant, and R2 is 0 where the targets are.
    """
    from scipy.stats import rankdata

    truth, guess = np.asarray(targets, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    squares = float(((truth - guess) ** 2).sum())
    total = float(((truth - truth.mean()) ** 2).sum())
    return {
        "spearman": _correlation(rankdata(truth), rankdata(guess)),
        "pearson": _correlation(truth, guess),
        "r2": 1 - squares / total if total else 0.0,
        "rmse": float(np.sqrt(squares / len(truth))),
    }


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if not np.ptp(one) or not np.ptp(other):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
