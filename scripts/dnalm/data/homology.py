"""Similar sequences among many: pairs with a good local alignment, or with a long exact stretch in common."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.datasets import Related
from dnalm.data.alignment import HIDDEN, align, expected_by_chance, longest_at
from dnalm.data.linkage import Indices
from dnalm.data.seeds import NEIGHBOURS, Candidates, find_candidates
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.low_complexity import DEFINITION as LOW_COMPLEXITY
from dnalm.sequence.low_complexity import masked

MOST_CANDIDATES = 64
"""Of the sequences that share a seed with a sequence, this many are aligned, the best by seed score."""

CHANCE = 0.01
"""Most alignments that unrelated sequences may be expected to give, in the whole data set, for one to count."""

COMPLEX = 2 / 3
"""Share of an exact stretch that has to be of higher complexity."""

_BATCH = 1 << 16


def definition(related: Related) -> str:
    """What makes two sequences similar, in words."""
    return (
        f"a local alignment, on either strand, of at least {related.identity:.0%} identity over at least "
        f"{related.coverage:.0%} of the shorter sequence (match 1, mismatch and N -1, gap of n bases -2 - n), better "
        f"than chance gives in the whole data set (E <= {CHANCE}), or {related.exact} exact bases in common; "
        f"low-complexity sequence ({LOW_COMPLEXITY}) is no evidence. Found by spaced seeds, comparing each sequence "
        f"with the next {NEIGHBOURS} of a seed and with at most {MOST_CANDIDATES} in all"
    )


def either_strand(sequences: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct sequences (a sequence and its reverse complement are one) and the index of each; shape (n,)."""
    forms: dict[str, int] = {}
    form_of = [forms.setdefault(min(sequence, reverse_complement(sequence)), len(forms)) for sequence in sequences]
    return list(forms), np.array(form_of, np.int64)


def similar_sequences(sequences: Sequence[str], related: Related) -> tuple[Indices, Indices, NDArray[np.float64]]:
    """Pairs of similar sequences (indices, left < right) and the identity of each pair's alignment; shape (pairs,).

    sequences: distinct, upper case. See `definition`; an identity counts gaps as differences.
    """
    hidden = masked(sequences)
    pairs = _best_of_each(find_candidates(sequences, hidden, related.exact), len(sequences))
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    complex_only = _without(sequences, lengths, hidden)
    similar, identity = np.zeros(len(pairs), bool), np.zeros(len(pairs))
    bar = tqdm(total=len(pairs), desc="alignments", mininterval=2, disable=len(pairs) < 100_000)
    for begin in range(0, len(pairs), _BATCH):
        part = pairs.take(np.arange(begin, min(begin + _BATCH, len(pairs))))
        a, b = [sequences[i] for i in part.left], [sequences[i] for i in part.right]
        score, matches, columns = align(a, b, part.turned)
        simple = [row for row, (i, j) in enumerate(part.ends()) if i in complex_only and j in complex_only]
        one, other = ([complex_only[side[row]] for row in simple] for side in (part.left, part.right))
        score[simple] = align(one, other, part.turned[simple])[0]
        here, there = lengths[part.left], lengths[part.right]
        needed = np.ceil(related.coverage * np.minimum(here, there)).astype(np.int64)
        found = identity[begin : begin + len(part)]
        found[:] = matches / np.maximum(columns, 1)
        long = (columns >= needed) & (expected_by_chance(score, here, there, len(sequences)) <= CHANCE)
        good = long & (found >= related.identity)
        # a part of the alignment may still be long and good enough
        for row in np.flatnonzero(long & ~good & (matches >= related.identity * needed)):
            good[row] = longest_at(a[row], b[row], bool(part.turned[row]), related.identity) >= needed[row]
        good |= (part.exact >= related.exact) & (score >= COMPLEX * related.exact)
        similar[begin : begin + len(part)] = good
        bar.update(len(part))
    bar.close()
    return pairs.left[similar], pairs.right[similar], identity[similar]


def _without(sequences: Sequence[str], lengths: Indices, hidden: NDArray[np.bool_]) -> dict[int, str]:
    """The sequences that have low-complexity bases, with these hidden, by index."""
    starts = np.concatenate(([0], np.cumsum(lengths)))
    counts = np.concatenate(([0], np.cumsum(hidden)))
    result = {}
    for i in np.flatnonzero(counts[starts[1:]] > counts[starts[:-1]]).tolist():
        letters = np.frombuffer(sequences[i].encode("ascii", "replace"), np.uint8).copy()
        letters[hidden[starts[i] : starts[i + 1]]] = ord(HIDDEN)
        result[i] = letters.tobytes().decode()
    return result


def _best_of_each(pairs: Candidates, size: int) -> Candidates:
    """The pairs that are among the `MOST_CANDIDATES` best of one of their sequences, or have a long exact stretch."""
    keep = np.zeros(len(pairs), bool)
    for side in (pairs.left, pairs.right):
        order = np.lexsort((-pairs.exact, -pairs.score, side))
        counts = np.bincount(side, minlength=size)
        rank = np.arange(len(side)) - np.repeat(np.cumsum(counts) - counts, counts)
        keep[order[rank < MOST_CANDIDATES]] = True
    return pairs.take(keep)
