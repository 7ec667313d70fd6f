"""Global alignment of pairs of sequences: do they differ by a few edits only?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

LONGEST = 10_000
"""Bases of the longest sequence that callers align: the time of an alignment grows with the square of the length."""


def within(left: Sequence[str], right: Sequence[str], edits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether left[i] becomes right[i] by at most edits[i] substitutions, insertions and deletions; shape (n,).

    A letter equals only itself: an N does not match an A.
    """
    pairs = zip(left, right, edits.tolist(), strict=True)
    return np.array([Levenshtein.distance(a, b, score_cutoff=most) <= most for a, b, most in pairs], bool)
