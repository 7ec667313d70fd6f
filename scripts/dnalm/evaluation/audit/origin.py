"""Origin: do labels or targets follow where records come from: chromosome, place on it, strand, source, batch, order?

A model never sees these, but sequences of one place or one batch have more in common than the label. Measured like the
shortcut probes: out of fold, groups together, one column for each category.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dnalm.evaluation.audit.checks import Check, Subject, check, sentence, worst
from dnalm.evaluation.audit.composition import one_hot
from dnalm.evaluation.audit.family import beyond_chance, sample_groups
from dnalm.evaluation.audit.measures import MEASURES
from dnalm.evaluation.audit.probes import Probe, group_codes, measure
from dnalm.evaluation.audit.properties import Features
from dnalm.evaluation.report.text import decimal, listed, plural
from dnalm.names import LABEL, TARGET
from dnalm.tables.sequences import LOCUS, TABLE

BATCH = "batch"
OPTIONAL = ("chrom", "start", "strand", "source", BATCH, *LOCUS)
"""Columns of a sequence table that say where a record comes from; each may be absent or empty."""
MOST_RECORDS = 50_000
"""Records, of whole groups at random, on which origins are probed."""
MOST_CATEGORIES = 100
"""The most frequent categories have a column each; the others share one."""
BINS = 10
"""Stretches of a chromosome with as many records each."""
STRETCHES = 20
"""Stretches of a table's rows."""
_FEWEST_IN_BIN = 10
_NAMES = {
    "chromosome": "the chromosome",
    "place": "the place on the chromosome",
    "strand": "the strand",
    "source": "the source",
    "batch": "the batch",
    "order": "the order of rows in the table",
}
_ROW = re.compile(r"^(.+)-([0-9]+)$")
"""An id that `import_table` made: the part of the table and the number of the row."""


def find_origins(subject: Subject, records: pd.DataFrame) -> list[Probe]:
    """How well each known origin predicts the label or target, not yet judged.

    records: columns id, label or target, group and any of `OPTIONAL`. An origin that is unknown, that all records
    share, or that is known of one class alone is left out; so are, on kind `repeats`, the sources, which are by design,
    and the order, which is the workflow's own.
    """
    records = records.iloc[sample_groups(group_codes(records), MOST_RECORDS)].reset_index(drop=True)
    found: list[Probe] = []
    for name, codes in _origins(subject, records):
        known = codes >= 0
        truth = records.loc[known, subject.truth]
        if len(np.unique(codes[known])) > 1 and truth.nunique() > 1:
            features: Features = one_hot(_frequent(codes[known]), MOST_CATEGORIES + 1)
            found += measure([(name, features)], records[known], subject.limits)
    return found


def _origins(subject: Subject, records: pd.DataFrame) -> Iterator[tuple[str, np.ndarray]]:
    """Each origin and its category for every record, -1 where it is not known, (n,)."""
    chromosomes, starts = _places(records)
    yield "chromosome", _codes(chromosomes)
    yield "place", _stretches(_codes(chromosomes), starts, BINS)
    if "strand" in records:
        yield "strand", _codes(records["strand"])
    if BATCH in records:
        yield "batch", _codes(records[BATCH])
    if subject.kind != "repeats":
        if "source" in records:
            yield "source", _codes(records["source"])
        parts, rows = _rows(records)
        if subject.truth == TARGET or not _sorted_by_class(parts, rows, records[LABEL].to_numpy()):
            yield "order", _stretches(parts, rows, STRETCHES)


def _codes(values: pd.Series) -> np.ndarray:
    """Categories as integers from 0 in the order of their names; -1 for a missing or empty one."""
    return np.asarray(pd.factorize(values.where(values.notna() & (values.astype(str) != ""), None), sort=True)[0])


def _frequent(codes: np.ndarray) -> np.ndarray:
    """Codes by frequency, the rarest ones as the code `MOST_CATEGORIES`."""
    counts = np.bincount(codes)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.asarray(rank[codes].clip(max=MOST_CATEGORIES))


def _places(records: pd.DataFrame) -> tuple[pd.Series, np.ndarray]:
    """Chromosome, without `chr`, and start of each record: on the genome, else on the catalogue's own assembly."""
    chromosomes = pd.Series(None, index=records.index, dtype=object)
    starts = np.full(len(records), np.nan)
    for chromosome, start in (LOCUS[:2], ("chrom", "start")):
        if chromosome in records:
            known = records[chromosome].notna().to_numpy()
            chromosomes[known] = records.loc[known, chromosome].astype(str).str.removeprefix("chr")
            if start in records:
                starts[known] = records.loc[known, start].to_numpy(np.float64, na_value=np.nan)
    return chromosomes, starts


def _rows(records: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The part of the table that each record is from, -1 for none, and the number of its row, both (n,)."""
    from_table = records["source"] == TABLE if "source" in records else pd.Series(True, index=records.index)
    made = records["id"].astype(str).str.extract(_ROW)
    parts = made[0].where(from_table & made[0].isin(["table", "train", "validation", "test"]), None)
    return _codes(parts), made[1].astype(float).to_numpy()


def _sorted_by_class(parts: np.ndarray, rows: np.ndarray, labels: np.ndarray) -> bool:
    """Whether the rows of every part are ordered by class: that is tidiness, and says nothing of the records."""
    for part in np.unique(parts[parts >= 0]):
        here = np.flatnonzero(parts == part)
        ordered = labels[here[np.argsort(rows[here])]]
        if np.count_nonzero(np.diff(ordered)) != len(np.unique(ordered)) - 1:
            return False
    return True


def _stretches(parts: np.ndarray, places: np.ndarray, number: int) -> np.ndarray:
    """At most `number` stretches of each part with as many records each, as codes; -1 where the place is not known."""
    codes, first = np.full(len(parts), -1), 0
    for part in np.unique(parts[parts >= 0]):
        here = np.flatnonzero((parts == part) & np.isfinite(places))
        bins = min(number, len(here) // _FEWEST_IN_BIN)
        if bins:
            edges = np.quantile(places[here], np.linspace(0, 1, bins + 1)[1:-1])
            codes[here] = first + np.searchsorted(edges, places[here], side="right")
            first += bins
    return codes


def origin(subject: Subject, probes: list[Probe], records: pd.DataFrame) -> Check | None:
    """The probes of origins as a check, given their corrected p values; None if no origin is known.

    Fail: the lower bound of the interval is above the limit of shortcuts; the order of rows only warns. Warn: beyond
    chance and noteworthy. records: those that were probed.
    """
    if not probes:
        return None
    measure_of, limit = MEASURES[subject.truth], subject.limits[MEASURES[subject.truth].limit]
    noteworthy = [
        probe for probe in probes if beyond_chance(probe) and (probe.found.value or 0.0) > measure_of.noteworthy
    ]
    statuses = {
        probe.name: "fail" if probe.name != "order" and (probe.found.low or 0.0) > limit else "warn"
        for probe in noteworthy
    }
    follows = "targets follow" if subject.truth == TARGET else "labels follow"
    words = [
        f"{_NAMES[probe.name]} ({measure_of.title} {decimal(probe.found.value)}, 95 % interval"
        f" {decimal(probe.found.low)} to {decimal(probe.found.high)})"
        for probe in noteworthy
    ]
    parts = [f"the {follows} {listed(words)}"] if words else []
    if {"chromosome", "place"} & set(statuses) and subject.truth == LABEL:
        parts.append(_spans(subject, records))
    names = listed([_NAMES[probe.name] for probe in probes])
    tested = [probe for probe in probes if probe.found.low is not None]
    clean = f"The {follows} none of these: {names}." if tested else f"Too few groups to assess {names}."
    unjudged = ["warn"] if probes and not tested else []
    value = max((probe.found.low or 0.0 for probe in noteworthy), default=None)
    return check(
        "origin", "Origin of the records", worst([*statuses.values(), *unjudged]), sentence(parts, ". ") or clean,
        "Sequences from one place, one batch or one file have more in common than what is to be learnt: a model may"
        " learn to tell where a record is from.",
        _against(subject), value, limit,
        origins=[{**probe.as_json(), "status": statuses.get(probe.name, "pass")} for probe in probes],
    )  # fmt: skip


def _against(subject: Subject) -> str:
    if subject.kind == "repeats":
        return (
            f"Draw negatives from the chromosomes that the positives are on: give {subject.key('genome')} all of them,"
            f" or restrict {subject.key('catalogue')} to those of the genome; {subject.key('split.method')}: chromosome"
            " then tests on chromosomes apart."
        )
    all_of = "records with high and low targets" if subject.truth == TARGET else "the records of all classes"
    return (
        f"Take {all_of} from the same chromosomes, batches and files, or divide the splits by them"
        f" ({subject.key('split.method')}), so that the test split is from elsewhere."
    )


def _spans(subject: Subject, records: pd.DataFrame) -> str:
    """Where the records of each class lie."""
    chromosomes, starts = _places(records)
    words = []
    for label in sorted(records[LABEL].unique()):
        here = (records[LABEL] == label).to_numpy() & chromosomes.notna().to_numpy()
        on = sorted(chromosomes[here].unique())
        name = subject.labels.get(int(label), str(label))
        known = starts[here][np.isfinite(starts[here])]
        if len(on) == 1 and len(known):
            span = f"all from {decimal(known.min() / 1e6, 1)} to {decimal(known.max() / 1e6, 1)} Mb of {_chr(on[0])}"
        else:
            span = f"from {_chr(on[0])} alone" if len(on) == 1 else f"from {plural(len(on), 'chromosome')}"
        named = f"label {label}" if name == str(label) else f"label {label} ({name})"
        words.append(f"{named}: {here.sum():,} records, {span}")
    return "; ".join(words)


def _chr(name: Any) -> str:
    """A chromosome as people write it."""
    return f"chr{name}" if str(name).isdigit() or name in ("X", "Y", "M") else f"chromosome {name}"
