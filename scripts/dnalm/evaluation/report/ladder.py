"""The ladder: the same models and baselines on data sets that remove one shortcut after another."""

from collections.abc import Sequence
from typing import Any

from dnalm.evaluation.report import charts
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.text import between, decimal, listed, per_cent, signed
from dnalm.evaluation.report.views import styles

_ORDER = {"model": 0, "baseline": 1, "reference": 2}


def ladder(datasets: Sequence[Dataset]) -> dict[str, Any] | None:
    """The primary metric of every run group on every data set, in the config's order.

    None unless all data sets share the objective and a model. Changes are relative to the first data set.
    """
    if len({rung.description.objective for rung in datasets}) > 1:
        return None
    shared = (
        [group for group in datasets[0].groups if all(rung.group(group.key) for rung in datasets)] if datasets else []
    )
    if len(datasets) < 2 or not any(group.kind == "model" for group in shared):
        return None
    groups: dict[str, Group] = {}
    for rung in datasets:
        for group in rung.groups:
            groups.setdefault(group.key, group)
    columns = sorted(groups.values(), key=lambda group: _ORDER[group.kind])
    look = styles(columns)
    rows: list[dict[str, Any]] = [
        {
            "name": rung.name,
            "key": f"data-{rung.name}",
            "cells": [_cell(rung, datasets[0], group.key) for group in columns],
        }
        for rung in datasets
    ]
    series = [(look[group.name], group.kind, [_point(rung, group.key) for rung in datasets]) for group in columns]
    said = (
        ", ".join(f"{group.name} {cell['text']}" for group, cell in zip(columns, row["cells"], strict=True))
        for row in rows
    )
    about = "; ".join(f"{rung.name}: {text}" for rung, text in zip(datasets, said, strict=True))
    metric = datasets[0].description.primary
    drawn = charts.ladder_chart([rung.name for rung in datasets], series, f"Test {metric.prose}", "ladder", f"{about}.")
    return {
        "metric": metric.prose,
        "columns": [{"name": group.name, "kind": group.kind} for group in columns],
        "rows": rows,
        "chart": drawn,
        "legend": [{"name": group.name, "style": look[group.name]} for group in columns],
        "summary": _summary(datasets, [group for group in shared if group.kind == "model"]),
    }


def _point(rung: Dataset, key: str) -> tuple[float, float | None, float | None] | None:
    group, metric = rung.group(key), rung.description.primary.name
    value = group.mean(metric) if group else None
    if group is None or value is None:
        return None
    return (value, *(group.interval(metric) or (None, None)))


def _cell(rung: Dataset, first: Dataset, key: str) -> dict[str, str]:
    point, origin = _point(rung, key), _point(first, key)
    if point is None:
        return {"text": "–", "range": "", "change": ""}
    value, low, high = point
    change = signed(value - origin[0]) if origin and rung is not first else ""
    interval = "" if low is None or high is None else between(low, high)
    return {"text": decimal(value), "range": interval, "change": change}


def _summary(datasets: Sequence[Dataset], models: Sequence[Group]) -> list[str]:
    """Each shared model's metric on the first and the last rung, and where it scores above the reference."""
    first, last, metric = datasets[0], datasets[-1], datasets[0].description.primary
    sentences = []
    for model in models:
        top, bottom = (rung.group(model.key) for rung in (first, last))
        start, end = (group.mean(metric.name) if group else None for group in (top, bottom))
        if start is None or end is None:
            continue
        left = f", {per_cent(round(end / start, 2))} of it" if start > 0 and end >= 0 else ""
        text = f"{model.name}: {metric.prose} {decimal(start)} on {first.name}, {decimal(end)} on {last.name}{left}."
        above = [rung.name for rung in datasets if _beats(rung, model.key, "baseline/trf")]
        if above:
            text += f" It scores above Tandem Repeats Finder on {listed(above)}."
        sentences.append(text)
    return sentences


def _beats(rung: Dataset, model: str, other: str) -> bool:
    left, right = _point(rung, model), _point(rung, other)
    return left is not None and right is not None and left[0] > right[0]
