"""Places of tandem arrays on a genome, found by their sequences: for catalogues whose positions are of another one."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import edlib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.data.genomes import chromosome_lengths, read_bases
from dnalm.data.linkage import ranges
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.kmers import OTHER, encode
from dnalm.tables.ledger import entry

Integers = NDArray[np.int64]

IDENTITY = 0.9
"""Least identity of a place: one minus the edit distance per base of what is searched for."""

SHORTEST = 24
"""Bases of the shortest sequence that is searched for; a large genome holds shorter ones by chance."""

NO_SEQUENCE = "no sequence in the catalogue"
TOO_SHORT = f"shorter than {SHORTEST} bases"
NOT_FOUND = "not found on the genome"

_SHORTEST_SEED, _LONGEST_SEED = 12, 16
_SEED_SHARE = 0.01
"""Seeds are as short as possible while the catalogue holds at most this fraction of all k-mers."""

_MOST_OWNERS = 16
"""A seed leads to at most this many sequences, the shortest ones: this bounds the work on low complexity."""

_SPARSE = 40
"""A window is aligned if it has at least one seed for this many bases of the sequence."""

_CHUNK = 1 << 23
"""Bases of a chromosome whose seeds are looked up at a time."""


def place(catalogue: pd.DataFrame, name: str, genome: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The places of a genome (an open `pysam.FastaFile`) that hold an array of the catalogue `name`, and the ledger.

    catalogue: columns id, sequence. A place holds a half of an array or more with `IDENTITY`, on either strand: halves,
    because an allele may have fewer copies of the motif. Arrays below 2 `SHORTEST` bases are searched for as a whole.
    Stretches of the catalogue's k-mers less than `SHORTEST` bases away belong to the place. Returns columns chrom,
    start, end (0-based, half-open; disjoint, in the genome's order) and id, that of the catalogue's first array there.

    As in BLAST (Altschul et al. 1990, doi:10.1016/S0022-2836(05)80360-2), k-mers that genome and catalogue share are
    looked up, and a window with enough of them is aligned to the sequence they come from. A place without an exact
    k-mer is missed; few are. One chromosome is in memory at a time.
    """
    sequences = catalogue["sequence"].str.upper().to_numpy(object)
    known = catalogue["sequence"].notna().to_numpy(bool)
    long = (catalogue["sequence"].str.len() >= SHORTEST).to_numpy(bool, na_value=False)
    searched = np.flatnonzero(known & long)
    rows_of = _queries(sequences, searched)
    queries = sorted(rows_of, key=lambda text: (len(text), text))
    seeds = Seeds.of(queries)
    parts: list[pd.DataFrame] = []
    times: Counter[int] = Counter()
    lengths = chromosome_lengths(genome)
    with tqdm(total=sum(lengths.values()), desc="place", unit="b", unit_scale=True, mininterval=2) as bar:
        for chrom in lengths:
            bases = read_bases(genome, chrom)
            start, end, query, stretches = _find(bases, queries, seeds, bar)
            for row, number in _places_of_each(start, end, [rows_of[queries[one]] for one in query]).items():
                times[row] += number
            first = np.array([rows_of[queries[one]][0] for one in query], np.int64)
            parts.append(_joined(start, end, first, stretches).assign(chrom=chrom))
    places = pd.concat(parts, ignore_index=True)
    places["id"] = catalogue["id"].to_numpy(object)[places["row"].to_numpy(np.int64)]
    dropped = {
        NO_SEQUENCE: int(np.sum(~known)),
        TOO_SHORT: int(np.sum(known & ~long)),
        NOT_FOUND: len(searched) - len(times),
    }
    facts = {
        "arrays": len(times),
        "at_several_places": sum(number > 1 for number in times.values()),
        "places": len(places),
        "bases": int((places["end"] - places["start"]).sum()),
    }
    line = entry("place_catalogue", name, len(catalogue), len(times), dropped)
    table = places[["chrom", "start", "end", "id"]].astype(
        {"chrom": "str", "start": "Int64", "end": "Int64", "id": "str"}
    )
    return table, {"ledger": [line], "placed": {name: facts}}


def _queries(sequences: NDArray[np.object_], rows: Integers) -> dict[str, list[int]]:
    """Both strands of the arrays' halves, or of short arrays as a whole, each with the rows it comes from."""
    result: dict[str, list[int]] = defaultdict(list)
    for row in rows.tolist():
        whole = sequences[row]
        half = len(whole) // 2
        for part in {whole[:half], whole[-half:]} if half >= SHORTEST else {whole}:
            for query in {part, reverse_complement(part)}:
                result[query].append(row)
    return result


@dataclass(frozen=True)
class Seeds:
    """The k-mers of some sequences: `kmers` (sorted; m entries) and the sequence of each; `present` has a bit for each
    of all 4^k k-mers.
    """

    k: int
    kmers: NDArray[np.uint32]
    owners: NDArray[np.uint32]
    present: NDArray[np.uint8]

    @classmethod
    def of(cls, sequences: Sequence[str]) -> "Seeds":
        """Of sequences sorted by length: if many share a k-mer, the first `_MOST_OWNERS` own it."""
        codes, offsets = encode(["N".join(sequences) + "N"])
        total = int(offsets[-1])
        k = _SHORTEST_SEED
        while k < _LONGEST_SEED and total > _SEED_SHARE * 4**k:
            k += 1
        starts, kmers = _kmers(codes, k)
        ends = np.cumsum([len(sequence) + 1 for sequence in sequences])
        owners = np.searchsorted(ends, starts, side="right").astype(np.uint64)
        keys, _ = _counted((kmers.astype(np.uint64) << np.uint64(32)) | owners)
        kmers = (keys >> np.uint64(32)).astype(np.uint32)
        first = np.searchsorted(kmers, kmers)
        keys = keys[np.arange(len(keys)) - first < _MOST_OWNERS]
        kmers = (keys >> np.uint64(32)).astype(np.uint32)
        present = np.zeros(4**k // 8, np.uint8)
        np.bitwise_or.at(present, kmers >> np.uint32(3), np.uint8(1) << (kmers & np.uint32(7)).astype(np.uint8))
        return cls(k, kmers, keys.astype(np.uint32), present)

    def hits(self, codes: NDArray[np.uint8]) -> tuple[Integers, NDArray[np.uint32]]:
        """Starts of the k-mers of a text (as `encode` returns it) that are among the seeds, and these k-mers."""
        starts, kmers = _kmers(codes, self.k)
        bits = self.present[kmers >> np.uint32(3)] >> (kmers & np.uint32(7)).astype(np.uint8)
        found = np.flatnonzero(bits & np.uint8(1))
        return starts[found], kmers[found]


def _kmers(codes: NDArray[np.uint8], k: int) -> tuple[Integers, NDArray[np.uint32]]:
    """Starts of the k-mers (k <= 16) without other letters than A, C, G, T, and the k-mers as numbers in base 4."""
    windows = max(0, len(codes) - k + 1)
    kmers = np.zeros(windows, np.uint32)
    for offset in range(k):
        kmers <<= np.uint32(2)
        kmers |= codes[offset : offset + windows] & np.uint8(3)
    before = np.concatenate(([0], np.cumsum(codes == OTHER)))
    starts = np.flatnonzero(before[k : k + windows] == before[:windows])
    return starts, kmers[starts]


def _find(
    bases: NDArray[np.uint8], queries: Sequence[str], seeds: Seeds, bar: Any
) -> tuple[Integers, Integers, Integers, tuple[Integers, Integers]]:
    """Starts, ends and queries of the matches on a chromosome (ASCII codes), and the stretches of seeds there."""
    text = bases.tobytes().decode("ascii", "replace").upper()
    lengths = np.array([len(query) for query in queries], np.int64)
    windows, positions = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for begin in range(0, len(text), _CHUNK):
        chunk = text[begin : begin + _CHUNK + seeds.k - 1]
        starts, kmers = seeds.hits(encode([chunk])[0])
        positions.append(starts + begin)
        low, high = (np.searchsorted(seeds.kmers, kmers, side=side) for side in ("left", "right"))
        owner = seeds.owners[ranges(low, high - low)].astype(np.int64)
        number = np.repeat(starts + begin, high - low) // lengths[owner]
        keys, seen = _counted((owner << 32 | number).astype(np.uint64))
        windows.append(keys[seen * _SPARSE >= lengths[keys >> np.uint64(32)]])
        bar.update(min(_CHUNK, len(text) - begin))
    wanted, _ = _counted(np.concatenate(windows))
    pairs = zip((wanted >> np.uint64(32)).tolist(), (wanted & np.uint64(0xFFFFFFFF)).tolist(), strict=True)
    found = {(start, end, query) for query, number in pairs for start, end in _search(text, queries[query], number)}
    start, end, query = np.array(sorted(found), np.int64).reshape(-1, 3).T
    return start, end, query, _stretches(np.concatenate(positions), seeds.k)


def _counted(keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], Integers]:
    """Distinct keys, ascending, and how often each occurs; sorting is faster here than numpy's hashing."""
    keys = np.sort(keys)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, np.int64)
    return keys[starts], np.diff(starts, append=len(keys))


def _search(text: str, query: str, number: int) -> Iterator[tuple[int, int]]:
    """Where a query lies in and around a window of the text, the `number`th of the query's length."""
    size = len(query)
    edits = int((1 - IDENTITY) * size + 1e-9)
    waiting = [(max(0, (number - 1) * size - edits), min(len(text), (number + 2) * size + edits + _LONGEST_SEED))]
    while waiting:
        begin, end = waiting.pop()
        if end - begin >= size - edits:
            best = edlib.align(query, text[begin:end], mode="HW", task="locations", k=edits)
            if best["editDistance"] >= 0:
                first, last = best["locations"][0]
                yield begin + first, begin + last + 1
                waiting += [(begin, begin + first), (begin + last + 1, end)]


def _stretches(positions: Integers, k: int) -> tuple[Integers, Integers]:
    """Starts and ends of the stretches of k-mers at sorted positions that lie less than `SHORTEST` bases apart."""
    if not len(positions):
        return positions, positions
    breaks = np.flatnonzero(np.diff(positions) >= k + SHORTEST)
    return positions[np.append(0, breaks + 1)], positions[np.append(breaks, len(positions) - 1)] + k


def _places_of_each(start: Integers, end: Integers, rows: Sequence[Sequence[int]]) -> Mapping[int, int]:
    """How many places each row's array has; matches closer than their length are parts of one place."""
    number: Counter[int] = Counter()
    reach: dict[int, int] = {}
    for first, last, owners in zip(start.tolist(), end.tolist(), rows, strict=True):
        for row in owners:
            if row not in reach or first > reach[row] + (last - first):
                number[row] += 1
            reach[row] = max(last, reach.get(row, 0))
    return number


def _joined(start: Integers, end: Integers, row: Integers, stretches: tuple[Integers, Integers]) -> pd.DataFrame:
    """Matches, extended by the stretches of seeds next to them, as disjoint places with the lowest row of each."""
    if not len(start):
        return pd.DataFrame({"start": start, "end": end, "row": row})
    lower, upper = stretches  # a match has seeds, so there are some
    first = np.searchsorted(upper, start - SHORTEST, side="right").clip(max=len(upper) - 1)
    last = (np.searchsorted(lower, end + SHORTEST, side="left") - 1).clip(min=0)
    start, end = np.minimum(start, np.maximum(lower[first], 0)), np.maximum(end, upper[last])
    order = np.argsort(start, kind="stable")
    start, end, row = start[order], end[order], row[order]
    at = np.flatnonzero(np.append(True, start[1:] > np.maximum.accumulate(end)[:-1]))
    return pd.DataFrame({"start": start[at], "end": np.maximum.reduceat(end, at), "row": np.minimum.reduceat(row, at)})
