"""The longest stretch that sequences share with a collection, exactly, on either strand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import encode

_FACTOR = 0x9E3779B97F4A7C15
"""An odd number: its powers modulo 2^64 have inverses."""

_APART = 7
"""Code between two sequences: no window with it is looked for."""

_BLOCK = 1 << 22
"""Bases of the collection hashed at a time: memory does not grow with it."""


def longest_copies(queries: Sequence[str], collection: Sequence[str]) -> NDArray[np.int64]:
    """Length of the longest substring of each query, or of its reverse complement, in the collection; shape (n,).

    By binary search over the length, with hashes of 64 bits of all windows of a length (a wrong match has a probability
    of about windows in queries * windows in the collection / 2^64). A pass over the collection takes about 0.3 s for a
    million bases, and there is one for each length that is tried, at most the longest query. Letters other than A, C, G
    and T match nothing.
    """
    strands = [*queries, *map(reverse_complement, queries)]
    codes, offsets = _joined(strands)
    owners = np.repeat(np.arange(len(strands)) % max(len(queries), 1), np.diff(offsets))
    stored = _joined(collection)[0]
    low = np.zeros(len(queries), np.int64)
    high = np.fromiter((len(query) for query in queries), np.int64, len(queries))
    while (open_ := low < high).any():
        middle = (low + high + 1) // 2
        size = int(np.bincount(middle[open_]).argmax())
        tried = open_ & (low < size) & (size <= high)
        found = np.zeros(len(queries), bool)
        hashes, starts = _windows(codes, size)
        kept = tried[owners[starts]]
        hashes, starts = hashes[kept], starts[kept]
        found[owners[starts[_occur(hashes, stored, size)]]] = True
        low = np.where(tried & found, size, low)
        high = np.where(tried & ~found, size - 1, high)
    return low


def _joined(sequences: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Codes of sequences, each followed by `_APART`, as are letters other than A, C, G and T; and offsets (n + 1,)."""
    codes, offsets = encode([f"{sequence}N" for sequence in sequences])
    return np.where(codes < 4, codes, np.uint8(_APART)), offsets


def _windows(codes: NDArray[np.uint8], size: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hashes of the windows of `size` bases without `_APART`, and where they start; both (m,).

    The hash of c_0 c_1 ... is the sum of (c_j + 1) * f^j modulo 2^64.
    """
    if len(codes) < size:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    apart = np.concatenate(([0], np.cumsum(codes == _APART)))
    starts = np.flatnonzero(apart[size:] == apart[:-size])
    powers = _powers(_FACTOR, len(codes))
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum((codes + np.uint64(1)) * powers, dtype=np.uint64)))
    inverse = _powers(pow(_FACTOR, -1, 1 << 64), len(codes))
    return (sums[starts + size] - sums[starts]) * inverse[starts], starts


def _powers(factor: int, number: int) -> NDArray[np.uint64]:
    steps = np.full(number, factor, np.uint64)
    steps[:1] = 1
    return np.cumprod(steps, dtype=np.uint64)


def _occur(hashes: NDArray[np.uint64], stored: NDArray[np.uint8], size: int) -> NDArray[np.bool_]:
    """Whether the window of each hash occurs in the collection; shape of `hashes`."""
    wanted, place = np.unique(hashes, return_inverse=True)
    seen = np.zeros(len(wanted), bool)
    for start in range(0, len(stored), _BLOCK) if len(wanted) else ():
        found, _ = _windows(stored[start : start + _BLOCK + size - 1], size)
        at = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
        seen[at[wanted[at] == found]] = True
    return np.asarray(seen[place])
