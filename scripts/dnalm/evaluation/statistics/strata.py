"""Metrics of each run group on parts of the test split. Exploratory: no part was declared beforehand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.primary import primary_value
from dnalm.names import LABEL, TARGET
from dnalm.tables.predictions import Predictions
from dnalm.tables.sequences import truth_column

QUANTILES = (0.25, 0.5, 0.75)
"""Cuts of a numeric axis; equal values share a bin."""
FEWEST_RECORDS = 30
FEWEST_OF_A_CLASS = 5
"""Records that a bin needs of at least two classes, or it has no MCC."""
NARROW = "targets vary little within a bin, so ranks are harder to predict than over all records"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Axis:
    name: str
    title: str
    bins: list[tuple[str, Mask]]
    """Label and records (n,) of each bin."""
    note: str = ""


def strata(groups: Mapping[str, Sequence[Predictions]], table: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    """MCC or Spearman correlation of each run group (mean over its runs) in bins of the test split, for each axis.

    groups: by name, the test predictions of each run. table: the test split's sequence table. kind: repeats or table.
    Records that a run did not score (overlong ones, say) are left out for all. Each axis is {axis, title, note, bins},
    each bin {label, n, groups_effective, values: {name: metric or None}, note}. Axes with a single value or none are
    left out. Raises `UserError` for a prediction whose id is not in the table, and for run groups without a record in
    common.
    """
    table = _scored_by_all(groups, table)
    rows = {name: [pd.Index(run.ids).get_indexer(table["id"]) for run in runs] for name, runs in groups.items()}
    truth = table[truth_column(table)].to_numpy()
    _, group = np.unique(table["group"].to_numpy(str), return_inverse=True)

    def measured(label: str, chosen: Mask) -> dict[str, Any]:
        number, effective = int(chosen.sum()), Groups.of(group[chosen]).effective
        values: dict[str, float | None] = dict.fromkeys(groups)
        reason = _too_little(truth[chosen])
        if not reason:
            for name, runs in groups.items():
                found = [primary_value(run.take(at[chosen])) for run, at in zip(runs, rows[name], strict=True)]
                values[name] = float(np.mean(found))
        return {"label": label, "n": number, "groups_effective": effective, "values": values, "note": reason}

    return [
        {
            "axis": axis.name,
            "title": axis.title,
            "note": axis.note,
            "bins": [measured(label, chosen) for label, chosen in axis.bins],
        }
        for axis in _axes(table, kind)
        if len(axis.bins) > 1
    ]


def _scored_by_all(groups: Mapping[str, Sequence[Predictions]], table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table that every run has scored."""
    known = pd.Index(table["id"])
    common = np.ones(len(table), bool)
    for name, runs in groups.items():
        for run in runs:
            unknown = ~pd.Index(run.ids).isin(known)
            if unknown.any():
                raise UserError(
                    f"{name}: prediction '{run.ids[unknown.argmax()]}' is not in the test split;"
                    " run it again on this data set"
                )
            common &= known.isin(run.ids)
    if not common.any():
        raise UserError("the runs have no test record in common; run them again on this data set")
    return table[common].reset_index(drop=True)


def _too_little(truth: NDArray[Any]) -> str:
    if len(truth) < FEWEST_RECORDS:
        return f"too few records (fewer than {FEWEST_RECORDS})"
    if truth.dtype.kind == "f":
        return "" if np.ptp(truth) else "one target only"
    counts = np.bincount(truth)
    if np.sum(counts > 0) < 2:
        return "one class only"
    if np.sum(counts >= FEWEST_OF_A_CLASS) < 2:
        return f"too few records of a class (fewer than {FEWEST_OF_A_CLASS})"
    return ""


def _axes(table: pd.DataFrame, kind: str) -> list[_Axis]:
    everyone = np.ones(len(table), bool)
    sequences = table["sequence"].astype(str)
    length = np.asarray(sequences.str.len(), np.float64)
    gc = 100 * np.asarray(sequences.str.count("[GC]"), np.float64) / np.maximum(length, 1)
    size = table.groupby("group")["id"].transform("size").to_numpy(np.float64)
    common = [
        _measured("gc", "GC (%)", gc, everyone, _unchanged),
        _measured("group_size", "Test records in the group", size, everyone, _unchanged),
    ]
    if kind != "repeats":
        by_length = _measured("length", "Length (bases)", length, everyone, _unchanged)
        if LABEL in table:
            return [by_length, *common]
        return [
            _measured("target", "Target", _numbers(table, TARGET), everyone, _unchanged, NARROW),
            by_length,
            *common,
        ]
    arrays = _array_lengths(table, length)
    pairs = _Pairs(table)
    axes = [
        _measured(name, title, values, pairs.positive, pairs.with_negatives, pairs.note)
        for name, title, values in (
            ("motif_length", "Motif length (bases)", _numbers(table, "motif_length")),
            ("copies", "Copies", _numbers(table, "copies")),
            ("divergence", "Divergence (% of the bases)", 100 * _numbers(table, "divergence")),
        )
    ]
    axes.insert(2, _measured("array_length", "Array length (bases)", arrays, everyone, _unchanged))
    sources = table["source"].astype(str).to_numpy(object)
    by_source = [
        (source, pairs.with_positives(~pairs.positive & (sources == source)))
        for source in sorted(set(sources[~pairs.positive]))
    ]
    return [*axes, _Axis("source", "Source of the negatives", by_source, pairs.source_note), *common]


def _unchanged(chosen: Mask) -> Mask:
    return chosen


def _numbers(table: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return table[column].to_numpy(np.float64, na_value=np.nan)


def _array_lengths(table: pd.DataFrame, length: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of each array or window without its flanks; the whole sequence where it has no coordinates."""
    own = _numbers(table, "end") - _numbers(table, "start")
    return np.where(np.isnan(own), length, own)


class _Pairs:
    """Each negative's positive (the one it was drawn for), used if most negatives have theirs in this split."""

    def __init__(self, table: pd.DataFrame) -> None:
        """Look up the column `positive`, if there is one, among the ids."""
        self.positive: Mask = table["label"].to_numpy(np.int64) == 1
        none = np.full(len(table), -1)
        of = pd.Index(table["id"]).get_indexer(table["positive"]) if "positive" in table else none
        self._of = np.where(~self.positive & (of >= 0) & self.positive[of], of, -1)
        self._paired = 2 * int(np.sum(self._of >= 0)) > int(np.sum(~self.positive))
        self.note = (
            "each bin holds its positives and the negatives drawn for them"
            if self._paired
            else "each bin holds its positives and all negatives, as negatives are not paired in this split"
        )
        self.source_note = (
            "each bin holds the negatives of a source and the positives they were drawn for"
            if self._paired
            else "each bin holds the negatives of a source and all positives, as negatives are not paired in this split"
        )

    def with_negatives(self, chosen: Mask) -> Mask:
        """These positives with their paired negatives, or with all negatives if unpaired."""
        if not self._paired:
            return chosen | ~self.positive
        return chosen | ((self._of >= 0) & chosen[self._of])

    def with_positives(self, chosen: Mask) -> Mask:
        """These negatives with their positives, or with all positives if unpaired."""
        if not self._paired:
            return chosen | self.positive
        both = chosen.copy()
        both[self._of[chosen & (self._of >= 0)]] = True
        return both


def _measured(
    name: str,
    title: str,
    values: NDArray[np.float64],
    measured: Mask,
    with_partners: Callable[[Mask], Mask],
    note: str = "",
) -> _Axis:
    """Bins between quantiles of the `measured` records' values; `with_partners` adds those to compare with."""
    present = measured & ~np.isnan(values)
    if not present.any():
        return _Axis(name, title, [], note)
    cuts = np.unique(np.quantile(values[present], QUANTILES, method="inverted_cdf"))
    number = np.searchsorted(cuts, values, side="left")
    parts = [present & (number == i) for i in range(len(cuts) + 1)]
    missing = int(np.sum(measured & ~present))
    notes = [note, f"{missing:,} records without a value are left out" if missing else ""]
    return _Axis(
        name,
        title,
        [(_label(values[part]), with_partners(part)) for part in parts if part.any()],
        "; ".join(filter(None, notes)),
    )


def _label(values: NDArray[np.float64]) -> str:
    """The smallest and the largest value, with at least three digits."""
    low, high = (
        f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
        for value in (values.min(), values.max())
    )
    if low == high:
        return low.replace("-", "−")
    return (" to " if values.min() < 0 else "–").join((low, high)).replace("-", "−")
