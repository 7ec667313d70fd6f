"""Local alignment of pairs of sequences, and which alignments are better than chance gives."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.alphabet import reverse_complement

OPEN, EXTEND = 3, 1
"""Cost of the first and of each further base of a gap; a match scores 1, a mismatch or an N -1."""

HIDDEN = "X"
"""A base of low complexity that is left out of account: it scores 0 against any letter."""

LAMBDA, K, ENTROPY = 0.99, 0.17, 0.55
"""Karlin-Altschul parameters of these scores: those of NCBI BLASTN for 1, -1 and gaps of 2 + 1 a base, and the relative
entropy per column without gaps (nats)."""


@cache
def _scores() -> Any:
    import parasail  # type: ignore[import-untyped]

    matrix = parasail.matrix_create(f"ACGT{HIDDEN}", 1, -1)
    for letter in range(6):  # the last is that of N and all others, which match nothing
        matrix[5, letter] = matrix[letter, 5] = -1
        matrix[4, letter] = matrix[letter, 4] = 0
    return matrix


def align(
    left: Sequence[str], right: Sequence[str], turned: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The best local alignment of each pair: score, matches and columns, each of shape (n,).

    Smith and Waterman 1981, with affine gaps (Gotoh 1982). turned: where right[i] is turned to its other strand.
    """
    import parasail

    matrix, found = _scores(), np.zeros((3, len(left)), np.int64)
    for i, (a, b, turn) in enumerate(zip(left, right, turned.tolist(), strict=True)):
        result = parasail.sw_stats_striped_sat(a, reverse_complement(b) if turn else b, OPEN, EXTEND, matrix)
        found[:, i] = result.score, result.matches, result.length
    score, matches, columns = found
    return score, matches, columns


def longest_at(left: str, right: str, turned: bool, identity: float) -> int:
    """Columns of the longest part of the best local alignment that has at least this identity; 0 without one."""
    import parasail

    right = reverse_complement(right) if turned else right
    traceback = parasail.sw_trace_striped_sat(left, right, OPEN, EXTEND, _scores()).traceback
    match = np.frombuffer(traceback.comp.encode(), np.uint8) == ord("|")
    surplus = np.concatenate(([0], np.cumsum(match - identity)))
    # the longest span whose surplus does not fall: from a new minimum to the last place that is as high
    floor, ceiling = np.minimum.accumulate(surplus), np.maximum.accumulate(surplus[::-1])[::-1]
    ends = np.searchsorted(-ceiling, -(floor - 1e-9), side="right") - 1
    return int((ends - np.arange(len(surplus))).max(initial=0))


def expected_by_chance(
    score: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64], sequences: int
) -> NDArray[np.float64]:
    """How many alignments of such a score `sequences` unrelated sequences, of these lengths, would give; shape (n,).

    Karlin and Altschul 1990, with the edge correction of Altschul and Gish 1996: an alignment of score S is about
    S * LAMBDA / ENTROPY bases long, and cannot begin nearer to an end. All pairs are compared on both strands.
    """
    ends = score * LAMBDA / ENTROPY
    places = np.maximum(left - ends, 1) * np.maximum(right - ends, 1)
    return np.asarray(float(sequences) ** 2 * K * places * np.exp(-LAMBDA * score))
