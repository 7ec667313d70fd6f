"""Simple numbers of DNA sequences: length, GC and k-mers. Letters other than ACGT are skipped."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dnalm.sequence.kmers import OTHER, all_canonical_kmers, canonical_kmers, encode, gc_counts


def length_gc(sequences: Sequence[str]) -> np.ndarray:
    """Natural logarithm of the length, and GC fraction of the bases (0 where there are none), shape (n, 2)."""
    codes, offsets = encode(sequences)
    known = np.concatenate([[0], (codes < OTHER).cumsum()])
    bases = known[offsets[1:]] - known[offsets[:-1]]
    return np.column_stack([np.log(np.diff(offsets).clip(1)), gc_counts(sequences) / bases.clip(1)])


def kmer_counts(sequences: Sequence[str], k: int) -> sparse.csr_array:
    """Counts of canonical k-mers (a k-mer and its reverse complement are one), shape (n, 4**k).

    Column: the k-mer as a number in base 4 (A, C, G, T = 0 .. 3), or its reverse complement if that is
    smaller. k-mers with another letter are skipped; a sequence shorter than k has a row of zeros.
    """
    kmers, owners = canonical_kmers(*encode(sequences), k)
    places = (owners, kmers.astype(np.int64))
    counts = sparse.csr_array((np.ones(len(kmers)), places), shape=(len(sequences), 4**k))
    counts.sum_duplicates()
    return counts


def kmer_features(sequences: Sequence[str], k: int) -> sparse.csr_array:
    """Square roots of canonical k-mer frequencies, shape (n, 4**k); every row has length 1 (or 0 without k-mers).

    The square root (Hellinger transform) reduces the weight of frequent k-mers.
    """
    counts = kmer_counts(sequences, k)
    per_row = np.diff(counts.indptr)
    totals = np.asarray(counts.sum(axis=1)).ravel()
    counts.data = np.sqrt(counts.data / np.repeat(totals, per_row))
    return counts


def kmer_frequencies(sequences: Sequence[str], longest: int) -> np.ndarray:
    """Frequencies of canonical k-mers for k = 1 .. longest, side by side, float32.

    Shape (n, columns): 2, 10, 32, 136 ... columns for k = 1, 2, 3, 4 ...; zeros where a sequence has no k-mer.
    """
    parts = []
    for k in range(1, longest + 1):
        counts = kmer_counts(sequences, k)[:, all_canonical_kmers(k)].toarray()
        parts.append((counts / counts.sum(axis=1, keepdims=True).clip(1)).astype(np.float32))
    return np.hstack(parts)
