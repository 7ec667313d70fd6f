"""DNA as numbers: base codes and canonical k-mers of many sequences at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.alphabet import BASES

OTHER = 4
"""Code of every letter that is not A, C, G or T."""

_LETTERS = np.frombuffer(BASES.encode(), np.uint8)
BASE_CODES = np.full(256, OTHER, dtype=np.uint8)
"""Code of each ASCII letter."""
for _code, _base in enumerate(BASES):
    BASE_CODES[ord(_base)] = BASE_CODES[ord(_base.lower())] = _code
_IS_GC = np.isin(BASE_CODES, [BASES.index("G"), BASES.index("C")])


def encode(sequences: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Codes (A 0, C 1, G 2, T 3, any other letter 4; either case) of all sequences end to end, and their offsets.

    Sequence i is `codes[offsets[i]:offsets[i + 1]]`; offsets have shape (n + 1,).
    """
    lengths = np.fromiter((len(sequence) for sequence in sequences), dtype=np.int64, count=len(sequences))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    letters = np.frombuffer("".join(sequences).encode("ascii", "replace"), dtype=np.uint8)
    return BASE_CODES[letters], offsets


def letters_of(codes: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Codes 0 to 3 as upper-case ASCII letters, same shape."""
    return np.asarray(_LETTERS[codes])


def decode(codes: NDArray[np.integer]) -> str:
    """Codes 0 to 3 as text."""
    return letters_of(codes).tobytes().decode()


def is_gc(letters: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each ASCII letter is G or C, either case; same shape."""
    return _IS_GC[letters]


def gc_counts(sequences: Sequence[str]) -> NDArray[np.int64]:
    """Number of G and C in each sequence, either case; shape (n,)."""
    codes, offsets = encode(sequences)
    total = np.concatenate(([0], np.cumsum((codes == 1) | (codes == 2), dtype=np.int64)))
    return np.asarray(total[offsets[1:]] - total[offsets[:-1]])


def canonical_kmers(
    codes: NDArray[np.uint8], offsets: NDArray[np.int64], k: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Every k-mer of every sequence (1 <= k <= 31) as the smaller of itself and its reverse complement.

    codes, offsets: as `encode` returns them. Returns (k-mers as numbers in base 4, owners), both of shape (m,): the
    owner is the index of the sequence. K-mers with a letter other than A, C, G, T are left out, and a sequence shorter
    than k has none. Order: by sequence, then position.
    """
    kmers, places = placed_kmers(codes, offsets, k)
    return kmers, np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[places]


def placed_kmers(
    codes: NDArray[np.uint8], offsets: NDArray[np.int64], k: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """As `canonical_kmers`, with the place in `codes` where each k-mer starts instead of its owner."""
    if len(codes) < k:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    base = (codes & 3).astype(np.uint64)
    # k-mers of lengths 1, 2, 4 ... at every place; two that follow each other make a longer one
    step, forward, backward, known = 1, base, np.uint64(3) - base, codes != OTHER
    done, long, turned, valid = 0, np.zeros_like(base), np.zeros_like(base), np.ones(len(codes), bool)
    while True:
        if k & step:
            number = len(codes) - done - step + 1
            long = (long[:number] << np.uint64(2 * step)) | forward[done : done + number]
            turned = turned[:number] | (backward[done : done + number] << np.uint64(2 * done))
            valid = valid[:number] & known[done : done + number]
            done += step
        if done == k:
            break
        number = len(codes) - 2 * step + 1
        forward = (forward[:number] << np.uint64(2 * step)) | forward[step : step + number]
        backward = backward[:number] | (backward[step : step + number] << np.uint64(2 * step))
        known = known[:number] & known[step : step + number]
        step *= 2
    for before in range(1, k):  # those that reach beyond the end of their sequence
        crossing = offsets[1:-1] - before
        valid[crossing[(crossing >= 0) & (crossing < len(valid))]] = False
    places = np.flatnonzero(valid)
    return np.minimum(long, turned)[places], places


def all_canonical_kmers(k: int) -> NDArray[np.int64]:
    """All canonical k-mers as numbers in base 4, ascending: 2, 10, 32, 136 ... of them for k = 1, 2, 3, 4 ..."""
    codes = (np.arange(4**k)[:, None] >> np.arange(2 * (k - 1), -1, -2)) & 3
    kmers, _ = canonical_kmers(codes.astype(np.uint8).ravel(), k * np.arange(4**k + 1), k)
    return np.unique(kmers).astype(np.int64)


def kmer_counts(codes: NDArray[np.uint8], offsets: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Number of each k-mer (1 <= k <= 12) in sequences as `encode` returns them, on the strand as given; (4^k,).

    K-mers with a letter other than A, C, G, T are left out; their index is the number in base 4.
    """
    windows = len(codes) - k + 1
    if windows < 1:
        return np.zeros(4**k, np.int64)
    words = np.zeros(windows, np.int64)
    valid = np.ones(windows, bool)
    for i in range(k):
        base = codes[i : i + windows]
        valid &= base != OTHER
        words = (words << 2) | (base & 3)
    for end in offsets[1:-1]:  # no word spans two sequences
        valid[max(end - k + 1, 0) : end] = False
    return np.bincount(words[valid], minlength=4**k)
