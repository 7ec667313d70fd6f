"""Global alignment of many pairs of sequences at once: are they the same but for a few edits?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import ranges

LONGEST = 10_000
"""Bases of the longest sequence that may be aligned: the band's numbers are of 16 bits."""

_FAR = np.int16(1 << 14)
_CELLS = 1 << 17
"""Cells of a band that are worked on together: what a processor's cache holds."""


def within(left: Sequence[str], right: Sequence[str], edits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether left[i] becomes right[i] by at most edits[i] substitutions, insertions and deletions; shape (n,).

    No sequence has more than `LONGEST` letters. A letter equals itself only. The edit distance is computed in the band of
    `edits` diagonals on both sides of the main one (Ukkonen 1985), antidiagonal by antidiagonal, for many pairs of like
    length together: time is in proportion to length times edits.
    """
    sizes = np.array([[len(a), len(b)] for a, b in zip(left, right, strict=True)], np.int64).reshape(-1, 2)
    result: NDArray[np.bool_] = np.abs(sizes[:, 0] - sizes[:, 1]) <= edits
    order = np.flatnonzero(result)
    order = order[np.argsort(sizes[order].sum(axis=1), kind="stable")]
    begin = 0
    while begin < len(order):
        widths = 2 * np.maximum.accumulate(edits[order[begin : begin + _CELLS]]) + 1
        end = begin + max(1, int(np.count_nonzero(widths * np.arange(1, len(widths) + 1) <= _CELLS)))
        chosen = order[begin:end]
        distance = _distances([left[i] for i in chosen], [right[i] for i in chosen], int(edits[chosen].max()))
        result[chosen] = distance <= edits[chosen]
        begin = end
    return result


def _distances(left: list[str], right: list[str], band: int) -> NDArray[np.int16]:
    """Edit distance of each pair, right where it is at most `band`; pairs come by the sum of their lengths.

    Row `k + band + 1` is the diagonal j - i = k, and holds the last antidiagonal s = i + j that met it: every second row is
    renewed in a step, from itself (a match or substitution) and its neighbours (gaps). Rows of even and of odd number lie in
    two arrays, so that both are contiguous.
    """
    ends = np.array([[len(a), len(b)] for a, b in zip(left, right, strict=True)], np.int64)
    total, goal = ends.sum(axis=1), ends[:, 1] - ends[:, 0] + band + 1
    last, margin = int(total[-1]), band + 1
    first = _letters(left, last, margin, 254)[::-1]
    second = _letters(right, last, margin, 255)
    rows = [np.full((band + 2, len(left)), _FAR), np.full((band + 2, len(left)), _FAR)]
    rows[margin % 2][margin // 2] = 0
    result = np.zeros(len(left), np.int16)
    done = np.searchsorted(total, np.arange(last + 1), side="right").tolist()
    for step in range(1, last + 1):
        low = (step + band) % 2 - band
        count = (band - low) // 2 + 1
        i, j = (step - low) // 2, (step + low) // 2
        before = len(first) - (margin + i)
        differ = first[before : before + count] != second[margin + j - 1 : margin + j - 1 + count]
        number = low + margin
        own, others = rows[number % 2], rows[1 - number % 2]
        at, below = number // 2, (number - 1) // 2
        renewed = own[at : at + count]
        gap = np.minimum(others[below : below + count], others[below + 1 : below + 1 + count])
        gap += np.int16(1)
        renewed += differ
        np.minimum(renewed, gap, out=renewed)
        if done[step] > done[step - 1]:
            here = np.arange(done[step - 1], done[step])
            result[here] = own[goal[here] // 2, here]
    return result


def _letters(sequences: list[str], last: int, margin: int, pad: int) -> NDArray[np.uint8]:
    """Letter `p` of each sequence in row `margin + p`, padded on both ends; shape (last + 2 margin, n)."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    columns = np.repeat(np.arange(len(sequences)), lengths)
    result = np.full((last + 2 * margin, len(sequences)), pad, np.uint8)
    letters = np.frombuffer("".join(sequences).encode("ascii", "replace"), np.uint8)
    result[margin + ranges(np.zeros_like(lengths), lengths), columns] = letters
    return result
