"""Low-complexity sequence, which resembles other such sequence without being related to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydustmasker import DustMasker

DEFINITION = "symmetric DUST (Morgulis et al. 2006), windows of 64 bases, threshold 20"

_BATCH = 50_000


def masked(sequences: Sequence[str]) -> NDArray[np.bool_]:
    """Which bases of the sequences, end to end, are of low complexity; shape (bases,)."""
    parts = [np.zeros(0, bool)]
    for begin in range(0, len(sequences), _BATCH):
        batch = sequences[begin : begin + _BATCH]
        lengths = np.fromiter(map(len, batch), np.int64, len(batch))
        apart = "N".join(batch)  # N ends an interval
        hidden = np.zeros(len(apart) + 1, np.int32)
        if len(apart) > 3:
            for start, end in DustMasker(apart).intervals:
                hidden[start] += 1
                hidden[end] -= 1
        keep = np.ones(len(apart), bool)
        keep[(np.cumsum(lengths + 1) - 1)[:-1]] = False
        parts.append((np.cumsum(hidden[:-1]) > 0)[keep])
    return np.concatenate(parts)
