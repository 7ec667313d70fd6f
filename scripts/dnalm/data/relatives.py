"""Relatives: records with the same or similar sequences, motif family or locus, found once before the split."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data import families, similarity
from dnalm.data.alignment import LONGEST, within
from dnalm.data.linkage import Chains, Indices, Links, Sets, candidates, first_members
from dnalm.data.loci import are_arrays, overlapping, places, without_flanks
from dnalm.data.similarity import multisets
from dnalm.sequence.alphabet import reverse_complement

K = 10
SIMILARITY = 0.5
"""Least Jaccard similarity of the canonical 10-mers, counted with multiplicity, of similar genomic sequences."""

IDENTITY = 0.9
"""Least identity of similar arrays: one minus the edit distance over the longer one's length."""

SEQUENCES = (
    f"{K}-mers, either strand, counted with multiplicity, have a Jaccard similarity of at least {SIMILARITY} (about "
    "96 % identity over the whole length, or windows that share two thirds of it)"
)
ARRAYS = (
    f"at least {IDENTITY:.0%} identity of whole arrays without flanks, on either strand: one minus the edit distance "
    f"divided by the longer one's length; arrays longer than {LONGEST:,} bases are not aligned"
)

_ARRAY_K = 7
_ARRAY_LOWEST = 0.2
"""Jaccard similarity of 7-mers: with scattered substitutions, arrays of identity .9 have .31, of identity .93 .43."""

MOST_FAILURES = 32
"""Two arrays with this many failed alignments each are not aligned any more: this bounds the work."""

MOST_RELATIVES = 256
"""Two linked records with this many relatives each are not compared any more: this bounds the work."""

SAME, NEAR, SIMILAR = "same_sequence", "near_identical", "similar_sequence"
SAME_ARRAY, SIMILAR_ARRAY = "same_array", "similar_array"
MOTIF, LOCUS = "motif_family", "locus"
"""Kinds of relatives."""

TABLE = ("id_a", "id_b", "kind")
"""Columns of a table of relatives."""


def find_relatives(records: pd.DataFrame) -> pd.DataFrame:
    """The relatives among the records of a data set, before it is split: a table of pairs of ids, each with its kind.

    records: a sequence table, optionally with the columns `loci.LOCUS`; row order does not matter.

    Transitive kinds (`SAME`, `SAME_ARRAY`, `NEAR`) pair each record with the first of its cluster, by id. The others
    list pairs: `MOTIF` as `families.family_links` does, `SIMILAR` (sequences that are not arrays) and `SIMILAR_ARRAY`
    between the first records of two sequences (`SAME`, `SAME_ARRAY`), `LOCUS` between all records that share a base.
    For groups, join all pairs by single linkage; to count relatives, take clusters, and pairs as direct relations.
    """
    table = records.iloc[np.argsort(records["id"].to_numpy(str), kind="stable")]
    whole, array = table["sequence"].to_numpy(object), are_arrays(table)
    everyone = np.arange(len(table))
    edges = {
        SAME: _clustered(everyone, similarity.either_strand(whole.tolist())[1]),
        NEAR: _clustered(everyone, similarity.near_identical(whole.tolist())),
        SIMILAR: _linked(np.flatnonzero(~array), whole, link_similar_sequences)[1],
    }
    same, similar = _linked(np.flatnonzero(array), without_flanks(table), link_similar_arrays)
    edges |= {SAME_ARRAY: same, SIMILAR_ARRAY: similar}
    named = np.flatnonzero(table["motif"].notna())
    left, right, _ = families.family_links(table["motif"].iloc[named].tolist())
    edges[MOTIF] = named[left], named[right]
    first, second = zip(*map(overlapping, places(table)), strict=True)
    edges[LOCUS] = np.concatenate(first), np.concatenate(second)
    ids = table["id"].to_numpy(object)
    parts = [pd.DataFrame({"id_a": ids[a], "id_b": ids[b], "kind": kind}) for kind, (a, b) in edges.items()]
    return pd.concat(parts).drop_duplicates(ignore_index=True).astype("str")


def _clustered(rows: Indices, clusters: Indices) -> tuple[Indices, Indices]:
    """Pairs of rows: the first of each cluster with each of the others."""
    first = rows[first_members(clusters)]
    return first[first != rows], rows[first != rows]


def _linked(
    rows: Indices, sequences: NDArray[np.object_], link: Callable[[Links, Sequence[str]], None]
) -> tuple[tuple[Indices, Indices], tuple[Indices, Indices]]:
    """Pairs of `rows` with the same sequence on either strand, and of first rows of sequences that `link` links."""
    forms, form = similarity.either_strand(sequences[rows].tolist())
    pairs = Pairs(len(forms))
    link(pairs, forms)
    first = rows[np.unique(form, return_index=True)[1]]
    left, right = pairs.found()
    return _clustered(rows, form), (first[left], first[right])


class Pairs:
    """Links between `size` items, each kept once, as a search finds them."""

    def __init__(self, size: int) -> None:
        """Start without links."""
        self._chains = Chains(size)
        self._relatives = np.zeros(size, np.int64)
        self._runs: list[Indices] = []
        """Sorted keys of the links in several arrays, each at least twice as long as the next: adding is cheap."""

    def wanted(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Whether a link is new, and not between linked items with `MOST_RELATIVES` each; shape (pairs,)."""
        few = np.minimum(self._relatives[left], self._relatives[right]) < MOST_RELATIVES
        new = few | self._chains.wanted(left, right)
        keys = self._keys(left, right)
        for run in self._runs:
            new &= run[np.minimum(np.searchsorted(run, keys), len(run) - 1)] != keys
        return np.asarray(new)

    def link(self, left: Indices, right: Indices) -> None:
        """Add links, which must be new."""
        if not len(left):
            return
        self._chains.link(left, right)
        run = np.unique(self._keys(left, right))
        for side in self._items(run):
            self._relatives += np.bincount(side, minlength=len(self._relatives))
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._runs.append(np.sort(np.concatenate((self._runs.pop(), self._runs.pop()))))

    def found(self) -> tuple[Indices, Indices]:
        """All links as two arrays of items, the lower one first."""
        return self._items(np.sort(np.concatenate([np.zeros(0, np.int64), *self._runs])))

    def _keys(self, left: Indices, right: Indices) -> Indices:
        return np.asarray(np.minimum(left, right) * len(self._relatives) + np.maximum(left, right))

    def _items(self, keys: Indices) -> tuple[Indices, Indices]:
        left, right = np.divmod(keys, max(len(self._relatives), 1))
        return left, right


def link_similar_sequences(links: Links, sequences: Sequence[str]) -> None:
    """Link sequences whose 10-mers have a Jaccard similarity of at least `SIMILARITY`."""
    sets = Sets.of(*multisets(sequences, K))
    for left, right in candidates(sets, SIMILARITY, links.wanted, "similar sequences"):
        shared = sets.shared(left, right)
        similar = shared >= SIMILARITY * (sets.counts[left] + sets.counts[right] - shared)
        links.link(sets.members[left[similar]], sets.members[right[similar]])


def link_similar_arrays(links: Links, arrays: Sequence[str]) -> None:
    """Link whole arrays of at least `IDENTITY`, on either strand.

    Candidates share 7-mers. Only those are aligned that are close enough in length and share as many 7-mers as two
    sequences with the allowed edits must (the q-gram lemma: Jokinen and Ukkonen 1991). Arrays longer than `LONGEST` are
    not aligned, nor two arrays with `MOST_FAILURES` failed alignments each.
    """
    sets = Sets.of(*multisets(arrays, _ARRAY_K))
    lengths = np.array([len(array) for array in arrays], np.int64)
    failures = np.zeros(len(arrays), np.int64)

    def alignable(left: Indices, right: Indices) -> NDArray[np.bool_]:
        longer = np.maximum(lengths[left], lengths[right])
        near = (np.abs(lengths[left] - lengths[right]) <= _edits(longer)) & (longer <= LONGEST)
        near &= np.minimum(failures[left], failures[right]) < MOST_FAILURES
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
        failures += np.bincount(np.concatenate((a[~alike], b[~alike])), minlength=len(arrays))


def _edits(longer: Indices) -> Indices:
    """The most edits between two sequences of `IDENTITY`, given the longer one's length."""
    return np.asarray(((1 - IDENTITY) * longer + 1e-9).astype(np.int64))
