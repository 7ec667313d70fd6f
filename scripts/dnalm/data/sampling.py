"""Dividing a whole number in given proportions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def apportion(total: int, weights: Sequence[float] | NDArray[np.float64]) -> NDArray[np.int64]:
    """Divide `total` into whole parts in proportion to `weights` (Hamilton's method of largest remainders).

    Weights are at least 0 and one is above 0; ties go to the first. Returns integers of shape (n,) that sum to `total`,
    each within 1 of its exact share.
    """
    shares = np.asarray(weights, dtype=np.float64)
    exact = total * shares / shares.sum()
    parts = np.floor(exact).astype(np.int64)
    most = np.argsort(parts - exact, kind="stable")
    parts[most[: total - int(parts.sum())]] += 1
    return np.asarray(parts)
