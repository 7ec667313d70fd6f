"""Divergence of a tandem array from its motif, by wraparound alignment.

Why not edlib: its infix alignment to the repeated motif takes half the time for 74,320 arrays of 117 bp, but 5 times as
long for arrays of 20 kb, and it returns any of several best alignments: 4 % of the divergences differ, by up to .007.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

DEFINITION = (
    "1 - matches / columns of the whole array aligned to the endless repetition of its motif, with the fewest "
    "substitutions, insertions and deletions and, of such alignments, the most matches"
)

_CELLS = 1 << 16
"""Bases of the motifs of one batch: few enough for the processor's cache, enough to make numpy's overhead small."""

_TEXT = 1 << 26
"""Bases of the arrays of one batch, each padded to the longest."""

_SMALL = 1 << 30
"""Costs below this are computed in 32 bits, which is faster."""


class Alignments(NamedTuple):
    """Matching columns and all columns of each array's alignment; both of shape (n,)."""

    matches: NDArray[np.int64]
    columns: NDArray[np.int64]


def align(arrays: Sequence[str], motifs: Sequence[str]) -> Alignments:
    """Align each whole array to the endless repetition of its motif, starting and ending at any base of the motif.

    The alignment has the fewest edits (substitutions, insertions, deletions: one each) and, of those, the most
    matches; equal characters match. There are as many motifs as arrays, and none is empty. Wraparound dynamic
    programming (Fischetti, Landau, Schmidt and Sellers 1992, doi:10.1007/3-540-56024-6_9): a row per base of the array,
    a column per base of the motif, and the last column leads back to the first. As a run of skipped motif bases may
    cross the motif's end, each row takes two passes. Many arrays are aligned side by side; the time is proportional to
    the length of the array times that of the motif.
    """
    lengths = np.array([len(array) for array in arrays], np.int64)
    periods = np.array([len(motif) for motif in motifs], np.int64)
    matches, columns = np.zeros(len(lengths), np.int64), np.zeros(len(lengths), np.int64)
    with tqdm(
        total=int(lengths.sum()), desc="divergence", unit="b", unit_scale=True, mininterval=2, disable=not arrays
    ) as bar:
        for batch in _batches(lengths, periods):
            edit = int(lengths[batch[0]]) + 1  # more than all possible matches of an array together
            cost = _least_costs(
                _letters([arrays[one] for one in batch]), lengths[batch],
                _letters([motifs[one] for one in batch]), periods[batch], edit,
            )  # fmt: skip
            edits = -(-cost // edit)
            matches[batch] = edits * edit - cost
            columns[batch] = matches[batch] + edits
            bar.update(int(lengths[batch].sum()))
    return Alignments(matches, columns)


def _batches(lengths: NDArray[np.int64], periods: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Indices of arrays whose motifs have a similar length (within twofold), longest array first."""
    scale = np.ceil(np.log2(periods)).astype(np.int64)
    for power in np.unique(scale):
        members = np.flatnonzero(scale == power)
        members = members[np.argsort(-lengths[members], kind="stable")]
        while len(members):
            size = max(1, min(_CELLS >> power, _TEXT // lengths[members[0]]))
            yield members[:size]
            members = members[size:]


def _letters(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Texts as columns of ASCII codes, padded with 0 at the end; shape (longest, n)."""
    width = max(map(len, texts))
    return (
        np.frombuffer("".join(text.ljust(width, "\0") for text in texts).encode(), np.uint8).reshape(-1, width).T.copy()
    )


def _least_costs(
    arrays: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    motifs: NDArray[np.uint8],
    periods: NDArray[np.int64],
    edit: int,
) -> NDArray[np.int64]:
    """Least cost of aligning each array: an edit costs `edit`, a match -1. The longest array comes first.

    arrays, motifs: shapes (longest, n). `state[j]` is the least cost of an alignment that ends with base j of the
    motif, minus `edit * j`, minus `edit` for each base of the array so far. In these terms a skipped motif base, an
    inserted array base and a substitution cost nothing, so a running minimum over j skips motif bases. Padding below a
    motif's end does not affect the rows above it.
    """
    size, width = len(lengths), len(motifs)
    small = (len(arrays) + width + 2) * edit < _SMALL
    kind: Any = np.int32 if small else np.int64
    ramp: NDArray[Any] = (edit * np.arange(width, dtype=kind))[:, None]
    last, everyone = periods - 1, np.arange(size)
    around = (edit * last).astype(kind)
    state: NDArray[Any] = np.repeat(-ramp, size, axis=1)
    cost = np.zeros(size, np.int64)
    live = size
    for row, letters in enumerate(arrays):
        still = int(np.searchsorted(-lengths, -row, side="left"))
        if still < live:
            cost[still:live] = (state[:, still:live] + ramp).min(axis=0)
            state, motifs, live = state[:, :still].copy(), motifs[:, :still].copy(), still
        ends = state[last[:live], everyone[:live]] + around[:live]
        moved: NDArray[Any] = np.multiply(motifs == letters[:live], kind(-edit - 1), dtype=kind)
        moved[0] += ends
        moved[1:] += state[:-1]
        moved[1:] -= kind(edit)
        np.minimum(moved, state, out=moved)
        np.minimum.accumulate(moved, axis=0, out=moved)
        ends = moved[last[:live], everyone[:live]] + around[:live] + kind(edit)
        state = np.minimum(moved, ends, out=moved)
    cost[:live] = (state + ramp).min(axis=0)
    return cost + edit * lengths


def divergence(arrays: Sequence[str], motifs: Sequence[str]) -> NDArray[np.float64]:
    """Divergence of each array from its motif (see `DEFINITION`), from 0 to 1; shape (n,)."""
    aligned = align(arrays, motifs)
    return np.asarray(1 - aligned.matches / aligned.columns)


def fill_divergence(positives: pd.DataFrame, flank: int) -> tuple[pd.DataFrame, int]:
    """Fill in the divergence of arrays that have a motif but no divergence in their catalogue, and count them.

    positives: a sequence table whose `sequence` has `flank` bases on both sides of the array. The catalogue's values
    are kept: for `ucsc` and `trf` the fraction of mismatches between neighbouring copies, which is larger (about twice
    for little divergence), and for simulated arrays the changes that were made.
    """
    missing = positives["divergence"].isna() & positives["motif"].notna()
    cores = positives.loc[missing, "sequence"].str.slice(flank, -flank if flank else None)
    measured = divergence(cores.tolist(), positives.loc[missing, "motif"].tolist())
    result = positives.copy()
    result.loc[missing, "divergence"] = measured.round(4)
    return result, int(missing.sum())
