"""Non-overlapping windows of given lengths and GC content in the pieces of one chromosome."""

import numpy as np
from numpy.typing import NDArray

from dnalm.sequence.kmers import is_gc

SAMPLE = 1024
EXHAUSTIVE = 1 << 21
STRIDED = 1 << 18

Integers = NDArray[np.int64]


class WindowSampler:
    """Counts and draws windows that lie in the free part of a piece; a window drawn is no longer free.

    bases: ASCII codes of the chromosome, either case, shape (length,). starts, ends: the pieces, disjoint, 0-based
    half-open, shape (n,), sorted. longest: length of the longest window that will be asked for. margin: bases to keep
    free between two windows.

    The pieces lie end to end in memory (nine bytes per base). Two numbers are kept for each base: the G and C before
    it, and its room, which is the number of bases from it to the end of the free part, so that one comparison tells
    whether a window fits. Up to two million bases every window is examined, beyond that a quarter of a million evenly
    spaced ones, since neighbouring windows differ by only a base or two.
    """

    def __init__(
        self,
        bases: NDArray[np.uint8],
        starts: Integers,
        ends: Integers,
        longest: int,
        rng: np.random.Generator,
        margin: int = 0,
    ) -> None:
        """Count G and C and the room of each base; all pieces are free."""
        self._starts, self._longest, self._rng, self._margin = starts, longest, rng, margin
        self._lengths = lengths = ends - starts
        self._offsets = np.cumsum(lengths) - lengths
        inside = np.arange(lengths.sum(), dtype=np.int32)
        self._room = np.minimum(np.repeat((self._offsets + lengths).astype(np.int32), lengths) - inside, longest)
        self._gc = np.zeros(len(inside) + 1, np.int32)
        if len(inside):
            pieces = np.concatenate([bases[start:end] for start, end in zip(starts, ends, strict=True)])
            np.cumsum(is_gc(pieces), out=self._gc[1:])

    def count(self, length: int, low: Integers, high: Integers) -> Integers:
        """Windows of `length` bases with low[i] <= G + C <= high[i], among those examined; shape of `low`."""
        _, free, gc = self._examine(length)
        upto = np.concatenate(([0], np.cumsum(np.bincount(gc[free], minlength=length + 1))))
        return np.asarray(upto[np.clip(high + 1, 0, length + 1)] - upto[np.clip(low, 0, length + 1)])

    def draw(self, length: int, low: int, high: int, count: int) -> list[int] | None:
        """Take `count` random windows with low <= G + C <= high; their starts on the chromosome.

        Returns None, and takes none, if there are not that many. First a thousand random places are tried, then all
        that `count` examines.
        """
        found: list[int] = []
        undo: list[tuple[slice, NDArray[np.int32]]] = []
        while len(found) < count:
            place = self._find(length, low, high)
            if place is None:
                for part, room in reversed(undo):
                    self._room[part] = room
                return None
            piece = int(np.searchsorted(self._offsets, place, side="right")) - 1
            found.append(int(self._starts[piece] + place - self._offsets[piece]))
            undo.append(self._take(found[-1], length))
        return found

    def take(self, start: int, length: int) -> None:
        """Mark a window at `start` on the chromosome, with the margin around it, as taken; it may lie in no piece."""
        self._take(start, length)

    def _take(self, start: int, length: int) -> tuple[slice, NDArray[np.int32]]:
        place = self._place(start - self._margin)
        part = slice(max(0, place - self._longest), self._place(start + length + self._margin))
        before = self._room[part].copy()
        to_window = np.maximum(place - np.arange(part.start, part.stop), 0)
        self._room[part] = np.minimum(before, to_window)
        return part, before

    def _place(self, position: int) -> int:
        """Index in memory of the first base of a piece at or after a position on the chromosome."""
        piece = int(np.searchsorted(self._starts, position, side="right")) - 1
        if piece < 0:
            return 0
        return int(self._offsets[piece] + min(position - self._starts[piece], self._lengths[piece]))

    def _find(self, length: int, low: int, high: int) -> int | None:
        if length > len(self._room):
            return None
        places = self._rng.integers(len(self._room) - length + 1, size=SAMPLE)
        gc = self._gc[places + length] - self._gc[places]
        fitting = places[(self._room[places] >= length) & (gc >= low) & (gc <= high)]
        if len(fitting):
            return int(fitting[0])
        every, free, gc = self._examine(length)
        rare = np.flatnonzero(free & (gc >= low) & (gc <= high))
        return every.start + every.step * int(self._rng.choice(rare)) if len(rare) else None

    def _examine(self, length: int) -> tuple[slice, NDArray[np.bool_], NDArray[np.int32]]:
        """The places examined (all, or evenly spaced from a random first), whether a window fits there, its G + C."""
        windows = len(self._room) - length + 1
        step = 1 if windows <= EXHAUSTIVE else windows // STRIDED
        every = slice(int(self._rng.integers(step)), max(windows, 0), step)
        return every, self._room[every] >= length, self._gc[length:][every] - self._gc[:-length][every]
