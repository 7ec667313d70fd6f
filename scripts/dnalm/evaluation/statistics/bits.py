"""Bits per base of language models: of all scored bases, and of soft-masked and other ones apart.

A ratio of sums over records, total bits / total bases, so that tokens and records of any length count by their bases.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dnalm.evaluation.statistics.grouped import Estimate, standard_errors
from dnalm.tables.predictions import BitPredictions

UNIFORM = 2.0
"""Bits per base of a guess that knows nothing: all four bases are equally probable."""

PARTS = ("", "_soft_masked", "_unmasked")
"""What follows the name of a metric of all bases, of soft-masked ones and of the others."""


def ratios(predictions: BitPredictions) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """By metric: the bits and the bases of each record, (n,) each. Metrics without a base are left out."""
    bases, bits, soft_bases, soft_bits = predictions.counts.T
    parts = zip(PARTS, ((bits, bases), (soft_bits, soft_bases), (bits - soft_bits, bases - soft_bases)), strict=True)
    return {f"{predictions.metric}{part}": pair for part, pair in parts if pair[1].sum() > 0}


def bit_metrics(predictions: BitPredictions) -> dict[str, Any]:
    """Bits per base of one split by metric, None without a base; `n`, `bases`, `soft_masked_bases`."""
    found = {name: float(bits.sum() / bases.sum()) for name, (bits, bases) in ratios(predictions).items()}
    return {
        **{f"{predictions.metric}{part}": found.get(f"{predictions.metric}{part}") for part in PARTS},
        "n": len(predictions),
        "bases": int(predictions.counts[:, 0].sum()),
        "soft_masked_bases": int(predictions.counts[:, 2].sum()),
    }


class GroupedBits:
    """Bits per base of `predictions` whose records belong to groups `codes` (n,), integers in 0 .. groups - 1."""

    def __init__(self, predictions: BitPredictions, codes: np.ndarray, groups: int) -> None:
        """Sum by group."""
        self.metric = predictions.metric
        self._sums = {
            name: (np.bincount(codes, bits, groups), np.bincount(codes, bases, groups))
            for name, (bits, bases) in ratios(predictions).items()
        }

    def measure(self, weights: np.ndarray) -> dict[str, Estimate]:
        """Every metric under each of B weightings, (B, groups); NaN where no base has a weight."""
        found = {name: self._ratio(name, weights) for name in self._sums}
        return {name: (values, standard_errors(weights, slopes)) for name, (values, slopes) in found.items()}

    def primary(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Bits per base of all bases, (B,), and its derivatives by the weights, (B, groups)."""
        return self._ratio(self.metric, weights)

    def _ratio(self, name: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bits, bases = self._sums[name]
        with np.errstate(divide="ignore", invalid="ignore"):
            total = weights @ bases
            values = weights @ bits / total
            return values, (bits - values[:, None] * bases) / total[:, None]
