"""Windows over records that are longer than a model's limit."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens

Compact = NDArray[Any]
"""Integers, of 32 bits if they fit: there is one for each record, and data sets may be large."""


class Names(Protocol):
    """The name of each record."""

    def __getitem__(self, index: int, /) -> str:
        """The name of record `index`."""


@dataclass(frozen=True)
class Windows:
    """m windows over n records. One segment of a record is cut if it does not fit; the others are always whole.

    record: (m,) the record of each window, ascending; part, parts: (m,) the window is number `part` of the record's
    `parts`; size: maximal tokens of the cut segment, one number or (n,); records: n; overlong: how many records do not
    fit; dropped: how many of those were dropped; segment: which segment is cut.
    """

    record: Compact
    part: Compact
    parts: Compact
    size: int | Compact
    records: int
    overlong: int
    dropped: int
    segment: int = 0

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.record)

    @property
    def kept(self) -> Compact:
        """The records that have a window, ascending."""
        first: Compact = self.record[self.part == 0]
        return first

    def place(self, tokens: Tokens, segment: int) -> tuple[Compact, Compact]:
        """Where each window's part of a segment starts in `tokens.ids`, and how many tokens it has, (m,) each."""
        lengths, first = tokens.lengths_of(segment), tokens.starts(self.record, segment)
        if segment != self.segment:
            return first, lengths[self.record]
        start, stop = self.bounds(lengths)
        return first + start, stop - start

    def bounds(self, lengths: Compact) -> tuple[Compact, Compact]:
        """First token and end of each window in the cut segment, (m,) each; lengths: that segment's tokens, (n,).

        Windows of a record are evenly spaced, from its first token to its last.
        """
        size = self.size[self.record] if isinstance(self.size, np.ndarray) else self.size
        # without a limit, size does not fit into the lengths' type
        most = np.minimum(size, np.iinfo(lengths.dtype).max).astype(lengths.dtype)
        stop = np.minimum(lengths[self.record], most)
        start = np.zeros_like(stop)
        split = np.flatnonzero(self.parts > 1)
        if len(split):
            spare = lengths[self.record[split]].astype(np.int64) - stop[split]
            start[split] = self.part[split] * spare // (self.parts[split] - 1)
            stop[split] += start[split]
        return start, stop

    def counts(self) -> dict[str, int]:
        """What to report: records, overlong, dropped, windows."""
        return {"records": self.records, "overlong": self.overlong, "dropped": self.dropped, "windows": len(self)}


def room(tokens: Tokens, size: int, segment: int = 0) -> int | Compact:
    """Tokens left for a segment if a record may have `size`: one number, or (n,) if there are other segments."""
    if tokens.segments == 1:
        return size
    others = sum(tokens.lengths_of(other) for other in range(tokens.segments) if other != segment)
    left: Compact = np.minimum(size, 2**40) - np.asarray(others, dtype=np.int64)
    return left


def cut(
    lengths: Compact,
    size: int | Compact,
    overlong: str,
    ids: Names,
    among: Compact | None = None,
    segment: int = 0,
) -> Windows:
    """Windows over records whose segment number `segment` has `lengths` (n,) tokens; a window holds `size` of them.

    size: as returned by `room`. overlong: `window` covers a record with as few windows as possible; `truncate` keeps
    the first tokens; `drop` drops the record; `error` raises `UserError`. ids: (n,) names for errors. among: indices of
    the records to use, all by default. Also raises `UserError` for a record whose other segments leave no room, unless
    it is dropped.
    """
    chosen = _compact(np.arange(len(lengths)) if among is None else np.sort(among))
    limit = size[chosen] if isinstance(size, np.ndarray) else size
    long = lengths[chosen] > limit
    full = np.broadcast_to(np.less(limit, 1), long.shape) & long
    if full.any() and overlong != "drop":
        first = int(chosen[full.argmax()])
        raise UserError(
            f"record '{ids[first]}': its other segments use up all tokens of the model's limit"
            f" ({int(full.sum())} such records); raise max_tokens, shorten them, or set overlong to drop"
        )
    if overlong == "error" and long.any():
        name = ids[int(chosen[long.argmax()])]
        raise UserError(
            f"{int(long.sum())} of {len(chosen)} records are longer than {_limit(size)}, the first is '{name}';"
            " set overlong to window, truncate or drop"
        )
    kept = chosen[~long] if overlong == "drop" else chosen
    record = kept
    # broadcast: one window a record takes no memory
    part, parts = (np.broadcast_to(np.int32(number), len(kept)) for number in (0, 1))
    if overlong == "window" and long.any():
        number = np.maximum(-(-lengths[kept] // (size[kept] if isinstance(size, np.ndarray) else size)), 1)
        record, parts = np.repeat(kept, number), _compact(np.repeat(number, number))
        part = _compact(np.arange(len(parts)) - np.repeat(number.cumsum() - number, number))
    return Windows(
        record=record,
        part=part,
        parts=parts,
        size=size,
        records=len(chosen),
        overlong=int(long.sum()),
        dropped=len(chosen) - len(kept),
        segment=segment,
    )


def _limit(size: int | Compact) -> str:
    # the size does not include special tokens, so it is less than the model's limit
    return "the model's limit" if isinstance(size, np.ndarray) else f"{size} tokens"


def _compact(numbers: Compact) -> Compact:
    fits = not len(numbers) or numbers.max() <= np.iinfo(np.int32).max
    return numbers.astype(np.int32 if fits else np.int64)
