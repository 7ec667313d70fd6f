"""Markov chains of bases: the baseline of a DNA language model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.kmers import encode

ORDER = 3


def bits_per_base(fitted: Sequence[str], measured: Sequence[str], order: int = ORDER) -> float | None:
    """Mean of -log2 p(b | c) over the bases b of `measured`, where c are the `order` bases before b; None without any.

    p(b | c) = (n(cb) + 1) / (n(c) + 4), with counts n in `fitted` (Laplace's rule). Bases that are not A, C, G or T, or
    have such a base in their context, are ignored.
    """
    words = _words(measured, order + 1)
    if not len(words):
        return None
    counts = np.bincount(_words(fitted, order + 1), minlength=4 ** (order + 1)).reshape(-1, 4) + 1.0
    chances = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.log2(chances.ravel()[words]).mean())


def _words(sequences: Sequence[str], size: int) -> NDArray[np.int64]:
    """Every word of `size` bases A, C, G, T, as a number in base 4; shape (m,)."""
    codes = encode(["N".join(sequences)])[0].astype(np.int64)  # N: no word spans two sequences
    if len(codes) < size:
        return np.zeros(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(codes, size)
    known = windows[(windows < 4).all(axis=1)]
    return np.asarray(known @ (4 ** np.arange(size)[::-1]))
