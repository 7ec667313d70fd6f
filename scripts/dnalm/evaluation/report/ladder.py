"""The ladder: the same models and baselines on data sets that remove one shortcut after another."""

from collections.abc import Sequence
from typing import Any

from dnalm.evaluation.report import charts
from dnalm.evaluation.report.overview import page_of
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.table_links import file
from dnalm.evaluation.report.text import MISSING, between, decimal, listed, per_cent, signed
from dnalm.evaluation.report.views import ORDER, styles

REFERENCES = {"trf": "Tandem Repeats Finder"}
"""Baselines that made the labels, as they are called in a sentence."""


def ladder(rungs: Sequence[Dataset]) -> dict[str, Any]:
    """The primary metric of every run group on every rung, from the top down; changes are relative to the first."""
    groups: dict[str, Group] = {}
    for rung in rungs:
        for group in rung.groups:
            groups.setdefault(group.key, group)
    everywhere = [group for group in rungs[0].groups if all(rung.group(group.key) for rung in rungs)]
    columns = sorted(groups.values(), key=lambda group: ORDER[group.kind])
    look = styles(columns)
    rows: list[dict[str, Any]] = [
        {
            "name": rung.name,
            "page": page_of(rung),
            "cells": [_cell(rung, rungs[0], group.key) for group in columns],
        }
        for rung in rungs
    ]
    series = [(look[group.name], group.kind, [_point(rung, group.key) for rung in rungs]) for group in columns]
    said = (
        ", ".join(f"{group.name} {cell['text']}" for group, cell in zip(columns, row["cells"], strict=True))
        for row in rows
    )
    about = "; ".join(f"{rung.name}: {text}" for rung, text in zip(rungs, said, strict=True))
    metric = rungs[0].description.primary
    drawn = charts.ladder_chart([rung.name for rung in rungs], series, f"Test {metric.prose}", "ladder", f"{about}.")
    filed = [
        [rung.name, group.key, metric.name, *point]
        for rung in rungs
        for group in columns
        if (point := _point(rung, group.key))
    ]
    return {
        "metric": metric.prose,
        "columns": [{"name": group.name, "kind": group.kind} for group in columns],
        "rows": rows,
        "chart": drawn,
        "legend": [{"name": group.name, "style": look[group.name]} for group in columns],
        "summary": _summary(rungs, [group for group in everywhere if group.kind == "model"]),
        "file": file("ladder", ("dataset", "run_group", "metric", "value", "low", "high"), filed),
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
        return {"text": MISSING, "range": "", "change": "", "collapsed": ""}
    value, low, high = point
    change = signed(value - origin[0]) if origin and rung is not first else ""
    interval = "" if low is None or high is None else between(low, high)
    return {"text": decimal(value), "range": interval, "change": change, "collapsed": _collapsed(rung.group(key))}


def _collapsed(group: Group | None) -> str:
    """How many runs answer one class only, if any does."""
    if group is None or not group.collapsed:
        return ""
    return f"{len(group.collapsed)} of {len(group.runs)} collapsed" if len(group.runs) > 1 else "collapsed"


def _summary(rungs: Sequence[Dataset], models: Sequence[Group]) -> list[str]:
    """Each shared model's metric on the first and the last rung, and where it scores above the reference."""
    first, last, metric = rungs[0], rungs[-1], rungs[0].description.primary
    sentences = []
    for model in models:
        top, bottom = (rung.group(model.key) for rung in (first, last))
        start, end = (group.mean(metric.name) if group else None for group in (top, bottom))
        if start is None or end is None:
            continue
        left = f", {per_cent(round(end / start, 2))} of it" if start > 0 and end >= 0 else ""
        text = f"{model.name}: {metric.prose} {decimal(start)} on {first.name}, {decimal(end)} on {last.name}{left}."
        for reference, name in REFERENCES.items():
            if above := [rung.name for rung in rungs if _beats(rung, model.key, reference)]:
                text += f" It scores above {name} on {listed(above)}, by the interval of the paired difference."
        sentences.append(text)
    return sentences


def _beats(rung: Dataset, model: str, reference: str) -> bool:
    """Whether the interval of the paired difference from the reference lies above 0."""
    return any(
        f"{one['model']}/{one['recipe']}" == model and one["against"] == reference and (one["low"] or 0.0) > 0
        for one in rung.comparison["references"]
    )
