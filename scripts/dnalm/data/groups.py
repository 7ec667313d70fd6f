"""Groups: records that must never be in two splits."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data import families, similarity
from dnalm.data.linkage import components, first_members


def definition(kind: str) -> list[str]:
    """What puts two records of a data set of this kind (repeats or table) into one group; chains count."""
    if kind == "table":
        return [f"near-identical sequences: {similarity.DEFINITION}"]
    return [
        "a negative and the positive it was drawn for",
        f"motif family: {families.DEFINITION}",
        "overlapping locus, flanks included",
        f"near-identical sequences: {similarity.DEFINITION}",
    ]


def group_records(records: pd.DataFrame) -> list[str]:
    """The group of each record, named after its member whose id comes first; a sequence table's row order plays no part.

    Records are linked by the column `positive` (if there is one), by motif family, by overlapping locus and by
    near-identity, and a group is what hangs together (single linkage).
    """
    size = len(records)
    order = np.argsort(records["id"].to_numpy(str), kind="stable")
    table = records.iloc[order]
    everyone = np.arange(size)
    labels = components(size, everyone, similarity.near_identical(table["sequence"].tolist()))
    if "positive" in table:
        twins = pd.factorize(table["positive"])[0]
        labels = components(size, everyone, first_members(twins), labels)
    with_motif = np.flatnonzero(table["motif"].notna())
    if len(with_motif):
        family = families.families(table["motif"].iloc[with_motif].tolist())
        labels = components(size, with_motif, with_motif[family], labels)
    left, right = _overlapping(table)
    labels = components(size, left, right, labels)
    names = np.empty(size, object)
    names[order] = table["id"].to_numpy(object)[labels]
    return list(names)


def _overlapping(table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows that link all whose loci share a base; a locus is start - flank to end + flank."""
    placed = np.flatnonzero(table["start"].notna())
    if not len(placed):
        return placed, placed
    rows = table.iloc[placed]
    start, end = rows["start"].to_numpy(np.int64), rows["end"].to_numpy(np.int64)
    flank = (rows["sequence"].str.len().to_numpy(np.int64) - (end - start)) // 2
    start, end = start - flank, end + flank
    chrom = pd.factorize(rows["chrom"], sort=True)[0]
    order = np.lexsort((end, start, chrom))
    chrom, start, end, placed = chrom[order], start[order], end[order], placed[order]
    # ends shifted chromosome by chromosome, so that one running maximum serves all of them
    shift = chrom * (int(end.max()) + 1)
    reach = np.maximum.accumulate(end + shift)
    holder = np.maximum.accumulate(np.where(end + shift == reach, np.arange(len(end)), 0))
    overlaps = start[1:] + shift[1:] < reach[:-1]
    return placed[holder[:-1][overlaps]], placed[1:][overlaps]
