"""The decision threshold of two classes: chosen on validation, applied to test."""

from typing import Any

import numpy as np

from dnalm.evaluation.statistics.grouped import mcc
from dnalm.metrics import classification_metrics
from dnalm.tables.predictions import ClassPredictions

EVEN = 0.5
"""The threshold of the most probable class."""

_DECIMALS = 12
"""Decimals to which MCCs are compared: rounding makes mirrored confusion matrices differ in the sixteenth."""


def threshold(predictions: dict[str, ClassPredictions]) -> dict[str, Any] | None:
    """The threshold chosen on `validation`, and its metrics on `test`; None with more than two classes.

    A record is called label 1 if its score_1 is above `value`. Keys: value, validation_mcc; mcc, accuracy and macro_f1
    as in `classification_metrics`; precision and recall of label 1, None if the denominator is 0.
    """
    test = predictions["test"]
    if test.classes != 2:
        return None
    value, validation_mcc = best_threshold(predictions["validation"])
    guess = (test.scores[:, 1] > value).astype(np.int64)
    metrics = classification_metrics(test.labels, guess, 2)
    hits, called, positives = (int(np.sum(which)) for which in (guess & test.labels, guess, test.labels))
    return {
        "value": value,
        "validation_mcc": validation_mcc,
        **{name: metrics[name] for name in ("mcc", "accuracy", "macro_f1")},
        "precision": hits / called if called else None,
        "recall": hits / positives if positives else None,
    }


def best_threshold(predictions: ClassPredictions) -> tuple[float, float]:
    """The threshold of score_1 with the highest MCC, and that MCC.

    Tried are .5 and the midpoints of neighbouring scores; of ties the nearest to .5 is taken, then the lower. If no
    threshold helps, as with one class only, it is .5.
    """
    order = np.argsort(predictions.scores[:, 1], kind="stable")
    scores, labels = predictions.scores[order, 1], predictions.labels[order]
    distinct = np.unique(scores)
    tried = np.unique(np.append((distinct[:-1] + distinct[1:]) / 2, EVEN))
    below = np.searchsorted(scores, tried, side="right")
    positives_below = np.concatenate(([0], np.cumsum(labels)))[below]
    positives = int(labels.sum())
    negatives_below = below - positives_below
    cells = [negatives_below, len(labels) - positives - negatives_below, positives_below, positives - positives_below]
    found = mcc(np.stack(cells, axis=-1).reshape(-1, 2, 2).astype(float))[0].round(_DECIMALS)
    best = tried[found == found.max()]
    return float(best[np.lexsort((best, np.abs(best - EVEN).round(_DECIMALS)))[0]]), float(found.max())
