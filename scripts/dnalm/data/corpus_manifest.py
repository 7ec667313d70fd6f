"""A corpus' manifest: what its splits hold, counted while they are written."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dnalm.config.stages.data import WindowCorpusSettings
from dnalm.data.attrition import QUANTILES
from dnalm.names import SPLITS
from dnalm.sequence.kmers import is_gc
from dnalm.tables.corpora import codes_of


class Tally:
    """Counts of one split's rows."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.sources: Counter[str] = Counter()
        self.turned: Counter[str] = Counter()
        self.bases = self.soft_masked = 0
        self.lengths: Counter[float] = Counter()
        self.gc: Counter[float] = Counter()

    @property
    def records(self) -> int:
        """Number of rows."""
        return self.sources.total()

    def add(self, rows: pa.Table) -> None:
        """Count rows of a corpus table."""
        for strand, counter in ((None, self.sources), ("-", self.turned)):
            some = rows if strand is None else rows.filter(pc.equal(rows["strand"], strand))
            found = pc.value_counts(some["source"]).to_pylist()
            counter.update({one["values"]: one["counts"] for one in found})
        for chunk in rows["sequence"].chunks:
            letters, offsets = codes_of(chunk)
            upto = np.concatenate(([0], np.cumsum(is_gc(letters), dtype=np.int64)))
            lengths = np.diff(offsets)
            self.bases += len(letters)
            _count(self.lengths, lengths)
            _count(self.gc, np.round((upto[offsets[1:]] - upto[offsets[:-1]]) / np.maximum(lengths, 1), 3))
        for chunk in rows["soft_masked"].chunks:
            ends = chunk.flatten().to_numpy()
            self.soft_masked += int(ends[1::2].sum() - ends[::2].sum())

    def facts(self, groups: int) -> dict[str, Any]:
        """A split's entry in the manifest. groups: its number of stretches, or of sequences."""
        return {
            "records": self.records,
            "bases": self.bases,
            "soft_masked_bases": self.soft_masked,
            "sources": dict(sorted(self.sources.items())),
            "groups": groups,
            "length": {"all": _summary(self.lengths)},
            "gc": {"all": _summary(self.gc)},
        }


def _count(counter: Counter[float], values: NDArray[Any]) -> None:
    found, numbers = np.unique(values, return_counts=True)
    counter.update(dict(zip(found.tolist(), numbers.tolist(), strict=True)))


def _summary(counts: Mapping[float, int]) -> dict[str, Any]:
    """n, mean and quartiles (with linear interpolation) of numbers that occur so often, as `attrition.summary` has."""
    values, numbers = np.array(sorted(counts)), np.array([counts[value] for value in sorted(counts)])
    total = int(numbers.sum())
    upto = np.cumsum(numbers)
    result = {"n": total, "mean": round(float(values @ numbers / total), 6)}
    for name, share in QUANTILES.items():
        below, part = divmod(share * (total - 1), 1)
        low, high = (values[np.searchsorted(upto, min(below + step, total - 1), side="right")] for step in (0, 1))
        result[name] = round(float(low + part * (high - low)), 6)
    return result


def manifest(
    lines: Sequence[Mapping[str, Any]],
    tallies: Mapping[str, Tally],
    counts: NDArray[np.int64],
    settings: WindowCorpusSettings,
) -> dict[str, Any]:
    """The manifest of a corpus. lines: the ledger. counts: windows of each stretch by split, (stretches, splits)."""
    sizes, spread = counts.sum(axis=1), int(((counts > 0).sum(axis=1) > 1).sum())
    number, largest = int((sizes > 0).sum()), int(sizes.max())
    unit = f"a stretch of {settings.split.stretch:,} bases" if settings.genomes else "a sequence of the table"
    warnings = []
    if spread:
        warnings.append(
            f"{spread:,} of {number:,} stretches have windows in more than one split (split: {settings.split.method}), "
            "so test windows have neighbours in train, and scores may be optimistic."
        )
    return {
        "ledger": list(lines),
        "splits": {split: tallies[split].facts(int((counts[:, code] > 0).sum())) for code, split in enumerate(SPLITS)},
        "groups": {
            "number": number,
            "largest": largest,
            "largest_fraction": round(largest / int(sizes.sum()), 6),
            "in_several_splits": spread,
            "definition": [unit],
        },
        "labels": {},
        "warnings": warnings,
    }
