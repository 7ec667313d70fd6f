"""Numbers of what a sequence is made of: dinucleotides, skew, homopolymers, k-mers, and bases by position.

Letters other than ACGT are skipped. Needs no scikit-learn.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dnalm.evaluation.baselines.features import kmer_features
from dnalm.sequence.kmers import OTHER, encode

KMERS = range(2, 7)
"""Lengths of the k-mers whose frequencies are one probe."""
MOST_POSITIONS = 200
"""Positions from either end whose bases are looked at, each by itself."""
PERIODS = 6
"""Lengths are compared modulo 2 and modulo 3, so modulo 6."""


def dinucleotides(sequences: Sequence[str]) -> np.ndarray:
    """Frequencies of the 16 dinucleotides, AA, AC ... TT, shape (n, 16); a row of zeros without any."""
    codes, offsets = encode(sequences)
    owners = np.repeat(np.arange(len(sequences)), np.diff(offsets))
    known = (owners[1:] == owners[:-1]) & (codes[1:] < OTHER) & (codes[:-1] < OTHER)
    pairs = 16 * owners[:-1] + 4 * codes[:-1].astype(np.int64) + codes[1:]
    counts = np.bincount(pairs[known], minlength=16 * len(sequences)).reshape(-1, 16)
    frequencies: np.ndarray = counts / counts.sum(axis=1, keepdims=True).clip(1)
    return frequencies


def dinucleotide_entropy(sequences: Sequence[str]) -> np.ndarray:
    """Shannon entropy of the dinucleotide frequencies in bits, 0 to 4, shape (n, 1)."""
    frequencies = dinucleotides(sequences)
    entropy: np.ndarray = -(frequencies * np.log2(frequencies, where=frequencies > 0, out=np.zeros_like(frequencies)))
    return np.asarray(entropy.sum(axis=1, keepdims=True))


def gc_skew(sequences: Sequence[str]) -> np.ndarray:
    """(G - C) / (G + C), 0 without either, shape (n, 1)."""
    counts = _base_counts(sequences)
    guanine, cytosine = counts[:, 2], counts[:, 1]
    skew: np.ndarray = ((guanine - cytosine) / (guanine + cytosine).clip(1))[:, None]
    return skew


def _base_counts(sequences: Sequence[str]) -> np.ndarray:
    codes, offsets = encode(sequences)
    owners = np.repeat(np.arange(len(sequences)), np.diff(offsets))
    places = OTHER + 1
    return np.bincount(places * owners + codes, minlength=places * len(sequences)).reshape(-1, places)


def homopolymers(sequences: Sequence[str]) -> np.ndarray:
    """Length of the longest run of A, of C, of G and of T, shape (n, 4)."""
    codes, offsets = encode(sequences)
    longest = np.zeros((len(sequences), OTHER + 1))
    if len(codes):
        owners = np.repeat(np.arange(len(sequences)), np.diff(offsets))
        begins = np.flatnonzero(np.r_[True, (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])])
        np.maximum.at(longest, (owners[begins], codes[begins]), np.diff(np.r_[begins, len(codes)]))
    return longest[:, :OTHER]


def length_remainders(sequences: Sequence[str]) -> sparse.csr_array:
    """One column for each remainder of the length modulo 6, so of modulo 2 and 3 as well; shape (n, 6)."""
    remainders = np.array([len(sequence) % PERIODS for sequence in sequences], dtype=np.int64)
    return one_hot(remainders, PERIODS)


def one_hot(codes: np.ndarray, number: int) -> sparse.csr_array:
    """A 1 in the column of each row's code, shape (n, number); no 1 where the code is negative."""
    rows = np.flatnonzero(codes >= 0)
    return sparse.csr_array((np.ones(len(rows)), (rows, codes[rows])), shape=(len(codes), number))


def kmers(sequences: Sequence[str]) -> sparse.csr_array:
    """Square roots of the frequencies of canonical k-mers for each k of `KMERS`, side by side."""
    return sparse.hstack([kmer_features(sequences, k) for k in KMERS], format="csr")


def positions(sequences: Sequence[str], most: int = MOST_POSITIONS) -> sparse.csr_array:
    """The base at each of the first and of the last `most` positions, one-hot, shape (n, 8 * most).

    Position i from the start has columns 4 * i to 4 * i + 3, and from the end 4 * (most + i) and so on. If all
    sequences have one length, which makes a position from the end one from the start too, the first 2 * most positions
    are taken instead.
    """
    codes, offsets = encode(sequences)
    lengths = np.diff(offsets)
    owners = np.repeat(np.arange(len(sequences)), lengths)
    place = np.arange(len(codes)) - offsets[owners]
    back = lengths[owners] - 1 - place
    if len(np.unique(lengths)) == 1:
        chosen = [(place < 2 * most, place)]
    else:
        chosen = [(place < most, place), (back < most, most + back)]
    rows, columns = [], []
    for near, at in chosen:
        kept = near & (codes < OTHER)
        rows.append(owners[kept])
        columns.append(4 * at[kept] + codes[kept])
    where = (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array((np.ones(len(where[0])), where), shape=(len(sequences), 8 * most))


def rotated(sequences: Sequence[str]) -> list[str]:
    """Each sequence turned, as if it were a ring, by a number of bases given by its hash: positions lose their meaning,
    what it is made of stays."""
    turns = [zlib.crc32(sequence.encode()) % max(len(sequence), 1) for sequence in sequences]
    return [sequence[turn:] + sequence[:turn] for sequence, turn in zip(sequences, turns, strict=True)]
