"""Near-identical sequences: copies with a few changes, on either strand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import first_members, link_similar
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import canonical_kmers, encode

K = 10
EDITS = 0.03

DEFINITION = (
    f"identical on either strand, or as many {K}-mers in common, over the whole length, as sequences that differ by "
    f"{EDITS:.0%} of their bases"
)

LOWEST = 0.4
"""Linked pairs have at least this Jaccard similarity of their k-mers."""


def near_identical(sequences: Sequence[str]) -> NDArray[np.int64]:
    """The cluster of each sequence, as the index of its first member, by single linkage; shape (n,).

    Two sequences are linked if they are the same on either strand, or if they share enough canonical 10-mers, counted
    with multiplicity: sequences e edits apart, the longer one with m 10-mers, share at least m - 10 e of them (the
    q-gram lemma: Jokinen and Ukkonen 1991); e is 3 % of the longer one's length, rounded down. So all pairs within 3 %
    are linked. Pairs of 95 % identity or less are not, nor are arrays of different length, sequences that share a
    stretch, or two copies of an old transposon, which single linkage would chain. Windows of one locus are linked if
    they share more than about 70 % of their length.
    """
    forms, form_of = either_strand(sequences)
    tokens, owners = multisets(forms, K)
    linked = link_similar(tokens, owners, len(forms), _similar, LOWEST, "near-identical sequences")
    return first_members(linked[form_of])


def either_strand(sequences: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct sequences (a sequence and its reverse complement are one) and the index of each; shape (n,)."""
    forms: dict[str, int] = {}
    form_of = [forms.setdefault(min(sequence, reverse_complement(sequence)), len(forms)) for sequence in sequences]
    return list(forms), np.array(form_of, np.int64)


def multisets(sequences: Sequence[str], k: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Canonical k-mers (k at most 10) of each sequence as tokens, and the index of each token's sequence.

    The i-th copy of a k-mer in a sequence is a token of its own, so sets of tokens count multiplicity. Sorted by
    sequence, then token, which is below 2^44; both of shape (m,). Sequences shorter than k have none.
    """
    tokens, owners = [], []
    for begin in range(0, len(sequences), 4096):
        kmers, owner = canonical_kmers(*encode(sequences[begin : begin + 4096]), k)
        keys = (owner.astype(np.uint64) << np.uint64(2 * k)) | kmers
        keys.sort()
        position = np.arange(len(keys))
        new = np.ones(len(keys), bool)
        new[1:] = keys[1:] != keys[:-1]
        copy = position - np.maximum.accumulate(np.where(new, position, 0))
        owner = (keys >> np.uint64(2 * k)).astype(np.int64)
        kmers = keys & np.uint64((1 << 2 * k) - 1)
        tokens.append((kmers << np.uint64(24)) | copy.astype(np.uint64))
        owners.append(owner + begin)
    return np.concatenate([np.empty(0, np.uint64), *tokens]), np.concatenate([np.empty(0, np.int64), *owners])


def _similar(shared: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.bool_]:
    kmers = np.maximum(left, right)
    edits = (EDITS * (kmers + K - 1) + 1e-9).astype(np.int64)
    return shared >= kmers - K * edits
