"""Losses of each record's probabilities, given its label."""

import numpy as np

from dnalm.tables.predictions import ClassPredictions

SMALLEST_PROBABILITY = 1e-6
"""Floor of probabilities in the log loss: written probabilities have six decimals."""


def record_losses(predictions: ClassPredictions) -> dict[str, np.ndarray]:
    """`log_loss` (natural logarithm) and `brier` of each record, each (n,).

    The Brier score (Brier 1950) is the squared distance of the probabilities from the truth, scaled as in scikit-learn:
    with two classes that of label 1 (0 .. 1), with more the sum over classes (0 .. 2).
    """
    labels, scores = predictions.labels, predictions.scores
    of_truth = scores[np.arange(len(labels)), labels].clip(SMALLEST_PROBABILITY, 1)
    if predictions.classes == 2:
        brier = (scores[:, 1] - labels) ** 2
    else:
        brier = ((scores - np.eye(predictions.classes)[labels]) ** 2).sum(axis=1)
    return {"log_loss": -np.log(of_truth), "brier": brier}
