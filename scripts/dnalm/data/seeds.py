"""Candidate pairs of related sequences: shared spaced seeds, extended a little without gaps, on either strand."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.data.linkage import Indices
from dnalm.sequence.kmers import OTHER, encode

PATTERNS = {
    10: ("11111011111", "11101001010010111", "1100101100011010011", "11011100000111011"),
    12: ("1111110111111", "11101001010001010010111", "1110110100000010110111", "111001101000101100111"),
    14: ("111111101111111", "111110010100001010011111", "1110011010100010101100111", "1101111000110001111011"),
}
"""Spaced seeds (Ma, Tromp and Li 2002) by weight: bases at 1 have to match. In 64 bases of 80 % identity the four of
weight 10, 12 and 14 hit with probability .99, .94 and .82 (searched at random). All are symmetric, so that one index
serves both strands; in the first only the middle may differ, so that an N at every ninth base still leaves seeds."""

NEIGHBOURS = 8
"""Sequences that share a seed are compared, each with the next eight in the order of the sequences."""

CHANCE_HITS = 3e7
"""The weight is the lowest with which random sequences would share fewer seeds than this by chance."""

EXTENSION = 8
"""Matches minus mismatches that the extension has to add to the seed."""

CONTEXT = 32
"""Bases on each side of a seed that are compared."""

_BLOCK = 1 << 21
_ODD = np.uint64(0x5555_5555_5555_5555)
_WORD, _PLACE = np.uint64(34), np.uint64((1 << 33) - 1)
"""A key holds a word (28 bits), a position (33 bits) and a strand (1 bit)."""


@dataclass(frozen=True)
class Candidates:
    """Pairs of sequences, left < right: whether right is on the other strand, the ungapped score around the best shared
    seed, and the longest exact stretch seen, in bases; all of shape (pairs,)."""

    left: Indices
    right: Indices
    turned: NDArray[np.bool_]
    score: Indices
    exact: Indices

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.left)

    def ends(self) -> Iterator[tuple[int, int]]:
        """The pairs, one by one."""
        return zip(self.left.tolist(), self.right.tolist(), strict=True)

    def take(self, chosen: NDArray[Any]) -> "Candidates":
        """The chosen pairs."""
        return Candidates(*(getattr(self, name)[chosen] for name in ("left", "right", "turned", "score", "exact")))


def find_candidates(sequences: Sequence[str], hidden: NDArray[np.bool_], exact: int) -> Candidates:
    """Pairs of sequences that share a seed whose neighbourhood matches too, or a stretch of `exact` bases.

    hidden: bases of the sequences, end to end, that are of low complexity; where they are the majority there are no
    seeds. exact: at most 64. Each pair is listed once, on its better strand. What a sequence shares with thousands of
    others is compared only with its neighbours in their order, so that the work is linear in the number of bases.
    """
    codes, offsets = encode(sequences)
    text = _Text(codes, offsets, hidden)
    weight = next((w for w in PATTERNS if len(codes) ** 2 / 4**w < CHANCE_HITS), max(PATTERNS))
    best = _empty()
    bar = tqdm(PATTERNS[weight], desc="seeds", mininterval=2, disable=len(codes) < 10**7)
    for pattern in bar:
        parts = [best]
        for hits in text.hits(pattern, exact):
            parts.append(hits)
            if len(parts) > 16:
                parts = [_best(parts)]
        best = _best(parts)
    return best


def _empty() -> Candidates:
    none = np.zeros(0, np.int64)
    return Candidates(none, none, none.astype(bool), none, none)


def _best(parts: Sequence[Candidates]) -> Candidates:
    """Each pair once: its highest score, with the strand of that, and its longest exact stretch."""
    names = ("left", "right", "turned", "score", "exact")
    left, right, turned, score, exact = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    order = np.lexsort((-score, right, left))
    left, right = left[order], right[order]
    first = np.flatnonzero(np.append(True, (np.diff(left) != 0) | (np.diff(right) != 0))[: len(left)])
    if not len(first):
        return _empty()
    longest = np.maximum.reduceat(exact[order], first)
    return Candidates(left[first], right[first], turned[order][first], score[order][first], longest)


class _Text:
    """All sequences end to end: codes (bases,), offsets (n + 1,), and which bases are masked."""

    def __init__(self, codes: NDArray[np.uint8], offsets: Indices, hidden: NDArray[np.bool_]) -> None:
        """Pack the bases, 32 a number, from each position on."""
        self.codes, self.offsets = codes, offsets
        self.owner = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
        self._hidden = np.concatenate(([0], np.cumsum(hidden, dtype=np.int32)))
        self._packed = _packed(codes)

    def hits(self, pattern: str, exact: int) -> Iterator[Candidates]:
        """Candidates by one seed pattern; a pair may come several times."""
        keys = self._index(pattern)
        for step in range(1, NEIGHBOURS + 1):
            found = 0
            for begin in range(0, max(len(keys) - step, 0), _BLOCK):
                first, second = keys[begin : begin + _BLOCK], keys[begin + step : begin + step + _BLOCK]
                first = first[: len(second)]
                same = np.flatnonzero(first >> _WORD == second >> _WORD)
                found += len(same)
                if len(same):
                    yield self._extended(first[same], second[same], pattern, exact)
            if not found:
                return

    def _index(self, pattern: str) -> NDArray[np.uint64]:
        """Sorted keys of all words; of the same word of one sequence, the first only."""
        span, windows = len(pattern), len(self.codes) - len(pattern) + 1
        blocks = range(0, max(windows, 0), _BLOCK)
        parts = [self._keys(pattern, begin, min(begin + _BLOCK, windows), span) for begin in blocks]
        keys = np.concatenate([np.zeros(0, np.uint64), *parts])
        keys.sort()
        fresh = np.ones(len(keys), bool)
        for begin in range(1, len(keys), _BLOCK):
            here = keys[begin : begin + _BLOCK]
            before = keys[begin - 1 : begin - 1 + len(here)]
            same = here >> _WORD == before >> _WORD
            same &= self.owner[_position(here)] == self.owner[_position(before)]
            fresh[begin : begin + len(here)] = ~same
        return np.asarray(keys[fresh])

    def _keys(self, pattern: str, begin: int, end: int, span: int) -> NDArray[np.uint64]:
        ones = [place for place, sign in enumerate(pattern) if sign == "1"]
        forward, backward = np.zeros(end - begin, np.uint64), np.zeros(end - begin, np.uint64)
        known = np.ones(end - begin, bool)
        for rank, offset in enumerate(ones):
            letter = self.codes[begin + offset : end + offset]
            known &= letter != OTHER
            base = letter.astype(np.uint64) & np.uint64(3)
            forward = (forward << np.uint64(2)) | base
            backward |= (base ^ np.uint64(3)) << np.uint64(2 * rank)
        known &= self.owner[begin:end] == self.owner[begin + span - 1 : end + span - 1]
        known &= 2 * (self._hidden[begin + span : end + span] - self._hidden[begin:end]) <= span
        word = np.minimum(forward, backward) << _WORD
        place = np.arange(begin, end, dtype=np.uint64) << np.uint64(1)
        return np.asarray((word | place | (backward < forward))[known])

    def _extended(self, first: NDArray[np.uint64], second: NDArray[np.uint64], pattern: str, exact: int) -> Candidates:
        """Hits whose surroundings match well enough."""
        a, b, span = _position(first), _position(second), len(pattern)
        turned = ((first ^ second) & np.uint64(1)).astype(bool)
        left, right = self.owner[a].astype(np.int64), self.owner[b].astype(np.int64)
        score, run = np.zeros(len(a), np.int64), np.zeros(len(a), np.int64)
        for side in (False, True):  # before and behind the seed, as seen from a
            flips = turned ^ side
            ours, room = self._context(a, left, span, np.full(len(a), side))
            theirs, other_room = self._context(b, right, span, flips)
            theirs = np.where(turned, ~theirs, theirs)
            gain, matches = _compare(ours ^ theirs, np.minimum(room, other_room))
            score += gain
            run += matches
        middle = self._at(a) ^ np.where(turned, ~_reversed(self._at(b + span - CONTEXT)), self._at(b))
        intact = _mismatches(middle) & np.uint64((1 << 2 * span) - 1) == 0
        run = np.where(intact, run + span, 0)
        near = ((score >= EXTENSION) | (run >= exact)) & (left != right)
        left, right = left[near], right[near]
        low, high = np.minimum(left, right), np.maximum(left, right)
        return _best([Candidates(low, high, turned[near], score[near], run[near])])

    def _context(
        self, place: Indices, owner: Indices, span: int, behind: NDArray[np.bool_]
    ) -> tuple[NDArray[np.uint64], Indices]:
        """The bases beside a seed, the nearest in the lowest bits, and how many are the sequence's own."""
        after, before = self._at(place + span), _reversed(self._at(place - CONTEXT))
        room = np.where(behind, self.offsets[owner + 1] - place - span, place - self.offsets[owner])
        return np.where(behind, after, before), np.minimum(room, CONTEXT)

    def _at(self, place: Indices) -> NDArray[np.uint64]:
        return np.asarray(self._packed[place + CONTEXT])


def _position(keys: NDArray[np.uint64]) -> Indices:
    return np.asarray(((keys >> np.uint64(1)) & _PLACE).astype(np.int64))


def _packed(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Element p + 32 holds bases p to p + 31, two bits each, the first in the lowest bits; shape (bases + 64,)."""
    padded = np.concatenate((np.zeros(CONTEXT, np.uint8), codes & 3, np.zeros(2 * CONTEXT, np.uint8)))
    result = np.zeros(len(codes) + 2 * CONTEXT, np.uint64)
    result[:] = padded[: len(result)]
    for doubling in (1, 2, 4, 8, 16):
        shifted = np.zeros_like(result)
        shifted[:-doubling] = result[doubling:]
        result |= shifted << np.uint64(2 * doubling)
    return result


def _reversed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bases in the opposite order."""
    words = words.byteswap()
    for shift, mask in ((4, 0x0F0F_0F0F_0F0F_0F0F), (2, 0x3333_3333_3333_3333)):
        low = np.uint64(mask)
        words = ((words >> np.uint64(shift)) & low) | ((words & low) << np.uint64(shift))
    return words


def _mismatches(difference: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """One bit a base, set where bases differ."""
    return np.asarray((difference | (difference >> np.uint64(1))) & _ODD)


def _compare(difference: NDArray[np.uint64], room: Indices) -> tuple[Indices, Indices]:
    """The best of matches minus mismatches within the first 8, 16, 24 and 32 bases, and the exact bases at the seed."""
    wrong = _mismatches(difference)
    outside = np.where(room < CONTEXT, _ODD << (2 * np.minimum(room, CONTEXT - 1)).astype(np.uint64), np.uint64(0))
    wrong |= outside & _ODD
    gain = np.zeros(len(wrong), np.int64)
    for length in (8, 16, 24, 32):
        mask = np.uint64((1 << 2 * length) - 1)
        gain = np.maximum(gain, length - 2 * np.bitwise_count(wrong & mask).astype(np.int64))
    lowest = wrong & (~wrong + np.uint64(1))
    exact = np.where(wrong == 0, CONTEXT, np.bitwise_count(lowest - np.uint64(1)).astype(np.int64) // 2)
    return gain, exact
