"""Negatives from the genome: for each positive, windows of the same length and GC content in unmasked pieces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.data.genomes import read_bases
from dnalm.data.sampling import apportion
from dnalm.data.window_sampler import WindowSampler

if TYPE_CHECKING:
    import pysam


@dataclass(frozen=True)
class Wanted:
    """The windows to find, by positive; every array has shape (n,)."""

    source: NDArray[np.object_]
    """Kind of piece the windows are cut from."""
    zone: NDArray[np.object_]
    """Zone of chromosomes the windows come from."""
    length: NDArray[np.int64]
    gc: NDArray[np.int64]
    """Number of G and C in the positive's array."""


def find_windows(
    wanted: Wanted,
    pieces: Mapping[str, pd.DataFrame],
    zones: Mapping[str, Sequence[str]],
    genome: "pysam.FastaFile",
    tolerance: float,
    ratio: int,
    flank: int,
    seed: int,
) -> pd.DataFrame:
    """`ratio` windows for each positive that can have that many; no windows overlap, flanks included.

    pieces: by source, columns chrom, start, end. zones: chromosomes of each zone. tolerance: largest difference of GC
    fraction between a window and its positive. Returns columns positive (index into `wanted`), chrom, start, end,
    sequence (upper case, with `flank` bases on both sides), sorted by positive.

    Each positive has a home chromosome, drawn in proportion to the bases of pieces there. One chromosome is in memory
    at a time. Its positives get their windows hardest first: those with the fewest fitting windows, because a long or
    AT-rich window may be the only one of its kind (on 2.3 Mb of chr2 this keeps 2,934 of 3,716 arrays, longest first
    keeps 2,710). A positive without enough windows on its home chromosome is tried on the following chromosomes and, in
    a second round, on those before its home.
    """
    pieces = {source: table.sort_values(["chrom", "start"]) for source, table in sorted(pieces.items())}
    rank = {chrom: index for index, chrom in enumerate(genome.references)}
    zone_of = {chrom: zone for zone, chromosomes in zones.items() for chrom in chromosomes}
    home = _homes(wanted, pieces, zones, rank, np.random.default_rng([seed, 3]))
    longest = int(wanted.length.max(initial=1))
    slack = tolerance * wanted.length + 1e-9
    low, high = np.ceil(wanted.gc - slack).astype(np.int64), np.floor(wanted.gc + slack).astype(np.int64)
    waiting = home >= 0
    found: list[tuple[int, str, int, int, str]] = []
    bar = tqdm(total=int(waiting.sum()), desc="matching", mininterval=2, disable=not waiting.any())
    for second_round, chrom in product((False, True), sorted(zone_of, key=rank.__getitem__)):
        has_turn = home > rank[chrom] if second_round else home <= rank[chrom]
        here = waiting & has_turn & (wanted.zone == zone_of[chrom])
        bases = read_bases(genome, chrom) if here.any() else np.empty(0, np.uint8)
        for number, (source, table) in enumerate(pieces.items()):
            members = np.flatnonzero(here & (wanted.source == source))
            there = table[table["chrom"] == chrom]
            if not len(members) or there.empty:
                continue
            starts, ends = there["start"].to_numpy(np.int64), there["end"].to_numpy(np.int64)
            rng = np.random.default_rng([seed, 4, rank[chrom], number, second_round])
            sampler = WindowSampler(bases, starts, ends, longest, rng, margin=2 * flank)
            for _, other, start, end, _ in found:
                if other == chrom:
                    sampler.take(start, end - start)
            for positive in _hardest_first(sampler, members, wanted.length, low, high):
                length = int(wanted.length[positive])
                windows = sampler.draw(length, int(low[positive]), int(high[positive]), ratio) or []
                waiting[positive] = not windows
                bar.update(bool(windows))
                for start in windows:
                    sequence = bases[start - flank : start + length + flank].tobytes().decode().upper()
                    found.append((positive, chrom, start, start + length, sequence))
            del sampler  # free its memory before the next one is built
        del bases
    bar.close()
    result = pd.DataFrame(sorted(found), columns=["positive", "chrom", "start", "end", "sequence"])
    return result.astype({"positive": "int64", "start": "int64", "end": "int64"})


def _hardest_first(
    sampler: WindowSampler,
    members: NDArray[np.int64],
    length: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
) -> list[int]:
    """The `members` with fitting windows, fewest windows first, then longest first."""
    fitting = np.zeros(len(length), np.int64)
    for size in np.unique(length[members]):
        same = members[length[members] == size]
        fitting[same] = sampler.count(int(size), low[same], high[same])
    order = members[np.lexsort((-length[members], fitting[members]))]
    return [int(positive) for positive in order if fitting[positive]]


def draw_pieces(
    pieces: pd.DataFrame, count: int, genome: "pysam.FastaFile", flank: int, rng: np.random.Generator
) -> pd.DataFrame:
    """`count` whole pieces at random, each once, or all if there are fewer.

    Returns columns chrom, start, end, sequence (upper case, with `flank` bases on both sides).
    """
    pieces = pieces[["chrom", "start", "end"]].sort_values(["chrom", "start"], ignore_index=True)
    drawn = pieces.loc[np.sort(rng.permutation(len(pieces))[:count])].reset_index(drop=True)
    places = tqdm(zip(drawn["chrom"], drawn["start"], drawn["end"], strict=True), "pieces", len(drawn), mininterval=2)
    return drawn.assign(sequence=[genome.fetch(chrom, s - flank, e + flank).upper() for chrom, s, e in places])


def _homes(
    wanted: Wanted,
    pieces: Mapping[str, pd.DataFrame],
    zones: Mapping[str, Sequence[str]],
    rank: Mapping[str, int],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Rank of each positive's home chromosome; -1 where its zone has no piece of its source."""
    home = np.full(len(wanted.length), -1)
    for source, table in sorted(pieces.items()):
        bases = (table["end"] - table["start"]).groupby(table["chrom"]).sum()
        for zone, chromosomes in sorted(zones.items()):
            there = sorted(set(chromosomes) & set(bases.index), key=rank.__getitem__)
            members = np.flatnonzero((wanted.source == source) & (wanted.zone == zone))
            if there and len(members):
                counts = apportion(len(members), bases[there].to_numpy(float))
                home[members] = rng.permutation(np.repeat([rank[chrom] for chrom in there], counts))
    return home
