"""The index: a verdict a line for each data set, and all of their primary comparisons in one table."""

from collections.abc import Mapping, Sequence
from typing import Any

from dnalm.config.variants import Variant
from dnalm.evaluation.report import seeds
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.table_links import file
from dnalm.evaluation.report.text import MISSING, between, decimal, p_value, signed
from dnalm.evaluation.report.verdict import verdict
from dnalm.evaluation.statistics.across import over_splits
from dnalm.evaluation.statistics.comparison import holm

_COLUMNS = ("Data set", "Best model", "Baseline to beat", "Difference", "p", "p, over data sets", "Test records")
_FILED = (
    "dataset", "splits", "model", "recipe", "against", "metric", "value", "value_sd", "against_value", "difference",
    "difference_sd", "low", "high", "p", "p_over_data_sets", "n",
)  # fmt: skip


def page_of(dataset: Dataset) -> str:
    """The address of a data set's page, from the index."""
    return f"{dataset.name}.html"


def variants_of(
    base: Dataset, datasets: Sequence[Dataset], variants: Mapping[str, Variant], varied: str
) -> list[Dataset]:
    """The variants of a data set that differ from it in what is `varied`, by value."""
    found = [
        dataset
        for dataset in datasets
        if (variant := variants.get(dataset.name)) and variant.base == base.name and variant.varied == varied
    ]
    return sorted(found, key=lambda dataset: variants[dataset.name].value)


def overview(datasets: Sequence[Dataset], variants: Mapping[str, Variant], confidence: float) -> dict[str, Any]:
    """The entries and the table of the index, without variants of a data set, which stand with their base.

    Of a data set with several splits, the table has means over the splits, and their SD.
    """
    bases = [dataset for dataset in datasets if dataset.name not in variants]
    splits = {base.name: [base, *variants_of(base, datasets, variants, "split seed")] for base in bases}
    fewer = {base.name: variants_of(base, datasets, variants, "train records") for base in bases}
    compared = [base for base in bases if base.comparison["primary"]]
    found = [_figures(splits[base.name], confidence) for base in compared]
    rows, filed = [], []
    for base, figures, p in zip(compared, found, holm([figures["p"] for figures in found]), strict=True):
        figures |= {"p_over_data_sets": p}
        rows.append({"name": base.name, "page": page_of(base), "cells": _cells(base, figures)})
        filed.append([figures[name] for name in _FILED])
    return {
        "entries": [_entry(base, splits[base.name][1:], fewer[base.name], confidence) for base in bases],
        "columns": _COLUMNS,
        "rows": rows,
        "file": file("overview", _FILED, filed),
        "note": _note(len(rows), any(len(members) > 1 for members in splits.values())),
    }


def _note(compared: int, several: bool) -> str:
    said = "The best model and the baseline to beat were chosen on validation; the metric is that of the test split."
    if compared > 1:
        said += f" p is that of one data set alone; “over data sets” corrects it for the {compared} of them (Holm)."
    if several:
        said += (
            " Where a data set was split several times, figures are means over the splits with their SD (±); the"
            " interval and p allow for the records that splits share (corrected resampled t test: Nadeau and Bengio"
            " 2003)."
        )
    return said


def _entry(base: Dataset, splits: Sequence[Dataset], fewer: Sequence[Dataset], confidence: float) -> dict[str, Any]:
    said = verdict(base, confidence)
    collapsed = [
        f"{one.name}: {group.name}, {seeds.brief(group, one.description)}."
        for one in (base, *splits, *fewer)
        for group in one.models
        if group.collapsed
    ]
    more = [("Other splits", splits), ("Fewer training records", fewer)]
    return {
        "name": base.name,
        "page": page_of(base),
        "tone": said.tone,
        "headline": said.headline,
        "audit": f"Audit: {said.audit}",
        "audit_status": said.audit_status,
        "remarks": collapsed,
        "more": [(title, [(one.name, page_of(one)) for one in found]) for title, found in more if found],
    }


def _figures(splits: Sequence[Dataset], confidence: float) -> dict[str, Any]:
    """The primary comparison of the first split, its figures averaged over the splits that ran both groups."""
    base = splits[0]
    primary = base.comparison["primary"]
    keys = (f"{primary['model']}/{primary['recipe']}", f"baseline/{primary['against']}")
    pairs = [
        (values[0], values[1])
        for values in ([_value(one, key) for key in keys] for one in splits)
        if None not in values
    ]
    several = len(pairs) > 1
    sizes = {split: base.manifest["splits"][split]["records"] for split in ("test", "train")}
    sides = list(zip(*pairs, strict=True)) if pairs else [(primary["value"],), (primary["against_value"],)]
    ratio = sizes["test"] / sizes["train"]
    one, other = (over_splits(side, ratio, confidence) for side in sides)
    difference = over_splits([a - b for a, b in zip(*sides, strict=True)], ratio, confidence)
    return {
        "dataset": base.name,
        "splits": len(sides[0]),
        **{key: primary[key] for key in ("model", "recipe", "against", "metric")},
        "value": one.mean,
        "value_sd": one.sd,
        "against_value": other.mean,
        "difference": difference.mean,
        "difference_sd": difference.sd,
        "low": difference.low if several else primary["low"],
        "high": difference.high if several else primary["high"],
        "p": difference.p if several else primary["p"],
        "n": sizes["test"],
    }


def _value(dataset: Dataset, key: str) -> float | None:
    group = dataset.group(key)
    return group.mean(dataset.description.primary.name) if group else None


def _cells(base: Dataset, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    metric = base.description.primary
    names = [base.group(key) for key in (f"{figures['model']}/{figures['recipe']}", f"baseline/{figures['against']}")]
    best, rival = (_name(group) for group in names)
    spread = "" if figures["value_sd"] is None else f" ± {decimal(figures['value_sd'])}"
    around = "withheld" if figures["low"] is None else between(figures["low"], figures["high"])
    if figures["splits"] > 1:
        around += f", {figures['splits']} splits"
    return [
        _cell(f"{metric.text(figures['value'])}{spread}", figures["value"], f"{metric.title}, {best}"),
        _cell(metric.text(figures["against_value"]), figures["against_value"], rival),
        _cell(signed(figures["difference"]), figures["difference"], around),
        _cell(p_value(figures["p"]), figures["p"]),
        _cell(p_value(figures["p_over_data_sets"]), figures["p_over_data_sets"]),
        _cell(f"{figures['n']:,}", figures["n"]),
    ]


def _name(group: Group | None) -> str:
    return group.name if group else MISSING


def _cell(text: str, sort: float | None, below: str = "") -> dict[str, Any]:
    return {"text": text, "sort": sort, "range": below}
