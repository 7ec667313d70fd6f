"""The parts of the report that show runs: what the template lays out, already in words and figures."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dnalm.evaluation import charts
from dnalm.evaluation.curves import precision_recall, roc
from dnalm.evaluation.results import Dataset, Group, Run
from dnalm.evaluation.text import as_yaml, count, decimal

COLUMNS = {
    "mcc": "MCC",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "auroc": "AUROC",
    "auprc": "AUPRC",
}
_TRAINING, _VALIDATION = "#0072B2", "#D55E00"
_CRITERIA = {"mcc": "MCC", "accuracy": "accuracy", "macro_f1": "macro F1", "loss": "loss"}


def styles(groups: Sequence[Group]) -> dict[str, charts.Style]:
    """How each group is drawn, by name."""
    models = [group.name for group in groups if not group.is_baseline]
    return {
        group.name: charts.baseline_style(group.runs[0].recipe)
        if group.is_baseline
        else charts.model_style(models.index(group.name))
        for group in groups
    }


def ranked(groups: Sequence[Group]) -> list[Group]:
    """Groups by mean test MCC, best first; equal ones as in the config."""
    return sorted(groups, key=lambda group: -(group.mean("mcc") or 0.0))


def run_name(run: Run, group: Group) -> str:
    """A run's name, with its seed where there are several."""
    return f"{group.name}, seed {run.seed}" if len(group.runs) > 1 else group.name


def strip(groups: Sequence[Group]) -> dict[str, Any]:
    """Test MCC of every group on one scale from 0 (or from the lowest value, if that is negative) to 1."""
    look = styles(groups)
    low = min([0.0, *(value for group in groups for value in group.values("mcc"))])

    def place(value: float) -> str:
        return f"{100 * (value - low) / (1 - low):.2f}"

    rows = [
        {
            "name": group.name,
            "style": look[group.name],
            "is_baseline": group.is_baseline,
            "x": place(group.mean("mcc") or 0.0),
            "seeds": [place(value) for value in group.values("mcc")] if len(group.runs) > 1 else [],
            "value": decimal(group.mean("mcc")),
        }
        for group in ranked(groups)
    ]
    ticks = [(place(tick), f"{tick:g}") for tick in (-1, -0.5, 0, 0.25, 0.5, 0.75, 1) if tick >= low]
    about = "Test MCC. " + "; ".join(f"{row['name']}: {row['value']}" for row in rows)
    return {"rows": rows, "ticks": ticks, "about": about}


def leaderboard(groups: Sequence[Group]) -> dict[str, Any]:
    """One row a run, best group first; above the runs of several seeds, a row with their means and ranges."""
    best = {}
    for metric in COLUMNS:
        known = [round(value, 3) for group in groups if (value := group.mean(metric)) is not None]
        best[metric] = max(known, default=None)
    rows = []
    for group in ranked(groups):
        several = len(group.runs) > 1
        kind = "baseline" if group.is_baseline else "model"
        cells = [_cell(group.mean(metric), best[metric], group.values(metric)) for metric in COLUMNS]
        sizes = sorted({run.metrics["n"] for run in group.runs})
        row = {"name": group.name, "kind": kind, "is_seed": False}
        cells += [_plain(decimal(group.mean("mcc", "validation"))), _plain(" / ".join(map(count, sizes)))]
        rows.append({**row, "cells": cells, "note": f"mean of {len(group.runs)} seeds" if several else ""})
        for run in group.runs if several else []:
            cells = [_plain(decimal(run.metrics[metric])) for metric in COLUMNS]
            cells += [_plain(decimal(run.metrics["validation"]["mcc"])), _plain(count(run.metrics["n"]))]
            rows.append({"name": f"seed {run.seed}", "kind": "", "is_seed": True, "cells": cells, "note": ""})
    return {"columns": [*COLUMNS.values(), "Validation MCC", "n"], "rows": rows}


def _cell(value: float | None, best: float | None, values: Sequence[float]) -> dict[str, Any]:
    spread = f"{decimal(min(values))} to {decimal(max(values))}" if len(values) > 1 else ""
    return {"text": decimal(value), "best": value is not None and round(value, 3) == best, "range": spread}


def _plain(text: str) -> dict[str, Any]:
    return {"text": text, "best": False, "range": ""}


def training(dataset: Dataset) -> list[dict[str, Any]]:
    """The training log of every model run, as two charts; a log of one row as a sentence."""
    result = []
    for number, (group, run) in enumerate(dataset.members):
        if run.log is not None:
            key = f"{dataset.name}-log{number}"
            result.append({"name": run_name(run, group), **_log(run, run.log, key)})
    return result


def _log(run: Run, log: pd.DataFrame, key: str) -> dict[str, Any]:
    recipe = run.record["spec"]["recipe"]
    kept = log.loc[(log["epoch"] - run.record["best_epoch"]).abs().idxmin()]
    if recipe["method"] == "none":
        note = f"Nothing was trained: the checkpoint was scored as it is (validation loss {kept.validation_loss:.4f})."
        return {"note": note, "charts": []}
    criterion = recipe["best_metric"]
    direction = "lowest" if criterion == "loss" else "highest"
    note = (
        f"Epoch {kept.epoch:g} of {log['epoch'].max():g} was kept"
        f" ({direction} validation {_CRITERIA[criterion]}; dashed line)."
    )
    losses = {"training_loss": ("training", _TRAINING), "validation_loss": ("validation", _VALIDATION)}
    shown = [
        charts.log_chart(log, losses, "Loss", float(kept.epoch), f"{key}-loss"),
        charts.log_chart(log, {"mcc": ("validation", _VALIDATION)}, "MCC", float(kept.epoch), f"{key}-mcc"),
    ]
    return {"note": note, "charts": shown}


def curves(dataset: Dataset) -> dict[str, Any]:
    """ROC and precision-recall curves of all runs of a data set, with one legend; the charts may be none."""
    look = styles(dataset.groups)
    shown = []
    for kind, curve, metric in (("roc", roc, "auroc"), ("precision_recall", precision_recall, "auprc")):
        lines = [
            (look[group.name], points)
            for group, run in dataset.members
            if (points := curve(run.predictions["test"])) is not None
        ]
        areas = "; ".join(f"{group.name} {decimal(group.mean(metric))}" for group in ranked(dataset.groups))
        if lines:
            shown.append(charts.curves_chart(lines, kind, f"{dataset.name}-{kind}", f"Areas: {areas}."))
    legend = [{"name": group.name, "style": look[group.name]} for group in ranked(dataset.groups)]
    return {"charts": shown, "legend": legend}


def confusions(dataset: Dataset, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The confusion matrix of every run: counts, and per cent of the row, which also shades the cell."""
    result = []
    for group in ranked(dataset.groups):
        for run in group.runs:
            rows = []
            for label, counts in zip(labels, run.metrics["confusion_matrix"], strict=True):
                total = sum(counts)
                shares = [number / total if total else 0.0 for number in counts]
                cells = [
                    {
                        "count": count(number),
                        "share": f"{100 * share:.1f} %" if total else "",
                        "level": round(share * 10),
                    }
                    for number, share in zip(counts, shares, strict=True)
                ]
                rows.append({"label": label, "cells": cells})
            result.append({"name": run_name(run, group), "rows": rows})
    return result


def records(dataset: Dataset) -> list[dict[str, str]]:
    """What made each run: a line on what it is, where and how long it ran, and its run.json as text."""
    result = []
    for group, run in dataset.members:
        record = run.record
        seconds = record["seconds"]
        time = f"{seconds:,.{0 if seconds >= 10 else 1}f} s on {record['device']}"
        what = _baseline(record["baseline"]) if run.is_baseline else _model(run)
        result.append({"name": group.name, "what": what, "time": time, "text": as_yaml(record)})
    return result


def _baseline(account: dict[str, Any]) -> str:
    chosen = ", ".join(f"{name} = {value:g}" for name, value in sorted(account["chosen"].items()))
    return f"{account['description']}{f'; {chosen}' if chosen else ''}"


def _model(run: Run) -> str:
    record = run.record
    origin = f"from {record['spec']['checkpoint']}" if record["spec"]["checkpoint"] else "from random weights"
    facts = [f"{record['parameters']:,} parameters", origin, f"seed {run.seed}"]
    if record["max_tokens"] is not None:
        facts.insert(1, f"at most {record['max_tokens']:,} tokens")
    return ", ".join(facts)
