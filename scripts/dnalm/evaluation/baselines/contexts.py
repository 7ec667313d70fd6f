"""Finite contexts: how often each base followed each word of k bases in the training records.

Up to order `LONGEST_DENSE` the counts are an array over all words; above it, a sorted list of the words that occur.
Counts of *inverted repeats* are those of the reverse complement of the training text too, as DNA compressors take them
(Pinho, Ferreira, Neves and Bastos 2011, PLOS ONE 6(6):e21588).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.kmers import OTHER

LONGEST_DENSE = 12
"""Longest context with an array over all words: 4^13 counts, 256 MiB."""
LONGEST = 30
"""Longest context: a word and the base after it fill 62 bits."""
_CHUNK = 2**22
"""Bases handled together."""
_FEW_WORDS = 2**20
"""Up to so many words, `bincount` is faster than adding in place."""

Words = NDArray[np.uint64]
Follows = NDArray[np.uint32]
"""(..., 2): how often the base that is there followed the context, and how often any base did."""


@dataclass(frozen=True)
class Text:
    """Records end to end. codes: (T,) uint8, bases 0 to 3 and `OTHER`; offsets: (n + 1,) int64."""

    codes: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of bases T, others included."""
        return len(self.codes)

    @property
    def records(self) -> int:
        """Number of records n."""
        return len(self.offsets) - 1

    def part(self, first: int, last: int) -> "Text":
        """The records `first` to `last`, the latter not included."""
        low, high = self.offsets[first], self.offsets[last]
        return Text(self.codes[low:high], self.offsets[first : last + 1] - low)

    def parts(self, bases: int) -> Iterator[tuple[int, int]]:
        """Ranges of records with at most so many bases each; a longer record is a range of its own."""
        first = 0
        while first < self.records:
            last = int(np.searchsorted(self.offsets, self.offsets[first] + bases, side="right")) - 1
            last = max(last, first + 1)
            yield first, last
            first = last

    @cached_property
    def known(self) -> NDArray[np.uint8]:
        """Known bases without a gap directly before each base, in its record, at most 255: (T,)."""
        starts = np.zeros(len(self) + 1, np.int64)
        starts[self.offsets[:-1]] = self.offsets[:-1]  # of an empty record: that of the next one
        gaps = np.flatnonzero(self.codes == OTHER) + 1
        starts[gaps] = gaps
        run = np.arange(len(self)) - np.maximum.accumulate(starts)[:-1]
        return np.minimum(run, 255).astype(np.uint8)

    @cached_property
    def words(self) -> Words:
        """The 32 bases before each base as a number in base 4, the nearest in the lowest bits: (T,).

        Beyond `known` bases they are those of other records, or wrong.
        """
        words = np.zeros(len(self), np.uint64)
        words[1:] = self.codes[:-1] & 3
        for size in (1, 2, 4, 8, 16):
            before = np.zeros_like(words)
            before[size:] = words[:-size]
            words |= before << np.uint64(2 * size)
        return words

    def followed(self, order: int) -> Words:
        """Each word of `order` bases and the base after it, as a number in base 4, of all records; shape (m,)."""
        there = (self.known >= order) & (self.codes != OTHER)
        words: Words = (self.words[there] & _mask(order)) << np.uint64(2) | self.codes[there]
        return words


class Table(Protocol):
    """Counts of the bases after contexts of `order` bases."""

    order: int

    @property
    def nbytes(self) -> int:
        """Memory."""

    def after(self, contexts: Words) -> NDArray[np.uint32]:
        """How often each base followed these contexts: (m,) -> (m, 4)."""


class DenseTable:
    """Counts of all words, 4^order by 4."""

    def __init__(self, train: Text, order: int, inverted: bool) -> None:
        """Count. inverted: the reverse complement too."""
        self.order = order
        counts = np.zeros(4 ** (order + 1), np.uint32)
        for first, last in train.parts(_CHUNK):
            forward = train.part(first, last).followed(order)
            for words in (forward, _reverse_complement(forward, order + 1)) if inverted else (forward,):
                if len(counts) <= _FEW_WORDS:
                    counts += np.bincount(words.astype(np.int64), minlength=len(counts)).astype(np.uint32)
                else:
                    np.add.at(counts, words.astype(np.int64), np.uint32(1))
        self._counts = counts.reshape(-1, 4)

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self._counts.nbytes

    def after(self, contexts: Words) -> NDArray[np.uint32]:
        """How often each base followed these contexts: (m,) -> (m, 4)."""
        found: NDArray[np.uint32] = self._counts[contexts.astype(np.int64)]
        return found


class SortedTable:
    """Counts of the words that occur."""

    def __init__(self, train: Text, order: int, inverted: bool) -> None:
        """Count. inverted: the reverse complement too."""
        self.order = order
        parts = []
        for first, last in train.parts(_CHUNK):
            words = train.part(first, last).followed(order)
            parts += [words, _reverse_complement(words, order + 1)] if inverted else [words]
        every = np.concatenate(parts or [np.zeros(0, np.uint64)])
        del parts
        every.sort()
        places = np.flatnonzero(np.concatenate(([True], every[1:] != every[:-1]))) if len(every) else np.zeros(0, int)
        self._words = every[places]
        self._counts = np.diff(np.append(places, len(every))).astype(np.uint32)

    @property
    def nbytes(self) -> int:
        """Memory."""
        return int(self._words.nbytes + self._counts.nbytes)

    def after(self, contexts: Words) -> NDArray[np.uint32]:
        """How often each base followed these contexts: (m,) -> (m, 4)."""
        found = np.zeros((len(contexts), 4), np.uint32)
        if not len(self._words):
            return found
        place = np.searchsorted(self._words, contexts << np.uint64(2))
        for _ in range(4):  # the words of a context are neighbours
            inside = np.minimum(place, len(self._words) - 1)
            word = self._words[inside]
            rows = np.flatnonzero((word >> np.uint64(2) == contexts) & (inside == place))
            found[rows, (word[rows] & np.uint64(3)).astype(np.int64)] = self._counts[inside[rows]]
            place = place + 1
        return found


class Tables:
    """The tables of several orders, made when they are needed and kept while they fit into `most_bytes` together."""

    def __init__(self, train: Text, orders: tuple[int, ...], inverted: bool, most_bytes: int) -> None:
        """orders: ascending, at most `LONGEST`. inverted: count the reverse complement of the training text too."""
        self.orders = orders
        self._train, self._inverted, self._left = train, inverted, most_bytes
        self._kept: dict[int, Table] = {}

    def table(self, order: int) -> Table:
        """The table of an order."""
        if order in self._kept:
            return self._kept[order]
        kind = DenseTable if order <= LONGEST_DENSE else SortedTable
        table = kind(self._train, order, self._inverted)
        if table.nbytes <= self._left:
            self._left -= table.nbytes
            self._kept[order] = table
        return table

    def follows(self, text: Text, tolerant: int | None = None) -> NDArray[np.uint32]:
        """What followed each base's contexts: (orders, T, 2); 0 where the record has too few known bases before it.

        tolerant: add a tolerant context model (`tolerant_follows`) of this order, one of `orders`, as the last one.
        """
        found = np.zeros((len(self.orders) + (tolerant is not None), len(text), 2), np.uint32)
        for model, order in enumerate(self.orders):
            table = self.table(order)
            for at in range(0, len(text), _CHUNK):
                part = slice(at, at + _CHUNK)
                rows = at + np.flatnonzero((text.known[part] >= order) & (text.codes[part] != OTHER))
                counts = table.after(text.words[rows] & _mask(order))
                found[model, rows, 0] = counts[np.arange(len(rows)), text.codes[rows]]
                found[model, rows, 1] = counts.sum(axis=1, dtype=np.uint32)
            if order == tolerant:
                found[-1] = tolerant_follows(table, text)
        return found


HISTORY, MOST_MISSES = 16, 6
"""A tolerant context is given up after more than so many misses among its last predictions."""


def tolerant_follows(table: Table, text: Text) -> Follows:
    """What followed each base's tolerant context: (T, 2).

    A tolerant context ("Substitutional tolerant Markov models for relative compression of DNA sequences", PACBB 2017,
    doi:10.1007/978-3-319-60816-7_32)
    consists of the bases that were expected, not of those that were there: after a substitution it goes on with the
    copy that it follows. It starts with the true bases; it starts again after `MOST_MISSES` misses among its last
    `HISTORY` predictions, and where it does not occur in the training text.
    """
    order, mask = table.order, _mask(table.order)
    found = np.zeros((len(text), 2), np.uint32)
    lengths = np.diff(text.offsets)
    by_length = np.argsort(-lengths, kind="stable")
    starts, lengths = text.offsets[:-1][by_length], lengths[by_length]
    virtual = np.zeros(len(starts), np.uint64)
    follows = np.zeros(len(starts), bool)
    misses = np.zeros(len(starts), np.uint32)
    for step in range(int(lengths[0]) if len(lengths) else 0):
        records = np.arange(np.searchsorted(-lengths, -step))
        places = starts[records] + step
        base = text.codes[places]
        ready = (text.known[places] >= order) & (base != OTHER)
        records, places, base = records[ready], places[ready], base[ready].astype(np.uint64)
        context = np.where(follows[records], virtual[records], text.words[places] & mask)
        counts = table.after(context)
        total = counts.sum(axis=1, dtype=np.uint32)
        found[places, 0] = counts[np.arange(len(base)), base.astype(np.int64)]
        found[places, 1] = total
        expected = counts.argmax(axis=1).astype(np.uint64)
        history = (misses[records] << np.uint32(1) | (expected != base)) & np.uint32(2**HISTORY - 1)
        goes_on = (total > 0) & (np.bitwise_count(history) <= MOST_MISSES)
        virtual[records] = (context << np.uint64(2) | expected) & mask
        misses[records] = np.where(goes_on, history, 0)
        follows[:] = False
        follows[records] = goes_on
    return found


def _mask(order: int) -> np.uint64:
    return np.uint64(4**order - 1)


def _reverse_complement(words: Words, size: int) -> Words:
    """The reverse complements of words of `size` bases."""
    left, result = words.copy(), np.zeros_like(words)
    for _ in range(size):
        result = result << np.uint64(2) | (np.uint64(3) - (left & np.uint64(3)))
        left >>= np.uint64(2)
    return result
