"""Single linkage of many items: connected components, and sets linked by Jaccard similarity."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

Indices = NDArray[np.int64]
Criterion = Callable[[Indices, Indices, Indices], NDArray[np.bool_]]
Wanted = Callable[[Indices, Indices], NDArray[np.bool_]]


class Links(Protocol):
    """Collects the links that a search finds, and says which pairs still need to be compared."""

    def wanted(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Whether a link between items left[i] and right[i] would add anything; shape (pairs,)."""
        ...

    def link(self, left: Indices, right: Indices) -> None:
        """Add links between items left[i] and right[i]."""
        ...


BANDS = 32
ROWS = 2
NEIGHBOURS = 16
_SKETCH_BLOCK = 1 << 20
_VERIFY_BLOCK = 1 << 23


def components(size: int, left: Indices, right: Indices, labels: Indices | None = None) -> Indices:
    """The connected component of each of `size` nodes under the edges (left[i], right[i]), as its smallest node.

    `labels`: earlier components, which are joined further. Hooking and pointer jumping, vectorised (Shiloach and
    Vishkin 1982). Why not scipy: its connected_components is as fast on a million nodes (.14 s against .16 s; joining
    further .14 s against .08 s) and takes 60 MiB more.
    """
    labels = np.arange(size) if labels is None else labels.copy()
    while True:
        a, b = labels[left], labels[right]
        if np.array_equal(a, b):
            return labels
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(labels, jumped := labels[labels]):
            labels = jumped


class Chains:
    """Incremental single linkage of items; `labels` (size,) holds the smallest item of each item's component."""

    def __init__(self, size: int) -> None:
        """Each item is a component of its own."""
        self.labels: Indices = np.arange(size)

    def wanted(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Whether two items are still in different components; shape (pairs,)."""
        return np.asarray(self.labels[left] != self.labels[right])

    def link(self, left: Indices, right: Indices) -> None:
        """Join the components of items left[i] and right[i]."""
        self.labels = components(len(self.labels), left, right, self.labels)


def first_members(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters renamed to the index of their first member; shape (n,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


@dataclass(frozen=True)
class Sets:
    """Sets of tokens end to end: set `members[j]` is `tokens[starts[j] : starts[j] + counts[j]]`; no set is empty."""

    tokens: NDArray[np.uint64]
    members: Indices
    starts: Indices
    counts: Indices

    @classmethod
    def of(cls, tokens: NDArray[np.uint64], owners: Indices) -> "Sets":
        """From tokens (below 2^44) and the set each belongs to, sorted by set, then token; shape (m,).

        A set holds no token twice.
        """
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        return cls(tokens, owners[starts], starts, np.diff(starts, append=len(owners)))

    def shared(self, left: Indices, right: Indices) -> Indices:
        """How many tokens the sets at positions left[i] and right[i] (of `members`) have in common."""
        return shared_members(self.tokens, self.starts, self.counts, left, right)


def candidates(sets: Sets, lowest: float, wanted: Wanted, description: str) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of sets, as positions in `members`, that may have a Jaccard similarity of at least `lowest`.

    wanted(left, right): whether pairs of set numbers still need to be compared; called for each batch. A pair may be
    yielded several times.

    The pairs come from MinHash sketches (Broder 1997) in bands (Leskovec et al., Mining of Massive Datasets, ch. 3): 32
    bands of two hashes find a pair of Jaccard .25 with probability .87, of .4 with .996, of .5 with .9999. Within a
    band's bucket, sorted by the following bands, each set is compared with the next 16, so that the work is linear in
    the number of sets.
    """
    if len(sets.members) < 2:
        return
    sketches = _sketch(sets.tokens, np.append(sets.starts, len(sets.tokens)))
    floor = lowest - 3 * np.sqrt(lowest * (1 - lowest) / sketches.shape[1])
    for band in tqdm(range(BANDS), desc=description, mininterval=2, disable=len(sets.members) < 20_000):
        columns = np.roll(sketches, -ROWS * band, axis=1)[:, : 3 * ROWS]
        order = np.lexsort(columns.T[::-1])
        keys = columns[order, :ROWS]
        for step in range(1, NEIGHBOURS + 1):
            together = (keys[:-step] == keys[step:]).all(axis=1)
            left, right = order[:-step][together], order[step:][together]
            chosen = wanted(sets.members[left], sets.members[right])
            left, right = left[chosen], right[chosen]
            near = (sketches[left] == sketches[right]).mean(axis=1) >= floor
            if near.any():
                yield left[near], right[near]


def link_similar(
    tokens: NDArray[np.uint64], owners: Indices, size: int, similar: Criterion, lowest: float, description: str
) -> Indices:
    """Single linkage of similar sets: the smallest set of each set's component, shape (size,).

    tokens, owners: as `Sets.of` takes them. similar(shared, left, right): whether sets of `left` and `right` tokens
    that share `shared` of them are linked, all of shape (pairs,); it must be false below the Jaccard similarity
    `lowest`. An empty set stays alone.

    Every link is verified on the sets themselves. Sets whose link `candidates` misses are often joined by others of
    their component.
    """
    sets, labels = Sets.of(tokens, owners), np.arange(size)

    def apart(left: Indices, right: Indices) -> NDArray[np.bool_]:
        return np.asarray(labels[left] != labels[right])

    for left, right in candidates(sets, lowest, apart, description):
        linked = similar(sets.shared(left, right), sets.counts[left], sets.counts[right])
        labels = components(size, sets.members[left[linked]], sets.members[right[linked]], labels)
    return labels


def shared_members(
    tokens: NDArray[np.uint64], starts: Indices, counts: Indices, left: Indices, right: Indices
) -> Indices:
    """How many tokens sets left[i] and right[i] share; set j is `tokens[starts[j] : starts[j] + counts[j]]`."""
    sizes = counts[left] + counts[right]
    shared = np.zeros(len(left), np.int64)
    begin = 0
    while begin < len(left):
        end = begin + max(1, int(np.searchsorted(np.cumsum(sizes[begin : begin + (1 << 19)]), _VERIFY_BLOCK)))
        sets = np.concatenate((left[begin:end], right[begin:end]))
        pair = np.tile(np.arange(len(sets) // 2, dtype=np.uint64), 2)
        keys = (np.repeat(pair, counts[sets]) << np.uint64(44)) | tokens[ranges(starts[sets], counts[sets])]
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(44)
        shared[begin:end] = np.bincount(twice.astype(np.int64), minlength=len(sets) // 2)
        begin = end
    return shared


def ranges(starts: Indices, counts: Indices) -> Indices:
    """The integers starts[0] .. starts[0] + counts[0] - 1, then counts[1] integers from starts[1], and so on."""
    ends = np.cumsum(counts)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts))


def _sketch(tokens: NDArray[np.uint64], offsets: Indices) -> NDArray[np.uint32]:
    """MinHash sketch of each set; shape (sets, BANDS * ROWS). The hash functions are constants."""
    constants: Any = np.random.default_rng(0).integers(0, 1 << 32, size=(BANDS * ROWS, 2), dtype=np.uint32)
    result = np.empty((len(offsets) - 1, len(constants)), np.uint32)
    first = 0
    while first < len(result):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + _SKETCH_BLOCK, side="right")) - 1)
        mixed = _mix(tokens[offsets[first] : offsets[last]])
        for column, (flip, factor) in enumerate(constants):
            hashed = (mixed ^ flip) * (factor | np.uint32(1))
            result[first:last, column] = np.minimum.reduceat(hashed, offsets[first:last] - offsets[first])
        first = last
    return result


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The upper half of the SplitMix64 finaliser (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values >> np.uint64(32)).astype(np.uint32)
