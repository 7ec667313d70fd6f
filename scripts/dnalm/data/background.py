"""The background: windows at random places of the genome, not matched to positives, outside all known repeats."""

from bisect import bisect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.datasets import Related
from dnalm.data.attrition import kept_and_dropped
from dnalm.data.genomes import read_bases
from dnalm.data.homology import either_strand, similar_sequences
from dnalm.data.intervals import outside
from dnalm.data.linkage import components, first_members
from dnalm.data.masks import mask, pieces
from dnalm.errors import UserError
from dnalm.names import BACKGROUND
from dnalm.tables.ledger import entry
from dnalm.tables.sequences import sequence_table

if TYPE_CHECKING:
    import pysam

MOST_COVERED = 0.5
"""Largest fraction of the free bases that windows may cover; above it long windows find no place."""
CROWDED = "would cover more than half of the free genome"
NO_ROOM = "no piece of the genome is long enough"


def draw_background(
    tables: Mapping[str, pd.DataFrame],
    context: pd.DataFrame,
    genome: "pysam.FastaFile",
    number: int,
    flank: int,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """`number` windows as a sequence table (label 0), in the genome's order, and the ledger; fewer if there is no room.

    tables: the sequence tables of all splits. context: the result of `between` (columns chrom, start, end). Each window
    has the length of a random positive of the test split, flanks included. Its place is drawn uniformly from all free
    ones: inside one context interval, overlapping no other window and no located record with its flanks. As in any
    sequence table, `start` and `end` exclude the flanks. The order of the given rows does not matter. Raises
    `UserError` for a test split without positives.
    """
    test = tables["test"]
    lengths = np.sort(test.loc[test["label"] == 1, "sequence"].str.len().to_numpy(np.int64))
    if not len(lengths):
        raise UserError("test: no record has label 1, and the background takes its lengths; split another way")
    places = _in_order(context[["chrom", "start", "end"]], genome)
    records = pd.concat([table[["chrom", "start", "end"]] for table in tables.values()], ignore_index=True)
    located = records[records["start"].notna()].astype({"start": "int64", "end": "int64"})
    taken = located.assign(start=located["start"] - flank, end=located["end"] + flank)

    rng = np.random.default_rng(seed)
    wanted = rng.choice(lengths, number)
    free = outside(places, taken)
    few = int(np.searchsorted(np.cumsum(wanted), MOST_COVERED * (free["end"] - free["start"]).sum(), side="right"))
    windows = _place(wanted[:few], free, rng)
    kept = np.zeros(number, bool)
    kept[windows.index] = True
    windows = _in_order(windows, genome)
    loci = zip(windows["chrom"], windows["start"], windows["end"], strict=True)
    bar = tqdm(loci, "background", len(windows), unit=" windows", mininterval=2)
    sequences = [genome.fetch(chrom, start, end).upper() for chrom, start, end in bar]
    dropped = {CROWDED: number - few, NO_ROOM: few - len(windows)}
    ledger = {
        "ledger": [entry(BACKGROUND, BACKGROUND, number, len(windows), dropped)],
        "kept_vs_dropped": {"length": kept_and_dropped(wanted, kept)},
        "records": {"located": len(located), "without_place": len(records) - len(located)},
    }
    return _table(windows.assign(sequence=sequences), flank), ledger


def between(genome: "pysam.FastaFile", intervals: pd.DataFrame) -> pd.DataFrame:
    """The maximal stretches of A, C, G and T outside `intervals` (chrom, start, end), as a table of the same columns.

    Raises `UserError` for intervals that do not lie on the genome.
    """
    _check_places(intervals, genome)
    tables = []
    for name in tqdm(genome.references, "context", unit=" chromosomes", mininterval=2):
        here = intervals.loc[intervals["chrom"] == name, ["start", "end"]].astype("int64")
        masked = mask(read_bases(genome, name), here.itertuples(index=False, name=None), source="context", soft=False)
        starts, ends = pieces(masked)
        tables.append(pd.DataFrame({"chrom": name, "start": starts, "end": ends}))
    return pd.concat(tables, ignore_index=True)


def _check_places(intervals: pd.DataFrame, genome: "pysam.FastaFile") -> None:
    for name, end in intervals.groupby("chrom")["end"].max().items():
        chrom = str(name)
        if chrom not in genome.references:
            raise UserError(f"catalogues: the genome has no chromosome '{chrom}'; give those that lie on it")
        if end > genome.get_reference_length(chrom):
            raise UserError(f"catalogues: one reaches beyond the end of '{chrom}'; give those that lie on it")


def _place(wanted: NDArray[np.int64], free: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Places for windows of the `wanted` lengths (n,), none overlapping: chrom, start, end, indexed by window.

    Windows are placed in bands of similar length (less than twofold apart), longest first, while there is room. Each
    round draws a start for every unplaced window of the band, uniformly from all at which it fits into the free
    intervals, and keeps the windows that overlap none kept before: at least the first.
    """
    found: list[pd.DataFrame] = []
    bands = np.floor(np.log2(wanted)).astype(np.int64)
    for band in sorted(set(bands.tolist()), reverse=True):
        waiting = np.flatnonzero(bands == band)
        while len(waiting):
            drawn = _draw(wanted[waiting], free, rng).set_index(waiting).dropna()
            fresh = drawn[_apart(drawn)].astype({"start": "int64", "end": "int64"})
            found.append(fresh)
            free = outside(free, fresh)
            waiting = drawn.index.difference(fresh.index).to_numpy()
    return pd.concat([free.iloc[:0], *found])


def _draw(lengths: NDArray[np.int64], free: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """One place for each length, drawn independently: columns chrom, start, end; missing where it fits nowhere."""
    starts, sizes = free["start"].to_numpy(np.int64), (free["end"] - free["start"]).to_numpy(np.int64)
    chroms = free["chrom"].to_numpy(object)
    chrom, start = np.full(len(lengths), None, object), np.full(len(lengths), np.nan)
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        upto = np.cumsum(np.maximum(sizes - length + 1, 0))
        if not len(upto) or not upto[-1]:
            continue
        place = rng.integers(upto[-1], size=len(same))
        piece = np.searchsorted(upto, place, side="right")
        chrom[same] = chroms[piece]
        start[same] = starts[piece] + sizes[piece] - length + 1 - (upto[piece] - place)
    return pd.DataFrame({"chrom": chrom, "start": start, "end": start + lengths})


def _apart(places: pd.DataFrame) -> NDArray[np.bool_]:
    """Which places to keep, in order of the rows, so that none overlaps an earlier one kept; shape (n,)."""
    taken: dict[str, list[tuple[int, int]]] = {}
    result = np.zeros(len(places), bool)
    for row, (chrom, start, end) in enumerate(zip(places["chrom"], places["start"], places["end"], strict=True)):
        here = taken.setdefault(chrom, [])
        at = bisect(here, (start, end))
        if (at == 0 or here[at - 1][1] <= start) and (at == len(here) or here[at][0] >= end):
            here.insert(at, (start, end))
            result[row] = True
    return result


def _in_order(places: pd.DataFrame, genome: "pysam.FastaFile") -> pd.DataFrame:
    """Places sorted by the genome's order of chromosomes, then by start; each keeps its index."""
    rank = {chrom: index for index, chrom in enumerate(genome.references)}
    return places.iloc[np.lexsort((places["start"].to_numpy(np.int64), places["chrom"].map(rank).to_numpy(float)))]


def group_windows(table: pd.DataFrame, related: Related) -> pd.DataFrame:
    """The windows with their groups: similar sequences (single linkage), named after the first of them.

    Copies of one repeat family are scored alike, so they count as less than so many windows.
    """
    forms, form = either_strand(table["sequence"].tolist())
    left, right, _ = similar_sequences(forms, related)
    family = components(len(forms), left, right)[form]
    return table.assign(group=table["id"].to_numpy(object)[first_members(family)])


def _table(windows: pd.DataFrame, flank: int) -> pd.DataFrame:
    """Windows (with their flanks) as a sequence table."""
    start, end = windows["start"] + flank, windows["end"] - flank
    places = zip(windows["chrom"], start, end, strict=True)
    ids = [f"{BACKGROUND}:{chrom}:{first}-{last}" for chrom, first, last in places]
    columns = {"id": ids, "group": ids, "chrom": windows["chrom"].tolist(), "sequence": windows["sequence"].tolist()}
    columns |= {"start": start.tolist(), "end": end.tolist()}
    return sequence_table({**columns, "label": 0, "source": BACKGROUND, "strand": "+"})
