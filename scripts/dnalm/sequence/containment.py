"""Which sequences occur in a large collection, read once as a stream: exact copies and shared k-mers, either strand."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.kmers import BASE_CODES, placed_kmers

PIECE = 2**20
"""Bases whose k-mers are made at a time."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiplying by it mod 2^64 loses nothing; its high bits mix all of a number (Fibonacci hashing)."""


class KmerSet:
    """A set of canonical k-mers, and which of them have been seen in a stream."""

    def __init__(self, k: int, letters: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """All k-mers of some sequences. letters: ASCII codes end to end; offsets: (n + 1,)."""
        self.k = k
        self._kmers = np.unique(
            np.concatenate([np.empty(0, np.uint64), *(one for one, _ in _kmers(letters, offsets, k))])
        )
        self._seen = np.zeros(len(self._kmers), bool)
        bits = min(27, max(10, 4 + len(self._kmers).bit_length()))
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(2**bits, bool)  # most k-mers of the stream are in no sequence: one look tells
        self._filter[self._slots(self._kmers)] = True

    def look(self, letters: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        """Note the k-mers of some sequences of the stream."""
        for kmers, _ in _kmers(letters, offsets, self.k):
            likely = kmers[self._filter[self._slots(kmers)]]
            places = np.searchsorted(self._kmers, likely)
            places[places == len(self._kmers)] = 0
            if len(likely):
                self._seen[places[self._kmers[places] == likely]] = True

    def covered(self, letters: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many letters of each sequence lie in a k-mer that has been seen, shape (n,); for sequences of the set."""
        change = np.zeros(len(letters) + 1, np.int32)
        for kmers, starts in _kmers(letters, offsets, self.k):
            hits = starts[self._seen[np.searchsorted(self._kmers, kmers)]]
            np.add.at(change, hits, 1)
            np.add.at(change, hits + self.k, -1)
        inside = np.concatenate(([0], np.cumsum(np.cumsum(change[:-1]) > 0)))
        return np.asarray(inside[offsets[1:]] - inside[offsets[:-1]])

    def _slots(self, kmers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return (kmers * _FACTOR) >> self._shift


def _kmers(
    letters: NDArray[np.uint8], offsets: NDArray[np.int64], k: int
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
    """Canonical k-mers and where each starts, piece by piece."""
    for first in range(0, max(len(letters) - k + 1, 0), PIECE):
        last = min(first + PIECE + k - 1, len(letters))
        borders = np.clip(offsets - first, 0, last - first)
        kmers, starts = placed_kmers(BASE_CODES[letters[first:last]], borders, k)
        yield kmers, starts + first


def signatures(letters: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number of each sequence, shape (n,), equal for equal ones and reverse complements; no sequence is empty.

    A polynomial hash mod 2^64 of the smaller strand; equal numbers of different sequences are possible.
    """
    codes = BASE_CODES[letters].astype(np.uint64)
    lengths = np.diff(offsets)
    powers = np.full(int(lengths.max(initial=1)), _FACTOR)
    powers[0] = 1
    powers = np.multiply.accumulate(powers)
    places = np.arange(len(letters)) - np.repeat(offsets[:-1], lengths)
    turned = np.where(codes < 4, 3 - codes, codes)
    forward = np.add.reduceat((codes + np.uint64(1)) * powers[places], offsets[:-1])
    backward = np.add.reduceat((turned + np.uint64(1)) * powers[np.repeat(lengths - 1, lengths) - places], offsets[:-1])
    return np.asarray(np.minimum(forward, backward))
