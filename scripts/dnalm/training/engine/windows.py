"""How records longer than a model's limit are shown to it."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError

Whole = NDArray[Any]
"""Whole numbers, in 32 bits where these hold them: a large data set has an entry for each record."""


class Names(Protocol):
    """The name of each record."""

    def __getitem__(self, index: int, /) -> str:
        """The name of record `index`."""


@dataclass(frozen=True)
class Windows:
    """m windows of at most `size` tokens over n records.

    record: (m,) the record of each window, ascending; part, parts: (m,) which of how many windows of that record;
    records: n; overlong: records longer than `size`; dropped: those of them left out.
    """

    record: Whole
    part: Whole
    parts: Whole
    size: int
    records: int
    overlong: int
    dropped: int

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.record)

    @property
    def kept(self) -> Whole:
        """The records that have a window, ascending."""
        first: Whole = self.record[self.part == 0]
        return first

    def bounds(self, lengths: Whole) -> tuple[Whole, Whole]:
        """First token and end of each window, (m,) each, for records (or their other strand) of `lengths` (n,) tokens.

        Windows of a record are evenly spaced, from its first token to its last.
        """
        most = min(
            self.size, np.iinfo(lengths.dtype).max
        )  # a model without a limit has a size beyond any length's type
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


def cut(lengths: Whole, size: int, overlong: str, ids: Names, among: Whole | None = None) -> Windows:
    """Windows over records of `lengths` (n,) tokens, of which a window takes `size`.

    overlong: `window` covers a record with as few windows as can; `truncate` takes its first tokens; `drop` leaves it
    out; `error` refuses it. ids: (n,) names for that error. among: the records to consider, all by default.
    """
    chosen = _compact(np.arange(len(lengths)) if among is None else np.sort(among))
    long = lengths[chosen] > size
    if overlong == "error" and long.any():
        first = ids[int(chosen[long.argmax()])]
        raise UserError(
            f"{int(long.sum())} of {len(chosen)} records are longer than {size} tokens, the first is '{first}';"
            " set overlong to window, truncate or drop"
        )
    kept = chosen[~long] if overlong == "drop" else chosen
    record = kept
    # one window a record takes no memory: the same number, read again and again
    part, parts = (np.broadcast_to(np.int32(number), len(kept)) for number in (0, 1))
    if overlong == "window" and long.any():
        number = np.maximum(-(-lengths[kept] // size), 1)
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
    )


def _compact(numbers: Whole) -> Whole:
    fits = not len(numbers) or numbers.max() <= np.iinfo(np.int32).max
    return numbers.astype(np.int32 if fits else np.int64)
