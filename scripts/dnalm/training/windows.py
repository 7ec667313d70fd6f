"""How records longer than a model's limit are shown to it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnalm.errors import UserError

Whole = NDArray[np.int64]


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
        return np.unique(self.record)

    def bounds(self, lengths: Whole) -> tuple[Whole, Whole]:
        """First token and end of each window, (m,) each, for records (or their other strand) of `lengths` (n,) tokens.

        Windows of a record are evenly spaced, from its first token to its last.
        """
        length = lengths[self.record]
        width = np.minimum(length, self.size)
        start = self.part * (length - width) // np.maximum(self.parts - 1, 1)
        return start, start + width

    def counts(self) -> dict[str, int]:
        """What to report: records, overlong, dropped, windows."""
        return {"records": self.records, "overlong": self.overlong, "dropped": self.dropped, "windows": len(self)}


def cut(lengths: Whole, size: int, overlong: str, ids: Sequence[str], among: Whole | None = None) -> Windows:
    """Windows over records of `lengths` (n,) tokens, of which a window takes `size`.

    overlong: `window` covers a record with as few windows as can; `truncate` takes its first tokens; `drop` leaves it
    out; `error` refuses it. ids: (n,) names for that error. among: the records to consider, all by default.
    """
    chosen = np.arange(len(lengths)) if among is None else np.sort(among)
    long = lengths[chosen] > size
    if overlong == "error" and long.any():
        first = ids[int(chosen[long.argmax()])]
        raise UserError(
            f"{int(long.sum())} of {len(chosen)} records are longer than {size} tokens, the first is '{first}';"
            " set overlong to window, truncate or drop"
        )
    kept = chosen[~long] if overlong == "drop" else chosen
    number = -(-lengths[kept] // size) if overlong == "window" else np.ones(len(kept), dtype=np.int64)
    number = np.maximum(number, 1)
    parts = np.repeat(number, number)
    part = np.arange(len(parts)) - np.repeat(number.cumsum() - number, number)
    return Windows(
        record=np.repeat(kept, number),
        part=part,
        parts=parts,
        size=size,
        records=len(chosen),
        overlong=int(long.sum()),
        dropped=len(chosen) - len(kept),
    )
