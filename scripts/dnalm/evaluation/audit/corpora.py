"""The audit of a corpus: what test windows share with training windows, and whether the splits are large enough.

The training split is read once as a stream; of the test split a sample is held. Memory does not grow with the corpus.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dnalm.evaluation.audit import checks
from dnalm.evaluation.audit.checks import Check, Subject, above, check
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.report.text import percent
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import SPLITS
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.containment import KmerSet, signatures
from dnalm.tables.corpora import Key, codes_of, located, read_batches, sample

K = 31
"""Length of the k-mers that are looked for in train: two unrelated sequences rarely share one."""
SAMPLE, SAMPLE_BASES = 50_000, 5_000_000
"""Test records whose sequences are compared with train: so many, and about so many bases, at most."""
FEW_BASES = 10_000
"""Fewer bases in a split give a warning."""
REPETITIVE = 0.5
"""A larger share of the test bases in 31-mers of train gives a warning."""


@dataclass(frozen=True)
class Facts:
    """What the three tables of a corpus hold. sampled: test records compared with train, `copied` of them equal."""

    records: Mapping[str, int]
    bases: Mapping[str, int]
    groups: NDArray[np.int64]
    sampled: int
    sampled_bases: int
    copied: int
    covered: int
    located: int
    overlapping: int
    examples: list[str]


def examine(data: Path) -> Facts:
    """Read the tables of a folder: test first, then train once."""
    records, bases, groups, places = dict.fromkeys(SPLITS, 0), dict.fromkeys(SPLITS, 0), [], _Places()
    for batch in read_batches(data / "test.parquet", ["group", "source", "chrom", "start", "end"]):
        groups.extend(batch["group"].to_pylist())
        places.add(batch)
    places.finish()
    for split in SPLITS:
        for batch in read_batches(data / f"{split}.parquet", ["sequence"]):
            records[split] += len(batch)
            bases[split] += int(pc.sum(pc.binary_length(batch["sequence"])).as_py() or 0)
    (held,) = sample(data / "test.parquet", ["id", "sequence"], SAMPLE, SAMPLE_BASES).to_batches()
    letters, offsets = codes_of(held["sequence"])
    kmers = KmerSet(K, letters, offsets)
    copies = _Copies(held)
    for batch in read_batches(data / "train.parquet", ["sequence", "source", "chrom", "start", "end"], rows=2**12):
        theirs = codes_of(batch["sequence"])
        kmers.look(*theirs)
        copies.look(batch["sequence"], signatures(*theirs))
        places.look(batch)
    return Facts(
        records=records,
        bases=bases,
        groups=pd.factorize(np.array(groups, object))[0],
        sampled=len(held),
        sampled_bases=len(letters),
        copied=int(copies.found.sum()),
        covered=int(kmers.covered(letters, offsets).sum()),
        located=places.number,
        overlapping=places.overlapping(),
        examples=[held["id"][int(row)].as_py() for row in np.flatnonzero(copies.found)[:5]],
    )


class _Copies:
    """Which sequences of a sample occur in a stream, on either strand."""

    def __init__(self, held: pa.RecordBatch) -> None:
        self._sequences = held["sequence"]
        numbers = signatures(*codes_of(held["sequence"]))
        self._order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[self._order]
        self.found = np.zeros(len(held), bool)

    def look(self, sequences: pa.Array, numbers: NDArray[np.uint64]) -> None:
        low, high = (np.searchsorted(self._numbers, numbers, side=side) for side in ("left", "right"))
        for row in np.flatnonzero(high > low).tolist():
            theirs = sequences[row].as_py()
            for mine in self._order[low[row] : high[row]].tolist():
                if not self.found[mine]:  # equal numbers only suggest equal sequences
                    own = self._sequences[mine].as_py()
                    self.found[mine] = own in (theirs, reverse_complement(theirs))


class _Places:
    """Test windows by source and chromosome, and which of them overlap windows of a stream."""

    def __init__(self) -> None:
        self._parts: dict[Key, list[NDArray[np.int64]]] = defaultdict(list)
        self._windows: dict[Key, NDArray[np.int64]] = {}
        self._change: dict[Key, NDArray[np.int64]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        for key, _, places in located(batch):
            self._parts[key].append(places)

    def finish(self) -> None:
        for key, parts in self._parts.items():
            windows = np.concatenate(parts)
            self._windows[key] = windows[np.argsort(windows[:, 0], kind="stable")]
            self._change[key] = np.zeros(len(windows) + 1, np.int64)
        self._parts.clear()

    @property
    def number(self) -> int:
        return sum(map(len, self._windows.values()))

    def look(self, batch: pa.RecordBatch) -> None:
        for key, _, places in located(batch):
            if (mine := self._windows.get(key)) is None:
                continue
            # windows of one length: those that overlap follow each other
            first = np.searchsorted(mine[:, 1], places[:, 0], side="right")
            last = np.searchsorted(mine[:, 0], places[:, 1], side="left")
            some = last > first
            np.add.at(self._change[key], first[some], 1)
            np.add.at(self._change[key], last[some], -1)

    def overlapping(self) -> int:
        return sum(int((np.cumsum(change[:-1]) > 0).sum()) for change in self._change.values())


def audit_corpus(
    subject: Subject, facts: Facts, tokens: Mapping[str, TokenCounts], seen: Check | None = None
) -> dict[str, Any]:
    """The content of audit.json for a corpus, in the form of `findings.audit`. seen: the check `pretraining`."""
    made = [
        sizes(subject, facts),
        *([overlapping_windows(subject, facts)] if facts.located else []),
        shared_sequences(subject, facts),
        shared_kmers(subject, facts),
        *([seen] if seen else []),
        *([checks.overlong(subject, tokens), checks.unknown_tokens(subject, tokens)] if tokens else []),
        checks.effective_groups(subject, Groups.of(facts.groups)),
    ]
    return checks.report(subject, made)


def sizes(subject: Subject, facts: Facts) -> Check:
    """Records and bases of each split."""
    least = min(facts.bases.values())
    few = [f"{split} has only {facts.bases[split]:,} bases" for split in SPLITS if facts.bases[split] < FEW_BASES]
    found = (
        checks.sentence(few)
        or "; ".join(f"{split} {facts.records[split]:,} records, {facts.bases[split]:,} bases" for split in SPLITS)
        + "."
    )
    return check(
        "sizes", "Size of the splits", "fail" if not least else "warn" if few else "pass", found,
        "Bits per base of a few thousand bases say little about a genome.",
        f"Give larger {subject.key('split.fractions')} or {subject.key('max_records')}, or more sequence.",
        least, FEW_BASES,
        records=dict(facts.records), bases=dict(facts.bases),
    )  # fmt: skip


def overlapping_windows(subject: Subject, facts: Facts) -> Check:
    """Test windows that share positions of the genome with a training window."""
    number, total = facts.overlapping, facts.located
    found = (
        f"{number:,} of {total:,} test windows ({percent(number, total)}) overlap a training window."
        if number
        else "No test window overlaps a training window."
    )
    return check(
        "overlapping_windows", "Test windows that overlap train", "fail" if number else "pass", found,
        "The same bases were learnt in training, so their bits measure memory.",
        f"{subject.key('split.method')}: stretch or chromosome, or a {subject.key('stride')} not below the window.",
        number / total, 0.0,
        overlapping=number, windows=total,
    )  # fmt: skip


def shared_sequences(subject: Subject, facts: Facts) -> Check:
    """Test sequences that are copies of a training sequence, on either strand."""
    value, limit = facts.copied / facts.sampled, subject.limits["duplicates"]
    which = "" if facts.sampled == facts.records["test"] else f", evenly spread over all {facts.records['test']:,},"
    found = (
        f"{facts.copied:,} of {facts.sampled:,} test records{which} ({percent(facts.copied, facts.sampled)}) occur in "
        "train as they are or as reverse complements."
        if facts.copied
        else f"None of {facts.sampled:,} test records{which} occurs in train, on either strand."
    )
    return check(
        "shared_sequences", "Test sequences that occur in train",
        "warn" if 0 < value <= limit else above(value, limit), found,
        "Genomes hold long exact repeats, so a few are natural; many mean that the corpus repeats itself.",
        f"Remove repeated sequences, or lower {subject.key('max_soft_masked')};"
        f" {subject.key('audit.duplicates')} is the limit.",
        value, limit,
        copied=facts.copied, sampled=facts.sampled, examples=facts.examples,
    )  # fmt: skip


def shared_kmers(subject: Subject, facts: Facts) -> Check:
    """Test bases in 31-mers that occur in train."""
    value = facts.covered / max(facts.sampled_bases, 1)
    return check(
        "shared_kmers", f"Test bases in {K}-mers of train", "warn" if value > REPETITIVE else "pass",
        f"{facts.covered:,} of {facts.sampled_bases:,} test bases ({percent(facts.covered, facts.sampled_bases)}) lie"
        f" in {K}-mers that occur in train, on either strand.",
        "Repeats of a genome are in both splits by nature; where they are much of the test split, bits per base measure"
        " how well repeats are remembered.",
        f"Lower {subject.key('max_soft_masked')}, or read the bits of unmasked bases.",
        value, REPETITIVE,
        covered=facts.covered, bases=facts.sampled_bases, k=K,
    )  # fmt: skip
