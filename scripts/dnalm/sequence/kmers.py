"""DNA as numbers: base codes and canonical k-mers of many sequences at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.alphabet import BASES

OTHER = 4
"""Code of every letter that is not A, C, G or T."""

_LETTERS = np.frombuffer(BASES.encode(), np.uint8)
_CODES = np.full(256, OTHER, dtype=np.uint8)
for _code, _base in enumerate(BASES):
    _CODES[ord(_base)] = _CODES[ord(_base.lower())] = _code
_IS_GC = np.isin(_CODES, [BASES.index("G"), BASES.index("C")])


def encode(sequences: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Codes (A 0, C 1, G 2, T 3, any other letter 4; either case) of all sequences end to end, and their offsets.

    Sequence i is `codes[offsets[i]:offsets[i + 1]]`; offsets have shape (n + 1,).
    """
    lengths = np.fromiter((len(sequence) for sequence in sequences), dtype=np.int64, count=len(sequences))
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    letters = np.frombuffer("".join(sequences).encode("ascii", "replace"), dtype=np.uint8)
    return _CODES[letters], offsets


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
    windows = len(codes) - k + 1
    if windows < 1:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    forward = np.zeros(windows, np.uint64)
    backward = np.zeros(windows, np.uint64)
    valid = np.ones(windows, bool)
    for i in range(k):
        base = codes[i : i + windows]
        valid &= base != OTHER
        forward = (forward << np.uint64(2)) | (base & 3).astype(np.uint64)
        backward |= (3 - (base & 3)).astype(np.uint64) << np.uint64(2 * i)
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    valid &= owners[:windows] == owners[k - 1 :]
    return np.minimum(forward, backward)[valid], owners[:windows][valid]


def all_canonical_kmers(k: int) -> NDArray[np.int64]:
    """All canonical k-mers as numbers in base 4, ascending: 2, 10, 32, 136 ... of them for k = 1, 2, 3, 4 ..."""
    codes = (np.arange(4**k)[:, None] >> np.arange(2 * (k - 1), -1, -2)) & 3
    kmers, _ = canonical_kmers(codes.astype(np.uint8).ravel(), k * np.arange(4**k + 1), k)
    return np.unique(kmers).astype(np.int64)
