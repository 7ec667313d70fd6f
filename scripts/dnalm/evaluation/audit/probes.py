"""Shortcut probes: how well one simple property of the sequences predicts labels or targets.

A probe is a linear model (scikit-learn: logistic for labels, ridge for targets) of one property. All splits are pooled:
the question is whether the data set has shortcuts, and no fitted model is used again. Folds keep groups together, so no
record is scored by a model fitted on a relative. Deterministic.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from dnalm.evaluation.audit.family import LEVEL, beyond_chance, sample_groups
from dnalm.evaluation.audit.measures import MEASURES, Measure
from dnalm.evaluation.audit.properties import (
    COMPOSITION,
    CONTROL_OF,
    OF_REPEATS,
    Features,
    features,
    title,
    wide_features,
)
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.report.text import decimal
from dnalm.evaluation.statistics.bounded import Bounded
from dnalm.names import TARGET
from dnalm.tables.sequences import truth_column

FOLDS = 5
LARGEST = 1 / 30
"""Largest share of the records that are taken from one group."""
MOST_RECORDS = 20_000
"""Records, of whole groups at random, on which probes with thousands of columns are run."""


@dataclass(frozen=True)
class Probe:
    """The result of a probe: `found` is the value of `metric`, `status` is pass, warn or fail, `note` a sentence.

    excused: whether its property is known not to be a shortcut, so that it cannot fail the audit. p_holm: the p value
    against chance, corrected over all tests of the audit.
    """

    name: str
    metric: str
    found: Bounded
    records: int
    groups_effective: float
    status: str = "pass"
    note: str = ""
    excused: bool = False
    p_holm: float | None = None

    @property
    def p(self) -> float | None:
        """The p value against chance; None where there is no interval, and for controls, which are not judged."""
        return None if self.name in CONTROL_OF.values() else self.found.p

    def as_json(self) -> dict[str, Any]:
        """The probe's entry in audit.json."""
        rounded = {
            key: None if number is None else round(number, 6)
            for key, number in (("value", self.found.value), ("low", self.found.low), ("high", self.found.high))
        } | {"p_holm": None if self.p_holm is None else float(f"{self.p_holm:.3g}")}
        counts = {"n": self.records, "groups_effective": round(self.groups_effective, 1)}
        return {
            "probe": self.name,
            "metric": self.metric,
            **rounded,
            **counts,
            "status": self.status,
            "note": self.note,
        }


def measure_probes(records: pd.DataFrame, tokens: Mapping[str, TokenCounts], limits: Mapping[str, Any]) -> list[Probe]:
    """Every probe on `records` (columns sequence, label or target, group, optionally soft_masked), not yet judged.

    limits: the config's `audit`, with `effective_groups`, the minimum for an interval.
    """
    measured = [*measure(features(records, tokens), records, limits)]
    sample = records.iloc[sample_groups(group_codes(records), MOST_RECORDS)]
    return [*measured, *measure(wide_features(sample["sequence"].tolist()), sample, limits)]


def measure(
    properties: Iterable[tuple[str, Features]], records: pd.DataFrame, limits: Mapping[str, Any]
) -> Iterator[Probe]:
    """How well each property predicts the labels or targets of `records`, out of fold."""
    column = truth_column(records)
    truth = records[column].to_numpy(np.float64 if column == TARGET else np.int64)
    of, codes = MEASURES[column], group_codes(records)
    effective, folds = of.effective(truth, codes), _folds(codes)
    with threadpool_limits(limits=1):  # the order of sums would change results
        for name, matrix in tqdm(properties, desc="probes", unit="probe", mininterval=1):
            found = of.cross_validated(matrix, truth, codes, folds)
            if effective < limits["effective_groups"]:
                found = Bounded(found.value)
            yield Probe(name, of.metric, found, len(records), effective)


def thin_groups(records: pd.DataFrame) -> np.ndarray:
    """Row numbers, ascending, of at most `LARGEST` of the records of each group, at random; all of the smaller groups.

    Without this, one large family would leave too few effective groups to judge anything.
    """
    codes = group_codes(records)
    shuffled = np.random.default_rng(0).permutation(len(codes))
    order = shuffled[np.argsort(codes[shuffled], kind="stable")]
    counts = np.bincount(codes)
    rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(order[rank < np.ceil(LARGEST * len(codes))])


def group_codes(records: pd.DataFrame) -> np.ndarray:
    """The group of each record as an integer from 0, (n,)."""
    return np.asarray(pd.factorize(records["group"], sort=True)[0])


def judge(probes: Sequence[Probe], truth: str, limits: Mapping[str, Any], kind: str) -> list[Probe]:
    """The probes with status and note, given their corrected p values. truth: the column to predict.

    Pass: within chance, or hardly above it (`Measure.noteworthy`). Fail: the lower bound of the interval is above the
    config's limit. Else, warn. A place in the sequence that predicts no better than its control, k-mer composition, and
    on kind `repeats` what a repeat is, warn at most.
    """
    values = {probe.name: probe.found.value for probe in probes}
    count = sum(probe.p is not None for probe in probes)
    judged = []
    for probe in probes:
        control = values.get(CONTROL_OF.get(probe.name, ""))
        judged.append(_judged(probe, MEASURES[truth], limits, control, kind, count))
    return judged


def _folds(codes: np.ndarray) -> np.ndarray:
    """The fold of each record, (n,); groups are not divided, the largest are assigned first."""
    folds = np.zeros(len(codes), dtype=np.int64)
    number = min(FOLDS, int(codes.max(initial=-1)) + 1)
    if number > 1:
        for fold, (_, rows) in enumerate(GroupKFold(number).split(codes, groups=codes)):
            folds[rows] = fold
    return folds


def _judged(
    probe: Probe, measure: Measure, limits: Mapping[str, Any], control: float | None, kind: str, count: int
) -> Probe:
    """The probe with its status and note. control: the value of its control; count: probes that were tested."""
    name, found, chance = title(probe.name), probe.found, measure.chance
    if probe.name in CONTROL_OF.values():
        note = (
            "A control: how well composition alone predicts at any place; places in the sequence are compared with it."
        )
        return replace(probe, note=note, excused=True)
    if found.value is None:
        return replace(probe, status="warn", note=measure.undefined)
    if found.low is None or found.high is None:
        groups = f"{probe.groups_effective:.1f} {measure.counted}"
        return replace(probe, note=f"Interval not given: {groups}, too few to assess {name}.")
    if abs(found.value - chance) <= measure.noteworthy - chance:
        return replace(probe, note=measure.none.format(name))
    if not beyond_chance(probe):
        note = f"Within chance, p above {LEVEL:g} corrected for all {count} probes and the other tests of this audit."
        return replace(probe, note=note)
    if found.value < chance:
        return replace(probe, status="warn", note=measure.below.format(name))
    if control is not None and control >= found.low:
        value = f"{measure.title} {decimal(control)}"
        note = f"Composition, not the place: bases from other places predict as well ({value})."
        return replace(probe, status="warn", note=note, excused=True)
    if kind == "repeats" and probe.name in OF_REPEATS:
        note = (
            "This is what the label means, not a flaw of the data: compare models with the baseline `periodicity`, as"
            f" only what they add to this number counts ({measure.title} {decimal(found.value)})."
        )
        return replace(probe, status="warn", note=note, excused=True)
    if probe.name in COMPOSITION:
        note = (
            "Composition, which is often what is to be learnt, and no flaw by itself: compare models with the baselines"
            f" `kmer` and `boosting`, as only what they add counts ({measure.title} {decimal(found.value)})."
        )
        return replace(probe, status="warn", note=note, excused=True)
    if found.low > limits[measure.limit]:
        return replace(probe, status="fail", note=measure.strong.format(name))
    return replace(probe, status="warn", note=measure.weak.format(name))
