"""Simple numbers of DNA sequences: length, GC and k-mers. Letters other than ACGT are skipped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

_CODES = np.full(256, 4, dtype=np.uint8)
_CODES[np.frombuffer(b"ACGT", dtype=np.uint8)] = range(4)


@dataclass(frozen=True)
class Encoded:
    """Sequences end to end: `codes` (bases,) uint8 with A, C, G, T = 0 .. 3 and anything else 4; `lengths` (n,)."""

    codes: np.ndarray
    lengths: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """Where each sequence ends in `codes` (exclusive), shape (n,)."""
        return self.lengths.cumsum()


def encode(sequences: Sequence[str]) -> Encoded:
    """Encode upper-case sequences."""
    text = "".join(sequences).encode("ascii", errors="replace")
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    return Encoded(_CODES[np.frombuffer(text, dtype=np.uint8)], lengths)


def length_gc(sequences: Sequence[str]) -> np.ndarray:
    """Natural logarithm of the length, and GC fraction of the bases (0 where there are none), shape (n, 2)."""
    data = encode(sequences)
    gc = _sums((data.codes == 1) | (data.codes == 2), data)
    bases = _sums(data.codes < 4, data)
    return np.column_stack([np.log(data.lengths.clip(1)), gc / bases.clip(1)])


def _sums(flags: np.ndarray, data: Encoded) -> np.ndarray:
    """How many of each sequence's flags are set, shape (n,)."""
    totals = np.concatenate([[0], flags.cumsum()])
    counts: np.ndarray = totals[data.ends] - totals[data.ends - data.lengths]
    return counts


def kmer_counts(sequences: Sequence[str], k: int) -> sparse.csr_array:
    """Counts of canonical k-mers (a k-mer and its reverse complement are one), shape (n, 4**k).

    Column: the k-mer read as a number in base 4 (A, C, G, T = 0 .. 3), or that of its reverse complement where that
    is smaller. k-mers with another letter are skipped; a sequence shorter than k has a row of zeros.
    """
    data = encode(sequences)
    windows = max(len(data.codes) - k + 1, 0)
    forward = np.zeros(windows, dtype=np.int32)
    backward = np.zeros(windows, dtype=np.int32)
    counted = np.ones(windows, dtype=bool)
    for offset in range(k):
        base = data.codes[offset : offset + windows]
        counted &= base < 4
        forward = forward * 4 + base
        backward += (3 - base.astype(np.int32)) << (2 * offset)
    row = np.repeat(np.arange(len(sequences), dtype=np.int32), data.lengths)
    counted &= row[:windows] == row[k - 1 :][:windows]
    columns = np.minimum(forward, backward)[counted]
    ones = np.ones(len(columns))
    counts = sparse.csr_array((ones, (row[:windows][counted], columns)), shape=(len(sequences), 4**k))
    counts.sum_duplicates()
    return counts


def kmer_features(sequences: Sequence[str], k: int) -> sparse.csr_array:
    """Square roots of canonical k-mer frequencies, shape (n, 4**k); every row has length 1 (or 0 without k-mers).

    The square root (Hellinger) keeps frequent k-mers from drowning the rest.
    """
    counts = kmer_counts(sequences, k)
    per_row = np.diff(counts.indptr)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts.data = np.sqrt(counts.data / np.repeat(totals, per_row))
    return counts


def kmer_frequencies(sequences: Sequence[str], longest: int) -> np.ndarray:
    """Frequencies of canonical k-mers among a sequence's k-mers, for k = 1 .. longest side by side, float32.

    Shape (n, columns): 2, 10, 32, 136 ... columns for k = 1, 2, 3, 4 ...; zeros where a sequence has no k-mer.
    """
    parts = []
    for k in range(1, longest + 1):
        words = np.arange(4**k)
        other = sum((3 - (words >> (2 * place)) % 4) << (2 * (k - 1 - place)) for place in range(k))
        counts = kmer_counts(sequences, k)[:, np.flatnonzero(words <= other)].toarray()
        parts.append((counts / counts.sum(axis=1, keepdims=True).clip(1)).astype(np.float32))
    return np.hstack(parts)
