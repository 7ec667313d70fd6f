"""Groups: records that must never be in two splits."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data import families, motifs, similarity
from dnalm.data.linkage import Chains, components, first_members
from dnalm.data.loci import Places, are_arrays, places, without_flanks
from dnalm.data.relatives import ARRAYS, SEQUENCES, link_similar_arrays, link_similar_sequences


def definition(kind: str, inferred: bool = False) -> list[str]:
    """What puts two records of a data set of this kind (repeats or table) into one group; chains count.

    inferred: whether motifs were inferred from the arrays.
    """
    if kind == "table":
        return [f"near-identical sequences: {similarity.DEFINITION}", f"similar sequences: {SEQUENCES}"]
    return [
        "a negative and the positive it was drawn for",
        f"motif family: {families.DEFINITION}" + (f"; {motifs.DEFINITION}" if inferred else ""),
        "overlapping locus, flanks included; without a genome, the catalogue's own",
        f"near-identical sequences: {similarity.DEFINITION}",
        f"similar arrays: {ARRAYS}",
        f"similar sequences, of records that are no arrays: {SEQUENCES}",
    ]


def group_records(records: pd.DataFrame) -> list[str]:
    """The group of each record, named after its member whose id comes first; a sequence table's row order plays no part.

    Records are linked by the column `positive` (if there is one), by motif family, by overlapping locus (on the genome, or on
    the catalogue's assembly, in the columns `LOCUS`), by near-identity, and by the likeness that the audit looks for (of arrays
    by alignment, of other sequences by 10-mers); a group is what hangs together (single linkage).
    """
    size = len(records)
    order = np.argsort(records["id"].to_numpy(str), kind="stable")
    table = records.iloc[order]
    everyone = np.arange(size)
    whole = table["sequence"].to_numpy(object)
    labels = components(size, everyone, similarity.near_identical(whole.tolist()))
    array = are_arrays(table)
    for chosen, sequences, link in (
        (array, without_flanks(table), link_similar_arrays),
        (~array, whole, link_similar_sequences),
    ):
        rows = np.flatnonzero(chosen)
        forms, form = similarity.either_strand(sequences[rows].tolist())
        chains = Chains(len(forms))
        link(chains, forms)
        labels = components(size, rows, rows[first_members(chains.labels[form])], labels)
    if "positive" in table:
        twins = pd.factorize(table["positive"])[0]
        labels = components(size, everyone, first_members(twins), labels)
    with_motif = np.flatnonzero(table["motif"].notna())
    if len(with_motif):
        family = families.families(table["motif"].iloc[with_motif].tolist())
        labels = components(size, with_motif, with_motif[family], labels)
    for where in places(table):
        labels = components(size, *_overlapping(where), labels)
    names = np.empty(size, object)
    names[order] = table["id"].to_numpy(object)[labels]
    return list(names)


def _overlapping(where: Places) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of rows that link all whose places share a base."""
    placed = np.flatnonzero(where.known)
    if not len(placed):
        return placed, placed
    starts, ends = where.start[placed].astype(np.int64), where.end[placed].astype(np.int64)
    codes = pd.factorize(where.chrom.iloc[placed], sort=True)[0]
    order = np.lexsort((ends, starts, codes))
    codes, starts, ends, placed = codes[order], starts[order], ends[order], placed[order]
    # ends shifted chromosome by chromosome, so that one running maximum serves all of them
    shift = codes * (int(ends.max()) + 1)
    reach = np.maximum.accumulate(ends + shift)
    holder = np.maximum.accumulate(np.where(ends + shift == reach, np.arange(len(ends)), 0))
    overlaps = starts[1:] + shift[1:] < reach[:-1]
    return placed[holder[:-1][overlaps]], placed[1:][overlaps]
