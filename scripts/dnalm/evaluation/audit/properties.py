"""Properties of a sequence that may be shortcuts, for the probes; needs no scikit-learn."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from dnalm.evaluation.audit import composition
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.baselines.features import length_gc
from dnalm.sequence.kmers import OTHER, encode
from dnalm.sequence.periodicity import best_self_match

END_BASES = 6
"""Bases at either end, and from inside, as triplets."""
CONTROL = "inner_kmer"
"""The control: inner bases show how well composition alone, which is not a shortcut, predicts at any place."""
BATCH = 20_000
"""Sequences per batch of features, which bounds memory."""

Features = Any
"""Dense or sparse matrix for scikit-learn, one row per sequence."""


def _inside(text: str) -> str:
    """Inner bases from a place given by a hash of the sequence, so that no position of a motif is preferred."""
    places = len(text) - 3 * END_BASES + 1
    start = END_BASES + zlib.crc32(text.encode()) % places if places > 0 else max(len(text) - END_BASES, 0) // 2
    return text[start : start + END_BASES]


_PLACES: dict[str, Callable[[str], str]] = {
    CONTROL: _inside,
    "first_kmer": lambda text: text[:END_BASES],
    "last_kmer": lambda text: text[-END_BASES:],
}
"""Functions that cut out the bases of a probe."""
POSITIONS = "positions"
ROTATED = "rotated_positions"
"""The control of `POSITIONS`: the same with each sequence rotated, which keeps its composition alone."""
CONTROL_OF = {"first_kmer": CONTROL, "last_kmer": CONTROL, POSITIONS: ROTATED}
"""Probes of places in the sequence, and the control that says how well composition does there."""
COMPOSITION = frozenset({"kmers"})
"""Probes of what a sequence is made of, in all detail: often what the label means, so they warn and never fail."""
OF_REPEATS = frozenset({"periodicity", "dinucleotide_entropy", "gc_skew", "homopolymer"})
"""What a tandem repeat is: a few words, again and again."""


def title(probe: str) -> str:
    """A probe's name in words."""
    name, _, model = probe.partition("/")
    return _TITLES[name] + (f" of {model}" if model else "")


_TITLES = {
    "length": "length",
    "gc": "GC",
    "length_gc": "length with GC",
    "case": "soft-masking",
    "ambiguity": "letters other than ACGT",
    "inner_kmer": f"{END_BASES} bases from inside (control)",
    "first_kmer": f"the first {END_BASES} bases",
    "last_kmer": f"the last {END_BASES} bases",
    "periodicity": "best self-match at any period",
    "length_parity": "the remainder of the length modulo 2 and 3",
    "dinucleotide_entropy": "dinucleotide entropy",
    "gc_skew": "GC skew",
    "homopolymer": "the longest run of each base",
    "kmers": f"{composition.KMERS[0]}-mer to {composition.KMERS[-1]}-mer composition",
    "positions": "the bases at single positions",
    "rotated_positions": "the bases at single positions of rotated sequences (control)",
    "tokens": "the number of tokens",
}


def features(records: pd.DataFrame, tokens: Mapping[str, TokenCounts]) -> Iterator[tuple[str, Features]]:
    """Each probe's name and features, one row per record; which probes depends on the columns and on `tokens`.

    records: columns sequence and, if the case of the genome was kept, soft_masked (fraction or boolean).
    """
    sequences = records["sequence"].tolist()
    simple = _in_batches(length_gc, sequences)
    yield "length", simple[:, :1]
    yield "gc", simple[:, 1:]
    yield "length_gc", simple
    if "soft_masked" in records:
        yield "case", records["soft_masked"].to_numpy(np.float64, na_value=0.0)[:, None]
    yield "ambiguity", _in_batches(_ambiguity, sequences)
    for model, counts in tokens.items():
        yield f"tokens/{model}", np.log(counts.lengths.clip(1))[:, None]
    for name, cut in _PLACES.items():
        yield name, _in_batches(lambda batch, cut=cut: triplets([cut(text) for text in batch]), sequences)  # type: ignore[misc]
    yield "periodicity", best_self_match(sequences)[:, None]
    yield "length_parity", _in_batches(composition.length_remainders, sequences)
    yield "dinucleotide_entropy", _in_batches(composition.dinucleotide_entropy, sequences)
    yield "gc_skew", _in_batches(composition.gc_skew, sequences)
    yield "homopolymer", _in_batches(composition.homopolymers, sequences)


def wide_features(sequences: Sequence[str]) -> Iterator[tuple[str, Features]]:
    """Name and features of the probes with so many columns that they are run on a sample of the records."""
    yield "kmers", _in_batches(composition.kmers, sequences)
    yield POSITIONS, composition.positions(sequences)
    yield ROTATED, composition.positions(composition.rotated(sequences))


def _in_batches(make: Callable[[Sequence[str]], Features], sequences: Sequence[str]) -> Features:
    parts = [make(sequences[at : at + BATCH]) for at in range(0, max(len(sequences), 1), BATCH)]
    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


def _ambiguity(sequences: Sequence[str]) -> np.ndarray:
    """Fraction of letters other than ACGT, shape (n, 1)."""
    codes, offsets = encode(sequences)
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(len(sequences)), lengths)
    other = np.bincount(rows[codes == OTHER], minlength=len(sequences))
    fractions: np.ndarray = (other / lengths.clip(1))[:, None]
    return fractions


def triplets(words: Sequence[str]) -> sparse.csr_array:
    """One-hot triplets at each place of short sequences, shape (n, 64 * (END_BASES // 3)).

    A triplet with a letter other than ACGT, or beyond the end, has no column.
    """
    padded = encode([word.ljust(END_BASES, "N") for word in words])[0].reshape(len(words), END_BASES // 3, 3)
    known = (padded < 4).all(axis=2)
    column = padded @ np.array([16, 4, 1]) + 64 * np.arange(END_BASES // 3)
    rows = np.broadcast_to(np.arange(len(words))[:, None], column.shape)
    ones = np.ones(int(known.sum()))
    return sparse.csr_array((ones, (rows[known], column[known])), shape=(len(words), 64 * (END_BASES // 3)))
