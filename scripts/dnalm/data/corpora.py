"""A corpus: windows of genomes, or the sequences of a table, divided among three splits and written as a stream.

Two passes: the first counts what each stretch holds, the second writes. Memory holds a piece of a chromosome, a row
group of each split, and a few numbers for each stretch and record.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.stages.data import WindowCorpusSettings
from dnalm.data import windows
from dnalm.data.corpus_manifest import Tally, manifest
from dnalm.data.corpus_splits import OVER, Plan, make_plan
from dnalm.data.genomes import chromosome_lengths
from dnalm.errors import UserError
from dnalm.files import atomic
from dnalm.names import SPLITS
from dnalm.tables.corpora import CorpusWriter
from dnalm.tables.ledger import entry

CAPPED = "max_records"


@dataclass
class Chromosome:
    """A chromosome of one of the genomes: `first` is the number of its first stretch among all."""

    source: str
    name: str
    length: int
    first: int
    genome: Any
    split: int | None = None
    kept: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def window_genomes(
    genomes: Mapping[str, Any], settings: WindowCorpusSettings, places: Mapping[str, Path], step: int = windows.PIECE
) -> dict[str, Any]:
    """Write the windows of genomes as three corpus tables, in the genomes' order, and return the manifest.

    genomes: open ones, by name. places: the file of each split. step: bases read at a time, which changes no result.
    Raises `UserError` if no window is left or a split would be empty.
    """
    chromosomes, number = _chromosomes(genomes, settings)
    counts = np.zeros(number, np.int64)
    total = sum(one.length for one in chromosomes)
    with tqdm(total=2 * total, desc="windows", unit="b", unit_scale=True, mininterval=2) as bar:
        for one in chromosomes:
            _count(one, counts, settings, step)
            bar.update(one.length)
        _check_some(chromosomes, settings)
        caps = {**settings.caps}
        if settings.both_strands and caps["train"] is not None:
            caps["train"] //= 2  # each window is two records
        home = _homes(chromosomes, number) if settings.split.method == "chromosome" else None
        plan = make_plan(counts, counts * settings.window, home, settings.split, caps)
        tallies = {split: Tally() for split in SPLITS}
        over: Counter[str] = Counter()
        with ExitStack() as stack:
            writers = [
                stack.enter_context(CorpusWriter(stack.enter_context(atomic(places[split])), settings.window))
                for split in SPLITS
            ]
            for one in chromosomes:
                for split, rows in _write(one, plan, settings, len(genomes) > 1, step, over):
                    writers[split].add(rows)
                    tallies[SPLITS[split]].add(rows)
                bar.update(one.length)
    lines = []
    for source in genomes:
        mine = [one for one in chromosomes if one.source == source]
        reasons = sum((one.reasons for one in mine), Counter()) + Counter({CAPPED: over[source]})
        kept = sum(one.kept for one in mine) - over[source]
        lines.append(entry("window_corpus", source, kept + reasons.total(), kept, reasons))
        if settings.both_strands:
            turned = tallies["train"].turned[source]
            lines.append(entry("reverse_complement", source, turned, turned, {}))
    return manifest(lines, tallies, plan.counts[:, :OVER], settings)


def _chromosomes(genomes: Mapping[str, Any], settings: WindowCorpusSettings) -> tuple[list[Chromosome], int]:
    """All chromosomes in order, and the number of their stretches. Raises `UserError` for one that no genome has."""
    listed = settings.split.chromosomes or {}
    zones = {name: SPLITS.index(split) for split, names in listed.items() for name in names}
    found, first = [], 0
    for source, genome in genomes.items():
        for name, length in chromosome_lengths(genome).items():
            found.append(Chromosome(source, name, length, first, genome, zones.get(name)))
            first += -(-length // settings.split.stretch)
    known = {one.name for one in found}
    if missing := [name for name in zones if name not in known]:
        some = ", ".join([one.name for one in found][:5]) + (", ..." if len(found) > 5 else "")
        raise UserError(f"split.chromosomes: {', '.join(genomes)} has no chromosome '{missing[0]}' (it has {some})")
    return found, first


def _count(one: Chromosome, counts: NDArray[np.int64], settings: WindowCorpusSettings, step: int) -> None:
    """Count the windows of each stretch of a chromosome, and what is dropped for which reason."""
    every, whole = windows.number_of_windows(one.length, settings)
    if settings.split.method == "chromosome" and one.split is None:
        one.reasons[windows.ELSEWHERE] += every
        return
    one.reasons[windows.SHORT] += every - whole
    for piece in windows.pieces(one.genome, one.name, settings, step):
        for code, number in enumerate(np.bincount(piece.dropped, minlength=len(windows.REASONS)).tolist()):
            if code:
                one.reasons[windows.REASONS[code]] += number
        kept = piece.starts[piece.dropped == 0]
        one.kept += len(kept)
        if len(kept):
            found = np.bincount(kept // settings.split.stretch)
            counts[one.first : one.first + len(found)] += found


def _write(
    one: Chromosome, plan: Plan, settings: WindowCorpusSettings, several: bool, step: int, over: Counter[str]
) -> Iterator[tuple[int, pa.Table]]:
    """The rows of a chromosome, each with the code of its split; windows beyond `max_records` are counted in `over`."""
    if not one.kept:
        return
    prefix = f"{one.source}:" if several else ""
    seen, last = 0, -1  # windows kept so far in the stretch of the last window
    stretch = settings.split.stretch
    for piece in windows.pieces(one.genome, one.name, settings, step):
        kept = np.flatnonzero(piece.dropped == 0)
        if not len(kept):
            continue
        mine = one.first + piece.starts[kept] // stretch
        rank = np.arange(len(mine)) - np.searchsorted(mine, mine)
        rank[mine == last] += seen
        codes = plan.splits(mine, rank)
        seen, last = int(rank[-1]) + 1, int(mine[-1])
        over[one.source] += int((codes == OVER).sum())
        for split in range(OVER):
            for starts, letters in piece.rows(kept[codes == split]):
                rows = windows.table_rows(one.source, one.name, prefix, starts, letters, stretch, "+")
                if settings.both_strands and SPLITS[split] == "train":
                    turned = windows.table_rows(one.source, one.name, prefix, starts, letters, stretch, "-")
                    pairs = np.arange(2 * len(starts)).reshape(2, -1).T.ravel()
                    rows = pa.concat_tables([rows, turned]).take(pairs)
                yield split, rows


def _homes(chromosomes: list[Chromosome], number: int) -> NDArray[np.int64]:
    """The split of each stretch by its chromosome, shape (number,); 0 where no window is kept."""
    homes = np.zeros(number, np.int64)
    ends = [one.first for one in chromosomes[1:]] + [number]
    for one, end in zip(chromosomes, ends, strict=True):
        homes[one.first : end] = one.split or 0
    return homes


def _check_some(chromosomes: list[Chromosome], settings: WindowCorpusSettings) -> None:
    if any(one.kept for one in chromosomes):
        return
    longest = max(chromosomes, key=lambda one: one.length)
    if longest.length < settings.window:
        raise UserError(
            f"window: {settings.window:,} bases are more than any chromosome has (the longest, {longest.name}: "
            f"{longest.length:,}); give a shorter window"
        )
    reasons = sum((one.reasons for one in chromosomes), Counter())
    told = "; ".join(f"{number:,} {reason}" for reason, number in reasons.most_common() if number)
    raise UserError(
        f"{', '.join(dict.fromkeys(one.source for one in chromosomes))}: no window of {settings.window:,} bases is "
        f"left ({told}); raise max_unknown or max_soft_masked, or give a shorter window"
    )
