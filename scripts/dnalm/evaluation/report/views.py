"""Values for the templates of sections that compare runs, as text."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from dnalm.evaluation.report import charts, seeds
from dnalm.evaluation.report.descriptions import Metric
from dnalm.evaluation.report.results import Dataset, Group, Run
from dnalm.evaluation.report.text import between, count, decimal, listed, p_value, signed

ORDER = {"model": 0, "baseline": 1, "reference": 2}
"""Kinds of groups in the order of a legend."""
_DIFFERENT = 0.02
"""Differences of MCC or correlation from this on tint a cell of the strata."""


def styles(groups: Sequence[Group]) -> dict[str, charts.Style]:
    """How each group is drawn, by name."""
    models = [group.name for group in groups if not group.is_baseline]
    return {
        group.name: charts.baseline_style(group.runs[0].recipe)
        if group.is_baseline
        else charts.model_style(models.index(group.name))
        for group in groups
    }


def ranked(dataset: Dataset) -> list[Group]:
    """Groups by the mean of the primary metric on test, best first; ties in the order of the config."""
    primary = dataset.description.primary
    return sorted(dataset.groups, key=lambda group: -primary.sign * (group.mean(primary.name) or 0.0))


def run_name(run: Run, group: Group) -> str:
    """A run's name, with its seed if the group has several."""
    return f"{group.name}, seed {run.seed}" if len(group.runs) > 1 else group.name


_LEAST_SPAN = 0.01
"""Shortest span of an axis."""


class Scale:
    """An axis from `low` to `high` in per cent of its width, with ticks at round numbers."""

    def __init__(self, values: Iterable[float], most: float = 1.0) -> None:
        """Span the values; from 0 unless all are above 0.6, where 0 would hide their differences."""
        known = list(values)
        high = min(max(known), most)
        low = min(*known, high - _LEAST_SPAN)
        if 0 <= low < 0.6:
            low, high = 0.0, most
        step = _step((high - low) / 5)
        self.low, self.high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        steps = round((self.high - self.low) / step)
        values = (self.low + (self.high - self.low) * i / steps for i in range(steps + 1))
        self.ticks = [(self.place(value), decimal(value, places)) for value in values]

    def place(self, value: float) -> str:
        """The position of a value in per cent, clipped to the axis."""
        return f"{100 * min(max((value - self.low) / (self.high - self.low), 0.0), 1.0):.2f}"


def _step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def forest(dataset: Dataset) -> dict[str, Any]:
    """The primary metric of every group on test with its interval, on one scale; a line marks the baseline to beat."""
    groups = ranked(dataset)
    look = styles(dataset.groups)
    metric = dataset.description.primary
    bounds = {group.name: group.interval(metric.name) or () for group in groups}
    shown = [value for group in groups for value in (*group.values(metric.name), *bounds[group.name])]
    scale = Scale(shown, max(shown, default=1.0) if dataset.is_corpus else 1.0)
    rows: list[dict[str, Any]] = [
        {
            "name": group.name,
            "note": "",
            "style": look[group.name],
            "kind": group.kind,
            "status": "",
            "x": scale.place(group.mean(metric.name) or 0.0),
            "bar": [scale.place(bound) for bound in bounds[group.name]],
            "seeds": [scale.place(value) for value in group.values(metric.name)] if len(group.runs) > 1 else [],
            "value": metric.text(group.mean(metric.name)),
            "range": between(*bounds[group.name]) if bounds[group.name] else "",
        }
        for group in groups
    ]
    primary = dataset.comparison["primary"]
    rival = primary and dataset.group(f"baseline/{primary['against']}")
    about = f"Test {metric.prose}. " + "; ".join(
        f"{row['name']}: {row['value']}{_bracketed(row['range'])}" for row in rows
    )
    return {
        "rows": rows,
        "axis": f"Test {metric.prose}",
        "ticks": scale.ticks,
        "about": about,
        "mark": scale.place(rival.mean(metric.name) or 0.0) if rival else None,
        "mark_name": rival.name if rival else "",
        "several_seeds": any(row["seeds"] for row in rows),
    }


def _bracketed(text: str) -> str:
    return f" ({text})" if text else ""


def leaderboard(dataset: Dataset) -> dict[str, Any]:
    """One block per group, best first: a row of means and, with several seeds, one row per seed."""
    metrics, groups = dataset.description.metrics, ranked(dataset)
    rivals = [group for group in groups if group.kind != "reference"]
    means = {metric.name: [group.mean(metric.name) for group in rivals] for metric in metrics}
    best = {
        metric.name: metric.best([value for value in means[metric.name] if value is not None]) for metric in metrics
    }
    blocks = []
    for group in groups:
        several = len(group.runs) > 1
        cells = [_cell(group, metric, best[metric.name]) for metric in metrics]
        cells += [_validated(group, metrics[0]), _size(*{run.metrics["n"] for run in group.runs})]
        note = seeds.brief(group, dataset.description)
        rows = [{"name": group.name, "kind": group.kind, "is_seed": False, "cells": cells, "note": note}]
        for run in group.runs if several else []:
            single = Group([run])
            cells = [_plain(metric, single.mean(metric.name), _interval(single, metric)) for metric in metrics]
            cells += [_validated(single, metrics[0]), _size(run.metrics["n"])]
            note = seeds.brief(single, dataset.description)
            rows.append({"name": f"seed {run.seed}", "kind": "", "is_seed": True, "cells": cells, "note": note})
        blocks.append(rows)
    notes = [
        (run_name(run, group), note)
        for group in groups
        for run in group.runs
        if (note := run.metrics["intervals_note"])
    ]
    titles = [metric.title for metric in metrics]
    return {"columns": [*titles, f"Validation {titles[0]}", "n"], "blocks": blocks, "notes": notes}


def _cell(group: Group, metric: Metric, best: str | None) -> dict[str, Any]:
    value, values = group.mean(metric.name), group.values(metric.name)
    several = len(values) > 1
    spread = metric.between(min(values), max(values)) if several else _interval(group, metric)
    is_best = value is not None and metric.text(value) == best and group.kind != "reference"
    marks = {"best": is_best, "of_seeds": several}
    return _plain(metric, value, spread) | marks


def _interval(group: Group, metric: Metric) -> str:
    bounds = group.interval(metric.name)
    return metric.between(*bounds) if bounds else ""


def _validated(group: Group, metric: Metric) -> dict[str, Any]:
    return _plain(metric, group.mean(metric.name, "validation"))


def _plain(metric: Metric, value: float | None, spread: str = "") -> dict[str, Any]:
    return {"text": metric.text(value), "sort": value, "best": False, "range": spread, "of_seeds": False}


def _size(*sizes: int) -> dict[str, Any]:
    return {
        "text": " / ".join(map(count, sorted(sizes))),
        "sort": max(sizes),
        "best": False,
        "range": "",
        "of_seeds": False,
    }


def search(dataset: Dataset) -> str:
    """How many settings each side tried on validation, as an unequal search favours one; empty if none tried several.

    A model tries as many as it has recipes.
    """
    counts = Counter(group.runs[0].model for group in dataset.models)
    tried = {group.name: len(group.runs[0].record["baseline"].get("tried", ())) for group in dataset.baselines}
    several = {name: count for name, count in tried.items() if count > 1}
    if not several and max(counts.values(), default=0) < 2:
        return ""
    words = listed([f"{name} {count}" for name, count in (*several.items(), *counts.items())])
    return f"Settings tried on validation: {words} (`datasets.{dataset.name}.baseline_settings` limits the baselines')."


def comparisons(dataset: Dataset) -> list[dict[str, Any]]:
    """Comparisons, one row each: the primary one, others with the best baseline, then those with another model.

    tag: what sets a row apart.
    """
    found, primary = dataset.comparison, dataset.comparison["primary"]
    against_baseline = [primary, *found["others"]] if primary else []
    return [
        *(
            _compared(dataset, one, f"baseline/{one['against']}", "primary" if one is primary else "")
            for one in against_baseline
        ),
        *(_compared(dataset, one, f"baseline/{one['against']}", "") for one in found["rivals"]),
        *(_compared(dataset, one, f"{one['against']}/{one['recipe']}", "random twin") for one in found["twins"]),
        *(_compared(dataset, one, f"baseline/{one['against']}", "reference") for one in found["references"]),
    ]


def _compared(dataset: Dataset, one: dict[str, Any], against: str, tag: str) -> dict[str, Any]:
    group, rival = dataset.group(f"{one['model']}/{one['recipe']}"), dataset.group(against)
    withheld = one["low"] is None
    return {
        "name": group.name if group else f"{one['model']} · {one['recipe']}",
        "against": rival.name if rival else one["against"],
        "tag": tag,
        "difference": signed(one["difference"]),
        "interval": "withheld" if withheld else between(one["low"], one["high"]),
        "p": p_value(one["p"]),
        "holm": "" if tag == "primary" else p_value(one["p_holm"]),
        "said": one["note"] if withheld else _said(one, dataset.description.primary.sign),
        "detectable": decimal(one["detectable"]),
    }


def _said(one: dict[str, Any], sign: int) -> str:
    if not one["significant"]:
        return "not shown to differ"
    return "better" if sign * one["difference"] > 0 else "worse"


def strata(dataset: Dataset) -> list[dict[str, Any]]:
    """A heat map of the primary metric per axis: rows are groups, columns bins; last row: best model minus rival."""
    primary = dataset.comparison["primary"]
    sides = (f"{primary['model']}/{primary['recipe']}", f"baseline/{primary['against']}") if primary else None
    result = []
    for axis in dataset.comparison["strata"]:
        bins = axis["bins"]
        rivals = [group.key for group in dataset.groups if group.kind != "reference"]
        best = [
            max((part["values"][key] for key in rivals if part["values"][key] is not None), default=None)
            for part in bins
        ]
        rows = []
        for group in ranked(dataset):
            values = [part["values"].get(group.key) for part in bins]
            cells = map(_heat, values, best if group.kind != "reference" else [None] * len(bins))
            rows.append({"name": group.name, "kind": group.kind, "cells": list(cells)})
        difference = [_tinted(part["values"], *sides) for part in bins] if sides else []
        names = [found.name if (found := dataset.group(side)) else side for side in sides or ()]
        heads = [
            {"label": part["label"], "n": count(part["n"]), "groups": f"{part['groups_effective']:,.0f}"}
            for part in bins
        ]
        empty = [f"{part['label']}: {part['note']}" for part in bins if part["note"]]
        result.append(
            {
                "title": axis["title"],
                "note": axis["note"],
                "empty": empty,
                "heads": heads,
                "rows": rows,
                "difference": difference,
                "names": " − ".join(names),
            }
        )
    return result


def _heat(value: float | None, best: float | None) -> dict[str, Any]:
    level = None if value is None else round(10 * max(value, 0.0))
    return {"text": decimal(value, 2), "level": level, "best": value is not None and value == best}


def _tinted(values: dict[str, float | None], model: str, rival: str) -> dict[str, str]:
    left, right = values.get(model), values.get(rival)
    if left is None or right is None:
        return {"text": "–", "tone": "none"}
    tone = "none" if abs(left - right) < _DIFFERENT else "above" if left > right else "below"
    return {"text": signed(left - right, 2), "tone": tone}
