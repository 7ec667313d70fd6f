"""The metric by which models are chosen and compared: MCC, Spearman correlation, or bits per base."""

from collections.abc import Callable

import numpy as np

from dnalm.evaluation.statistics.bits import GroupedBits, bit_metrics
from dnalm.evaluation.statistics.grouped import group_confusions, mcc
from dnalm.evaluation.statistics.grouped_numbers import GroupedNumbers
from dnalm.metrics import regression_metrics
from dnalm.names import METRICS, SMALLER_IS_BETTER
from dnalm.tables.predictions import BitPredictions, ClassPredictions, Predictions

Statistic = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From B weightings of G groups, (B, G), to a metric, (B,), and its derivatives by the weights, (B, G)."""


def primary_metric(predictions: Predictions) -> str:
    """The name of the primary metric."""
    return METRICS[predictions.objective][0]


def sign(metric: str) -> int:
    """1 if larger values of a metric are better, else -1."""
    return -1 if metric in SMALLER_IS_BETTER else 1


def primary_value(predictions: Predictions) -> float:
    """The primary metric of predictions, all records with weight 1."""
    if isinstance(predictions, ClassPredictions):
        k = predictions.classes
        cells = group_confusions(predictions, np.zeros(len(predictions), int), 1)
        return float(mcc(cells.reshape(1, k, k))[0][0])
    if isinstance(predictions, BitPredictions):
        value: float = bit_metrics(predictions)[predictions.metric]
        return value
    return regression_metrics(predictions.targets, predictions.predicted)["spearman"]


def primary_statistic(predictions: Predictions, codes: np.ndarray, groups: int) -> Statistic:
    """The primary metric as a function of group weights. codes: the group of each record, (n,), integers from 0."""
    if isinstance(predictions, BitPredictions):
        return GroupedBits(predictions, codes, groups).primary
    if not isinstance(predictions, ClassPredictions):
        return GroupedNumbers(predictions, codes, groups).spearman
    k, cells = predictions.classes, group_confusions(predictions, codes, groups)

    def statistic(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, gradients = mcc((weights @ cells).reshape(-1, k, k))
        return values, gradients.reshape(len(weights), -1) @ cells.T

    return statistic
