"""Simulated data sets of any size whose splits share nothing but what is planted."""

import numpy as np
import pandas as pd

from dnalm.names import SPLITS
from dnalm.tables.sequences import sequence_table

LETTERS = np.frombuffer(b"ACGT", np.uint8)


def random_sequences(rng, lengths):
    """Random sequences of given lengths."""
    text = LETTERS[rng.integers(0, 4, int(np.sum(lengths)))].tobytes().decode()
    ends = np.cumsum(lengths).tolist()
    return [text[end - length : end] for end, length in zip(ends, np.asarray(lengths).tolist(), strict=True)]


def mutated(rng, sequence, rate):
    """The sequence with about this fraction of its letters drawn anew."""
    letters = np.frombuffer(sequence.encode(), np.uint8).copy()
    hit = rng.random(len(letters)) < rate
    letters[hit] = LETTERS[rng.integers(0, 4, int(hit.sum()))]
    return letters.tobytes().decode()


def simulate(number, kind="repeats", mean=130, seed=1, commonest=0.0, divergence=0.05):
    """Tables of train, validation and test (60/20/20): arrays of random motifs against random windows, or random sequences.

    commonest: fraction of the arrays that have one of ten dinucleotide to tetranucleotide motifs instead.
    """
    rng = np.random.default_rng(seed)
    lengths = np.maximum(30, rng.gamma(3, mean / 3, number)).astype(int)
    labels = np.arange(number) % 2
    sequences = random_sequences(rng, lengths)
    motifs = pd.Series(None, index=range(number), dtype=object)
    if kind == "repeats":
        common = random_sequences(rng, rng.integers(2, 5, 10))
        for row in np.flatnonzero(labels).tolist():
            size = int(rng.integers(7, 1 + max(7, min(60, lengths[row] // 2))))
            motif = common[row % 10] if rng.random() < commonest else sequences[row][:size]
            array = (motif * (lengths[row] // len(motif) + 1))[: lengths[row]]
            motifs[row], sequences[row] = motif, mutated(rng, array, divergence)
    source = np.where(labels == 1, "trf", "unique") if kind == "repeats" else "table"
    table = sequence_table(
        {"id": [f"r{row:06d}" for row in range(number)], "sequence": sequences, "label": labels, "source": source}
    ).assign(group="", motif=motifs)
    split = np.repeat(SPLITS, np.diff([0, int(number * 0.6), int(number * 0.8), number]))
    return {name: table[split == name].reset_index(drop=True) for name in SPLITS}
