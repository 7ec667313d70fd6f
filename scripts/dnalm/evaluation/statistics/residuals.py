"""Residuals by target: in which range targets are predicted too low or too high."""

from typing import Any

import numpy as np

from dnalm.tables.predictions import NumberPredictions

BINS = 10


def residuals_by_target(predictions: NumberPredictions, bins: int = BINS) -> list[dict[str, Any]]:
    """Residuals (target - prediction) between quantiles of the targets, lowest targets first.

    At most `bins` bins of about equal numbers of records; equal targets share a bin. Keys of each: low, high and
    target_median of its targets; n, mean, quartile_1, median, quartile_3 and rmse of its residuals, in the targets'
    unit.
    """
    targets, residuals = predictions.targets, predictions.targets - predictions.predicted
    cuts = np.unique(np.quantile(targets, np.arange(1, bins) / bins, method="inverted_cdf"))
    place = np.searchsorted(cuts, targets, side="left")
    result = []
    for number in np.unique(place):
        true, left = targets[place == number], residuals[place == number]
        quartiles = dict(zip(("quartile_1", "median", "quartile_3"), np.quantile(left, (0.25, 0.5, 0.75)), strict=True))
        result.append(
            {
                "low": float(true.min()),
                "high": float(true.max()),
                "target_median": float(np.median(true)),
                "n": len(true),
                "mean": float(left.mean()),
                **{name: float(value) for name, value in quartiles.items()},
                "rmse": float(np.sqrt((left**2).mean())),
            }
        )
    return result
