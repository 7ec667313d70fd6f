"""The report's drawn charts of one data set, with the words beneath them."""

from typing import Any

import pandas as pd

from dnalm.evaluation.report import charts
from dnalm.evaluation.report.results import Dataset, Run
from dnalm.evaluation.report.text import decimal
from dnalm.evaluation.report.views import ranked, run_name, styles
from dnalm.evaluation.statistics.curves import precision_recall, roc
from dnalm.names import METRICS

_TRAINING, _VALIDATION = "#0072B2", "#D55E00"
_CRITERIA = {"mcc": "MCC", "accuracy": "accuracy", "macro_f1": "macro F1", "loss": "loss"}


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
    criterion = recipe.get("best_metric") or METRICS[recipe["objective"]][0]
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


def reliability(dataset: Dataset) -> list[dict[str, Any]]:
    """A reliability plot for each group: how often a probability came true, one line a seed."""
    look = styles(dataset.groups)
    result = []
    for number, group in enumerate(ranked(dataset.groups)):
        bins = [run.metrics["calibration"]["bins"] for run in group.runs]
        error = decimal(group.mean("ece"))
        chart = charts.reliability_chart(
            bins, look[group.name], group.name, f"{dataset.name}-reliability{number}", f"Calibration error {error}."
        )
        result.append({"name": group.name, "chart": chart})
    return result
