"""Shortcut probes: how well one simple property of the sequences predicts labels or targets.

A probe is a linear model (scikit-learn: logistic for labels, ridge for targets) of one property. All splits are pooled:
the question is whether the data set has shortcuts, and no fitted model is used again. Folds keep groups together, so no
record is scored by a model fitted on a relative. Deterministic.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from dnalm.evaluation.audit.measures import MEASURES, Measure
from dnalm.evaluation.audit.properties import CONTROL, ENDS, features, title
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.report.text import decimal
from dnalm.evaluation.statistics.bounded import Bounded
from dnalm.names import TARGET
from dnalm.tables.sequences import truth_column

FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """The result of a probe: `found` is the value of `metric`, `status` is pass, warn or fail, `note` a sentence.

    excused: whether its property is known not to be a shortcut, so that it cannot fail the audit.
    """

    name: str
    metric: str
    found: Bounded
    records: int
    groups_effective: float
    status: str = "pass"
    note: str = ""
    excused: bool = False

    def as_json(self) -> dict[str, Any]:
        """The probe's entry in audit.json."""
        rounded = {
            key: None if number is None else round(number, 6)
            for key, number in (("value", self.found.value), ("low", self.found.low), ("high", self.found.high))
        }
        counts = {"n": self.records, "groups_effective": round(self.groups_effective, 1)}
        return {
            "probe": self.name,
            "metric": self.metric,
            **rounded,
            **counts,
            "status": self.status,
            "note": self.note,
        }


def run_probes(
    records: pd.DataFrame, tokens: Mapping[str, TokenCounts], limits: Mapping[str, Any], kind: str
) -> list[Probe]:
    """Run and assess every probe on `records` (columns sequence, label or target, group, optionally soft_masked).

    limits: the config's `audit`, with the limits of lower bounds and `effective_groups`, the minimum for an interval.
    On kind `repeats` the label means periodicity, so that probe warns at most.
    """
    column = truth_column(records)
    truth, measure = records[column].to_numpy(np.float64 if column == TARGET else np.int64), MEASURES[column]
    codes = pd.factorize(records["group"], sort=True)[0]
    effective = measure.effective(truth, codes)
    folds = _folds(codes)
    probes = []
    with threadpool_limits(limits=1):  # the order of sums would change results
        for name, matrix in tqdm(features(records, tokens), desc="probes", unit="probe", mininterval=1):
            found = measure.cross_validated(matrix, truth, codes, folds)
            if effective < limits["effective_groups"]:
                found = Bounded(found.value)
            probes.append(Probe(name, measure.metric, found, len(records), effective))
    control = next(probe.found for probe in probes if probe.name == CONTROL)
    limit = limits[measure.limit]
    return [
        _assessed(probe, measure, limit, control, kind == "repeats" and probe.name == "periodicity") for probe in probes
    ]


def _folds(codes: np.ndarray) -> np.ndarray:
    """The fold of each record, (n,); groups are not divided, the largest are assigned first."""
    folds = np.zeros(len(codes), dtype=np.int64)
    number = min(FOLDS, int(codes.max(initial=-1)) + 1)
    if number > 1:
        for fold, (_, rows) in enumerate(GroupKFold(number).split(codes, groups=codes)):
            folds[rows] = fold
    return folds


def _assessed(probe: Probe, measure: Measure, limit: float, control: Bounded, is_label: bool) -> Probe:
    """The probe with its status and note. control: result for inner bases; is_label: the label means this property."""
    name, found, chance = title(probe.name), probe.found, measure.chance
    if probe.name == CONTROL:
        note = "A control: how well bases inside the sequence predict; the ends are compared with it."
        return replace(probe, note=note, excused=True)
    if found.value is None:
        return replace(probe, status="warn", note=measure.undefined)
    if found.low is None or found.high is None:
        groups = f"{probe.groups_effective:.1f} {measure.counted}"
        status = "warn" if found.value > measure.noteworthy else "pass"
        return replace(probe, status=status, note=f"Interval not given: {groups}, too few to assess {name}.")
    if found.high < chance and found.value < 2 * chance - measure.noteworthy:
        return replace(probe, status="warn", note=measure.below.format(name))
    if found.low <= chance or found.value <= measure.noteworthy:
        return replace(probe, note=measure.none.format(name))
    if probe.name in ENDS and (control.value or 0.0) >= found.low:
        value = f"{measure.title} {decimal(control.value)}"
        note = f"Composition, not the ends: as many bases from inside predict as well ({value})."
        return replace(probe, status="warn", note=note, excused=True)
    if is_label:
        note = (
            "This is what the label means, not a flaw of the data: compare models with the baseline `periodicity`, as"
            f" only what they add to this number counts ({measure.title} {decimal(found.value)})."
        )
        return replace(probe, status="warn", note=note, excused=True)
    if found.low > limit:
        return replace(probe, status="fail", note=measure.strong.format(name))
    return replace(probe, status="warn", note=measure.weak.format(name))
