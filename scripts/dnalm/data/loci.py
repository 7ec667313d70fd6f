"""Loci of records: where on an assembly their sequences lie, and which of them overlap."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data.linkage import ranges
from dnalm.names import LABEL
from dnalm.tables.sequences import LOCUS, SHUFFLED, TABLE


@dataclass(frozen=True)
class Places:
    """Places of rows, 0-based, half-open; all of shape (n,). start and end are floats, NaN for rows without a place."""

    chrom: pd.Series
    start: NDArray[np.float64]
    end: NDArray[np.float64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a row has a place; shape (n,)."""
        return ~np.isnan(self.start)

    def only(self, chosen: NDArray[np.bool_]) -> "Places":
        """The places of the chosen rows; the others have none."""
        return Places(self.chrom, np.where(chosen, self.start, np.nan), np.where(chosen, self.end, np.nan))


def places(records: pd.DataFrame) -> list[Places]:
    """Places of the records of a sequence table on the genome, flanks included.

    With the columns `LOCUS`, also those on the catalogue's own assembly.
    """
    start, end = (records[column].to_numpy(np.float64, na_value=np.nan) for column in ("start", "end"))
    flank = flanks(records)
    result = [Places(records["chrom"], start - flank, end + flank)]
    if set(LOCUS) <= set(records):
        start, end = (records[column].to_numpy(np.float64, na_value=np.nan) for column in LOCUS[1:])
        result.append(Places(records[LOCUS[0]], start, end))
    return result


def flanks(records: pd.DataFrame) -> NDArray[np.float64]:
    """Bases of context on each side of the records of a sequence table, NaN without a place; shape (n,)."""
    length = (records["end"] - records["start"]).to_numpy(np.float64, na_value=np.nan)
    return np.asarray((records["sequence"].str.len().to_numpy(np.float64) - length) // 2)


def without_flanks(records: pd.DataFrame) -> NDArray[np.object_]:
    """The sequences of a sequence table without their flanks, where these are known; shape (n,)."""
    flank, cores = flanks(records), records["sequence"].to_numpy(object).copy()
    for row in np.flatnonzero(flank > 0):
        cores[row] = cores[row][int(flank[row]) : -int(flank[row])]
    return cores


def are_arrays(records: pd.DataFrame) -> NDArray[np.bool_]:
    """Which records of a sequence table are tandem arrays, or shuffles of one; shape (n,)."""
    source = records["source"]
    shuffles = (source == SHUFFLED).to_numpy(bool)
    if LABEL not in records:
        return shuffles
    return np.asarray(shuffles | ((records[LABEL] == 1) & (source != TABLE)).to_numpy(bool))


def overlapping(where: Places) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of rows whose places share a base, each pair once, as two arrays of rows, the lower one first."""
    placed = np.flatnonzero(where.known)
    if not len(placed):
        return placed, placed
    codes = pd.factorize(where.chrom.iloc[placed], sort=True)[0]
    starts, ends = where.start[placed], where.end[placed]
    # chromosomes end to end, so that one search serves all of them
    shift = codes * (ends.max() - starts.min() + 1)
    order = np.argsort(starts + shift, kind="stable")
    starts, ends, placed = (starts + shift)[order], (ends + shift)[order], placed[order]
    rank = np.arange(len(placed))
    counts = np.maximum(np.searchsorted(starts, ends) - rank - 1, 0)
    a, b = placed[np.repeat(rank, counts)], placed[ranges(rank + 1, counts)]
    return np.minimum(a, b), np.maximum(a, b)


def overlapped(rows: Places, others: Places) -> NDArray[np.int64]:
    """For each row the number of one of the `others` that shares a base with it, -1 if none does; shape (n,)."""
    result = np.full(len(rows.start), -1)
    mine, theirs = np.flatnonzero(rows.known), np.flatnonzero(others.known)
    if not len(mine) or not len(theirs):
        return result
    codes = pd.factorize(pd.concat([rows.chrom.iloc[mine], others.chrom.iloc[theirs]]), sort=True)[0]
    # chromosomes end to end, so that one search serves all of them
    length = max(float(rows.end[mine].max()), float(others.end[theirs].max())) + 1
    shift, other_shift = codes[: len(mine)] * length, codes[len(mine) :] * length
    starts, ends = others.start[theirs] + other_shift, others.end[theirs] + other_shift
    order = np.lexsort((ends, starts))
    starts, ends = starts[order], ends[order]
    reach = np.maximum.accumulate(ends)
    holder = np.maximum.accumulate(np.where(ends == reach, np.arange(len(ends)), 0))
    before = np.searchsorted(starts, rows.end[mine] + shift) - 1
    meets = (before >= 0) & (reach[before] > rows.start[mine] + shift)
    result[mine[meets]] = theirs[order][holder[before[meets]]]
    return result
