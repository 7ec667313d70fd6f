"""Contamination: which records of a data set lie in the corpus that a model was pre-trained on."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dnalm.config.stages.data import ComparePretrainingSettings
from dnalm.names import SCORED_SPLITS
from dnalm.sequence.containment import KmerSet
from dnalm.tables.corpora import Key, codes_of, located, read_batches, sample

K = 30
"""Length of the k-mers by which a record is found in the corpus, on either strand."""
COVERED = 0.5
"""Part of a record's bases that has to lie in such k-mers, or in windows of the corpus by position."""
RECORDS, BASES = 100_000, 20_000_000
"""Records of a split that are looked for, at most, and about so many bases; evenly spread."""
EXAMPLES = 5


def compare_pretraining(data: Path, train: Path, settings: ComparePretrainingSettings) -> dict[str, Any]:
    """Counts of the validation and test records of a folder that lie in a corpus' training split.

    A record is in the corpus if half of it or more lies in 30-mers of the corpus, on either strand, or, where both have
    positions on one genome, in windows of the corpus. The corpus is read once, as a stream.
    """
    parts = {split: _Records(data / f"{split}.parquet", settings.genome) for split in SCORED_SPLITS}
    covered = _Covered()
    for batch in read_batches(train, ["sequence", "source", "chrom", "start", "end"], rows=2**12):
        letters = codes_of(batch["sequence"])
        for part in parts.values():
            part.kmers.look(*letters)
        covered.add(batch)
    runs = covered.runs()
    return {
        "corpus": settings.corpus,
        "k": K,
        "covered": COVERED,
        "splits": {split: part.facts(runs) for split, part in parts.items()},
    }


class _Records:
    """A split's records, their k-mers and their places."""

    def __init__(self, path: Path, genome: str | None) -> None:
        self.number = pq.read_metadata(path).num_rows
        held = sample(path, ["id", "sequence", "source", "chrom", "start", "end"], RECORDS, BASES)
        if genome is not None:
            source = pa.repeat(pa.scalar(genome, pa.string()), len(held))
            held = held.set_column(held.schema.get_field_index("source"), "source", source)
        self._ids = held["id"].to_pylist()
        self._letters, self._offsets = codes_of(held["sequence"].combine_chunks())
        self._places = [] if not len(held) else located(held.combine_chunks().to_batches()[0])
        self.kmers = KmerSet(K, self._letters, self._offsets)

    def facts(self, runs: dict[Key, NDArray[np.int64]]) -> dict[str, Any]:
        """Counts, given the merged windows of the corpus on each chromosome."""
        lengths = np.diff(self._offsets)
        by_sequence = self.kmers.covered(self._letters, self._offsets) >= COVERED * np.maximum(lengths, 1)
        by_position = np.zeros(len(lengths), bool)
        compared = 0
        genomes = {source for source, _ in runs}
        for key, rows, places in self._places:
            compared += len(rows) if key[0] in genomes else 0
            if key in runs:
                inside = np.diff(_upto(runs[key], places), axis=1)[:, 0]
                by_position[rows] = inside >= COVERED * np.maximum(places[:, 1] - places[:, 0], 1)
        found = by_sequence | by_position
        return {
            "records": self.number,
            "compared": len(lengths),
            "found": int(found.sum()),
            "by_sequence": int(by_sequence.sum()),
            "located": compared,
            "by_position": int(by_position.sum()) if compared else None,
            "too_short": int((lengths < K).sum()),
            "examples": [self._ids[row] for row in np.flatnonzero(found)[:EXAMPLES].tolist()],
        }


class _Covered:
    """What the windows of a stream cover of each chromosome."""

    def __init__(self) -> None:
        self._parts: dict[Key, list[NDArray[np.int64]]] = defaultdict(list)

    def add(self, batch: pa.RecordBatch) -> None:
        """Note the windows of some rows; neighbours are merged, so memory holds their runs only."""
        for key, _, places in located(batch):
            parts = self._parts[key]
            parts.append(_merged(places))
            if len(parts) > 1 and parts[-2][-1, 1] >= parts[-1][0, 0]:
                parts[-2:] = [_merged(np.concatenate(parts[-2:]))]

    def runs(self) -> dict[Key, NDArray[np.int64]]:
        """Maximal covered intervals of each chromosome, (n, 2), ascending."""
        return {key: _merged(np.concatenate(parts)) for key, parts in self._parts.items()}


def _merged(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Intervals (n, 2) with those that overlap or touch joined, ascending."""
    ordered = places[np.argsort(places[:, 0], kind="stable")]
    ends = np.maximum.accumulate(ordered[:, 1])
    first = np.flatnonzero(np.concatenate(([True], ordered[1:, 0] > ends[:-1])))
    return np.stack([ordered[first, 0], ends[np.append(first[1:], len(ends)) - 1]], axis=1)


def _upto(runs: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many bases before each place lie in the runs; the shape of `places`."""
    before = np.concatenate(([0], np.cumsum(runs[:, 1] - runs[:, 0])))
    index = np.searchsorted(runs[:, 0], places, side="right")
    beyond = np.maximum(runs[index - 1, 1] - places, 0)
    return np.where(index == 0, 0, before[index] - beyond)
