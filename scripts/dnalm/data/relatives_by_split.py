"""Relatives by split: which records have one in which split."""

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import Indices
from dnalm.names import SPLITS

EXAMPLES = 5


class RelativesBySplit:
    """Which records have a relative in which split, and which repeat an earlier record of their own split.

    clusters: the cluster of each record, 0 to `number` - 1, or -1 for a record that is not compared; shape (n,).
    Records of one cluster are relatives (the same sequence, for example), and so are those of clusters joined by
    `link`. This is not transitive: a relative's relative counts only if it is linked itself.
    splits: number of each record's split, below 8; shape (n,).
    """

    def __init__(self, clusters: Indices, splits: Indices, number: int) -> None:
        """Record the splits in which each cluster has members."""
        self.clusters, self.splits = clusters, splits
        self._compared = np.flatnonzero(clusters >= 0)
        self._first = np.full((number, int(splits.max(initial=len(SPLITS) - 1)) + 1), len(clusters))
        np.minimum.at(self._first, (clusters[self._compared], splits[self._compared]), self._compared)
        bits = np.left_shift(1, np.arange(self._first.shape[1]))
        self._present = ((self._first < len(clusters)) * bits).sum(axis=1).astype(np.uint8)
        self._linked = np.zeros(number, np.uint8)
        self._later = np.zeros(number, np.uint8)
        self._examples: dict[tuple[int, int], list[tuple[int, int]]] = {}

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
        """Whether a record is in split `here` and has a relative in another split, `there`; shape (n,)."""
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
        """The first record, in a split, of each record's own cluster, which must have one there."""
        return np.asarray(self._first[self.clusters[records], split])

    def examples(self, here: int, there: int) -> list[tuple[int, int]]:
        """Up to five pairs of relatives in splits `here` <= `there`, linked ones first.

        Within one split, the earlier record of a pair comes first.
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
        """The splits, as bits, in which left[i] starts after right[i]; and those in which it starts before."""
        both = self._present[left] & self._present[right]
        after = np.zeros(len(left), np.uint8)
        for split in range(self._first.shape[1]):
            after |= (self._first[left, split] > self._first[right, split]).astype(np.uint8) << np.uint8(split)
        return both & after, both & ~after

    def _note(self, left: Indices, right: Indices, here: int, there: int) -> None:
        """Keep the first pairs of records of clusters present in both splits, as examples."""
        pairs = self._examples.setdefault((here, there), [])
        if len(pairs) < EXAMPLES:
            exist = np.flatnonzero(np.maximum(left, right) < len(self.clusters))[:EXAMPLES]
            found = zip(left[exist].tolist(), right[exist].tolist(), strict=True)
            pairs += [pair if here != there else (min(pair), max(pair)) for pair in found]
