"""Relatives: records of one sequence, or of similar ones, found pair by pair and counted by split."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.data.alignment import LONGEST, within
from dnalm.data.linkage import Indices, Links, Sets, candidates
from dnalm.data.similarity import multisets
from dnalm.names import SPLITS
from dnalm.sequence.alphabet import reverse_complement

K = 10
SIMILARITY = 0.5
"""Least Jaccard similarity of the canonical 10-mers, counted with multiplicity, of similar genomic sequences."""

IDENTITY = 0.9
"""Least identity of similar arrays: one minus the edit distance over the longer one's length."""

SEQUENCES = (
    f"{K}-mers, either strand, counted with multiplicity, have a Jaccard similarity of at least {SIMILARITY} (about 96 % identity "
    "over the whole length, or windows that share two thirds of it)"
)
ARRAYS = (
    f"at least {IDENTITY:.0%} identity of whole arrays, flanks aside, on either strand: one minus the edit distance over the longer "
    f"one's length; arrays longer than {LONGEST:,} bases are not aligned"
)

_ARRAY_K = 7
_ARRAY_LOWEST = 0.2
"""Arrays of identity .9 by scattered substitutions have a Jaccard similarity of .31 of their 7-mers, and .43 at .93."""

VAIN = 32
"""Alignments in vain after which an array is no more compared with another one of as many: it bounds the work."""

EXAMPLES = 5


class Relatives:
    """Which records have a relative in which split, and which repeat an earlier record of their own.

    clusters: the cluster of each record, 0 to `number` - 1, or -1 for a record that is not compared; shape (n,). Records of one
    cluster are relatives (the same sequence, say); `link` says which clusters are, besides. No relation is handed on: a
    relative's relative counts only if it was linked itself.
    splits: number of each record's split, below 8; shape (n,).
    """

    def __init__(self, clusters: Indices, splits: Indices, number: int) -> None:
        """Note where each cluster has members."""
        self.clusters, self.splits = clusters, splits
        self._compared = np.flatnonzero(clusters >= 0)
        self._first = np.full((number, int(splits.max(initial=len(SPLITS) - 1)) + 1), len(clusters))
        np.minimum.at(self._first, (clusters[self._compared], splits[self._compared]), self._compared)
        bits = np.left_shift(1, np.arange(self._first.shape[1]))
        self._present = ((self._first < len(clusters)) * bits).sum(axis=1).astype(np.uint8)
        self._linked = np.zeros(number, np.uint8)
        self._later = np.zeros(number, np.uint8)
        self._examples: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def wanted(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Whether a link between two clusters would tell something that is not known yet."""
        new = (self._present[right] & ~self._linked[left]) | (self._present[left] & ~self._linked[right])
        after, before = self._order(left, right)
        return np.asarray((new | (after & ~self._later[left]) | (before & ~self._later[right])) != 0)

    def link(self, left: Indices, right: Indices) -> None:
        """Make the members of clusters left[i] and right[i] relatives."""
        after, before = self._order(left, right)
        np.bitwise_or.at(self._linked, left, self._present[right])
        np.bitwise_or.at(self._linked, right, self._present[left])
        np.bitwise_or.at(self._later, left, after)
        np.bitwise_or.at(self._later, right, before)
        for here in range(self._first.shape[1]):
            for there in range(here, self._first.shape[1]):
                for a, b in ((left, right), (right, left))[: 1 + (here != there)]:
                    self._note(self._first[a, here], self._first[b, there], here, there)

    def beside(self, here: int, there: int) -> NDArray[np.bool_]:
        """Whether a record is of split `here` and has a relative in split `there`, another one; shape (n,)."""
        found = (self._linked | self._present) & (1 << there) != 0
        result = self.splits == here
        result[self.clusters < 0] = False
        result[self._compared] &= found[self.clusters[self._compared]]
        return np.asarray(result)

    def again(self) -> NDArray[np.bool_]:
        """Whether a record has an earlier relative in its own split; shape (n,)."""
        repeats = np.zeros(len(self.clusters), bool)
        cluster, split = self.clusters[self._compared], self.splits[self._compared]
        repeats[self._compared] = self._first[cluster, split] < self._compared
        repeats[self._compared] |= (self._later[cluster] >> split) & 1 != 0
        return repeats

    def shared(self, here: int, there: int) -> int:
        """Number of clusters with a record in both splits."""
        both = 1 << here | 1 << there
        return int(np.count_nonzero(self._present & both == both))

    def first(self, records: Indices, split: int) -> Indices:
        """The first record, in a split, of each record's own cluster; it has to have one."""
        return np.asarray(self._first[self.clusters[records], split])

    def examples(self, here: int, there: int) -> list[tuple[int, int]]:
        """Up to five pairs of relatives, records of split `here` and of `there`, which is no lower number; linked ones come first.

        Of one split, the earlier record comes first.
        """
        pairs = self._examples.get((here, there), [])
        if here == there:
            mine = self._compared[self.splits[self._compared] == here]
            second = mine[self.first(mine, here) < mine][:EXAMPLES]
        else:
            clusters = np.flatnonzero(self._present & (1 << here) != 0)
            clusters = clusters[self._present[clusters] & (1 << there) != 0]
            second = np.sort(self._first[clusters, there])[:EXAMPLES]
        pairs = [*pairs, *zip(self.first(second, here).tolist(), second.tolist(), strict=True)]
        return pairs[:EXAMPLES]

    def _order(self, left: Indices, right: Indices) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The splits, as bits, where left[i] begins after right[i]; and those where it begins before."""
        both = self._present[left] & self._present[right]
        after = np.zeros(len(left), np.uint8)
        for split in range(self._first.shape[1]):
            after |= (self._first[left, split] > self._first[right, split]).astype(np.uint8) << np.uint8(split)
        return both & after, both & ~after

    def _note(self, left: Indices, right: Indices, here: int, there: int) -> None:
        """Keep the first pairs of records, where both clusters have one, as examples."""
        pairs = self._examples.setdefault((here, there), [])
        if len(pairs) < EXAMPLES:
            exist = np.flatnonzero(np.maximum(left, right) < len(self.clusters))[:EXAMPLES]
            found = zip(left[exist].tolist(), right[exist].tolist(), strict=True)
            pairs += [pair if here != there else (min(pair), max(pair)) for pair in found]


def link_similar_sequences(links: Links, sequences: Sequence[str]) -> None:
    """Link clusters, whose sequences are given, at a Jaccard similarity of `SIMILARITY` or more of their 10-mers."""
    sets = Sets.of(*multisets(sequences, K))
    for left, right in candidates(sets, SIMILARITY, links.wanted, "similar sequences"):
        shared = sets.shared(left, right)
        similar = shared >= SIMILARITY * (sets.counts[left] + sets.counts[right] - shared)
        links.link(sets.members[left[similar]], sets.members[right[similar]])


def link_similar_arrays(links: Links, arrays: Sequence[str]) -> None:
    """Link clusters, whose arrays are given, at an `IDENTITY` or more of whole arrays, of either strand.

    Candidates share 7-mers; of those, only pairs are aligned that are near enough in length and share as many 7-mers as two
    sequences with that many edits must (the q-gram lemma: Jokinen and Ukkonen 1991). Arrays longer than `LONGEST` are not, and
    two arrays that were both aligned `VAIN` times in vain no more.
    """
    sets = Sets.of(*multisets(arrays, _ARRAY_K))
    lengths = np.array([len(array) for array in arrays], np.int64)
    vain = np.zeros(len(arrays), np.int64)

    def alignable(left: Indices, right: Indices) -> NDArray[np.bool_]:
        longer = np.maximum(lengths[left], lengths[right])
        near = (np.abs(lengths[left] - lengths[right]) <= _edits(longer)) & (longer <= LONGEST)
        near &= np.minimum(vain[left], vain[right]) < VAIN
        near[near] = links.wanted(left[near], right[near])
        return np.asarray(near)

    for left, right in candidates(sets, _ARRAY_LOWEST, alignable, "similar arrays"):
        a, b = sets.members[left], sets.members[right]
        edits = _edits(np.maximum(lengths[a], lengths[b]))
        near = sets.shared(left, right) >= np.maximum(sets.counts[left], sets.counts[right]) - _ARRAY_K * edits
        a, b, edits = a[near], b[near], edits[near]
        forward = [arrays[i] for i in b]
        alike = within([arrays[i] for i in a], forward, edits)
        rest = np.flatnonzero(~alike)
        backward = [reverse_complement(forward[i]) for i in rest]
        alike[rest] = within([arrays[a[i]] for i in rest], backward, edits[rest])
        links.link(a[alike], b[alike])
        vain += np.bincount(np.concatenate((a[~alike], b[~alike])), minlength=len(arrays))


def _edits(longer: Indices) -> Indices:
    """The edits that two sequences of this identity differ by at most, given the longer one's length."""
    return np.asarray(((1 - IDENTITY) * longer + 1e-9).astype(np.int64))
