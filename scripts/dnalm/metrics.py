"""Metrics of hard predictions: used while training and in evaluation, so that the two never differ."""

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
