"""Shortcut probes: how well something that is not the biology tells what a model is to learn.

A probe is a linear model (scikit-learn: logistic for labels, ridge for numbers) of one simple property of the
sequences. All splits are pooled: what is asked is whether the data set gives its answers away, and nothing that is
fitted here is used again. Each record is scored by a model that saw none of its group, so that no twin or relative of it was fitted.
Nothing here is random.
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
    """A probe: what it `found` by the measure named `metric`; `status` is pass, warn or fail, `note` a sentence.

    excused: whether what it looks at is known not to be a shortcut, so that it fails nothing.
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
        """The probe as audit.json holds it."""
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
    """Run every probe on `records` (columns sequence, label or target, group and optionally soft_masked), and judge it.

    limits: the config's `audit`; it has the value above which a lower bound fails, and `effective_groups`, below which
    no interval is given. On kind `repeats` periodicity is what the label means, so that it warns at most.
    """
    column = truth_column(records)
    truth, measure = records[column].to_numpy(np.float64 if column == TARGET else np.int64), MEASURES[column]
    codes = pd.factorize(records["group"], sort=True)[0]
    effective = measure.effective(truth, codes)
    folds = _folds(codes)
    probes = []
    with threadpool_limits(limits=1):  # sums in another order would be another result
        for name, matrix in tqdm(features(records, tokens), desc="probes", unit="probe", mininterval=1):
            found = measure.cross_validated(matrix, truth, codes, folds)
            if effective < limits["effective_groups"]:
                found = Bounded(found.value)
            probes.append(Probe(name, measure.metric, found, len(records), effective))
    control = next(probe.found for probe in probes if probe.name == CONTROL)
    limit = limits[measure.limit]
    return [
        _judged(probe, measure, limit, control, kind == "repeats" and probe.name == "periodicity") for probe in probes
    ]


def _folds(codes: np.ndarray) -> np.ndarray:
    """The fold of each record, (n,): groups are never divided, the largest are dealt out first."""
    folds = np.zeros(len(codes), dtype=np.int64)
    number = min(FOLDS, int(codes.max(initial=-1)) + 1)
    if number > 1:
        for fold, (_, rows) in enumerate(GroupKFold(number).split(codes, groups=codes)):
            folds[rows] = fold
    return folds


def _judged(probe: Probe, measure: Measure, limit: float, control: Bounded, meant: bool) -> Probe:
    """The probe with its status and note. control: of bases inside; meant: whether the label means this property."""
    what, found, chance = title(probe.name), probe.found, measure.chance
    if probe.name == CONTROL:
        note = "A control: what composition tells at any place; the ends are judged against it."
        return replace(probe, note=note, excused=True)
    if found.value is None:
        return replace(probe, status="warn", note=measure.undefined)
    if found.low is None or found.high is None:
        groups = f"{probe.groups_effective:.1f} {measure.counted}"
        status = "warn" if found.value > measure.noteworthy else "pass"
        return replace(probe, status=status, note=f"Interval not given: {groups}, too few to judge {what} by.")
    if found.high < chance and found.value < 2 * chance - measure.noteworthy:
        return replace(probe, status="warn", note=measure.below.format(what))
    if found.low <= chance or found.value <= measure.noteworthy:
        return replace(probe, note=measure.none.format(what))
    if probe.name in ENDS and (control.value or 0.0) >= found.low:
        told = f"{measure.title} {decimal(control.value)}"
        note = f"Composition, not the ends: as many bases from inside tell as much ({told})."
        return replace(probe, status="warn", note=note, excused=True)
    if meant:
        note = (
            "This is what the label means, no flaw of the data: a model earns credit only by what it adds to this one"
            f" number ({measure.title} {decimal(found.value)}), so compare it with the baseline `periodicity`."
        )
        return replace(probe, status="warn", note=note, excused=True)
    if found.low > limit:
        return replace(probe, status="fail", note=measure.strong.format(what))
    return replace(probe, status="warn", note=measure.weak.format(what))
