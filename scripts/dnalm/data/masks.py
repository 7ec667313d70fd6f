"""Masks: what negatives must not be drawn from becomes N; and the pieces that are left."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

N = ord("N")
_BLOCK = 1 << 24  # bases looked at together, so that memory stays near that of the chromosome itself
_ACGT = np.isin(np.arange(256), np.frombuffer(b"ACGT", np.uint8))


def _table(unmasked: str) -> NDArray[np.uint8]:
    """What each byte becomes: the letters of `unmasked` themselves, in upper case, all else N."""
    table = np.full(256, N, np.uint8)
    for letter in unmasked:
        table[ord(letter)] = ord(letter.upper())
    return table


def mask(
    bases: NDArray[np.uint8], intervals: Iterable[tuple[int, int]], *, source: str, soft: bool
) -> NDArray[np.uint8]:
    """Hard-mask one chromosome for one source of negatives.

    `bases`: ASCII codes, shape (length,), lower case where soft-masked. `intervals`: the catalogues', 0-based,
    half-open, in any order; all of them become N. Besides, `unique` masks lower case if `soft`, `interspersed` masks
    upper case, `context` neither. What is not A, C, G or T is N always. Returns upper-case ASCII codes, same shape.
    """
    unmasked = {"unique": "ACGT" if soft else "ACGTacgt", "interspersed": "acgt", "context": "ACGTacgt"}[source]
    masked = _table(unmasked)[bases]
    for start, end in intervals:
        masked[start:end] = N
    return masked


def pieces(masked: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends (0-based, half-open) of the longest stretches of A, C, G and T, in order."""
    steps = [_steps(masked[at : at + _BLOCK], at) for at in range(0, max(len(masked), 1), _BLOCK)]
    starts, ends = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    joined = starts[1:] == ends[:-1]  # cut by the border of a block, not by N
    return starts[np.append(True, ~joined)[: len(starts)]], ends[np.append(~joined, True)[: len(ends)]]


def _steps(block: NDArray[np.uint8], offset: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    unmasked = np.zeros(len(block) + 2, np.int8)
    unmasked[1:-1] = _ACGT[block]
    steps = np.diff(unmasked)
    return np.flatnonzero(steps == 1) + offset, np.flatnonzero(steps == -1) + offset
