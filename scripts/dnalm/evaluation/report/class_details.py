"""Details of the test set for classification: curves, confusion matrices, calibration, rare positives."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from dnalm.evaluation.report import charts
from dnalm.evaluation.report.datacard import Column, Table, label_names
from dnalm.evaluation.report.results import Dataset, Details, Group
from dnalm.evaluation.report.table_links import RUN, Rows, runs
from dnalm.evaluation.report.text import MISSING, between, count, decimal, per_cent
from dnalm.evaluation.report.views import ranked, run_name, styles
from dnalm.evaluation.statistics.curves import Curve, precision_recall, roc
from dnalm.tables.predictions import ClassPredictions

_BOUNDED = ("tpr", "fpr", "fpr_low", "fpr_high", "recall_at_1_percent_fpr", "n_negatives", "negatives")


def of_classes(dataset: Dataset) -> Details:
    """The sections of the page, values for its template, and tables to download."""
    if not dataset.groups:
        return Details({}, {})
    rarely = prevalence(dataset)
    shown = {
        "labels": label_names(dataset),
        "curves": curves(dataset),
        "confused": confused(dataset),
        "confusions": confusions(dataset),
        "prevalence": rarely,
        "reliability": reliability(dataset),
        "calibration": calibration(dataset),
        "thresholds": thresholds(dataset),
    }
    files = {
        "prevalence": _rows_of_prevalence(dataset),
        "calibration": _rows_of_bins(dataset),
        "confusions": _rows_of_confusions(dataset),
    }
    return Details(shown, files)


def curves(dataset: Dataset) -> dict[str, Any]:
    """ROC and precision-recall curves of every group, means over seeds, with one legend; `charts` may be empty."""
    look = styles(dataset.groups)
    shown = []
    for kind, curve, metric in (("roc", roc, "auroc"), ("precision_recall", precision_recall, "auprc")):
        lines = [
            (look[group.name], _thinned(mean, kind == "roc"))
            for group in dataset.groups
            if (mean := _mean(group, curve)) is not None
        ]
        areas = "; ".join(f"{group.name} {decimal(group.mean(metric))}" for group in ranked(dataset))
        if lines:
            shown.append(charts.curves_chart(lines, kind, f"{dataset.name}-{kind}", f"Areas: {areas}."))
    legend = [{"name": group.name, "style": look[group.name]} for group in ranked(dataset)]
    return {"charts": shown, "legend": legend}


def _mean(group: Group, curve: Callable[[ClassPredictions], Curve | None]) -> Curve | None:
    """The mean of the curves of a group's runs, which have their x in common; None where they are not defined."""
    found = [curve(cast("ClassPredictions", run.predictions["test"])) for run in group.runs]
    known = [one for one in found if one is not None]
    return (known[0][0], np.mean([heights for _, heights in known], axis=0)) if known else None


def _thinned(curve: Curve, is_line: bool) -> Curve:
    """The curve without points that change nothing: inside a straight line, or of a step that goes on."""
    x, y = curve[0], curve[1].round(4)
    rises = np.diff(y)
    if is_line:
        steps = np.diff(x)
        rises = rises[1:] * steps[:-1] - rises[:-1] * steps[1:]
        kept = np.concatenate([[True], np.abs(rises) > 1e-7, [True]])
    else:
        kept = np.append(rises != 0, True)
    return x[kept], y[kept]


def reliability(dataset: Dataset) -> list[dict[str, Any]]:
    """A reliability plot for each group, one line per seed."""
    look = styles(dataset.groups)
    result = []
    for number, group in enumerate(ranked(dataset)):
        bins = [run.metrics["calibration"]["bins"] for run in group.runs]
        error = decimal(group.mean("ece"))
        chart = charts.reliability_chart(
            bins, look[group.name], group.name, f"{dataset.name}-reliability{number}", f"Calibration error {error}."
        )
        result.append({"name": group.name, "chart": chart})
    return result


def confused(dataset: Dataset) -> Table:
    """How every run answers the records of each of two labels: a row a run. No rows for more labels."""
    labels = label_names(dataset)
    columns = [f"{true} called {answer}" for true in labels for answer in labels]
    rows = [
        [run_name(run, group), *(count(number) for counts in run.metrics["confusion_matrix"] for number in counts)]
        for group in ranked(dataset)
        for run in group.runs
        if len(labels) == 2
    ]
    return Table("Confusion matrices", "", list(map(Column, ["Run", *columns])), rows)


def confusions(dataset: Dataset) -> list[dict[str, Any]]:
    """The confusion matrix of every group, its seeds added up: counts, and per cent of the row, which shades it."""
    labels, result = label_names(dataset), []
    for group in ranked(dataset):
        rows = []
        for label, *seeds in zip(labels, *(run.metrics["confusion_matrix"] for run in group.runs), strict=True):
            counts = [sum(numbers) for numbers in zip(*seeds, strict=True)]
            total = sum(counts)
            shares = [number / total if total else 0.0 for number in counts]
            cells = [
                {"count": count(number), "share": f"{100 * share:.1f} %" if total else "", "level": round(share * 10)}
                for number, share in zip(counts, shares, strict=True)
            ]
            rows.append({"label": label, "cells": cells})
        note = f"{len(group.runs)} seeds added up" if len(group.runs) > 1 else ""
        result.append({"name": group.name, "note": note, "rows": rows})
    return result


def calibration(dataset: Dataset) -> Table:
    """Calibration error, Brier score and log loss of every run, and the first two with a fitted temperature."""
    rows: list[list[str]] = []
    notes: list[tuple[str, str]] = []
    any_fitted = False
    for group in ranked(dataset):
        for run in group.runs:
            found = run.metrics["calibration"]
            fitted = found["temperature"]
            any_fitted |= fitted is not None
            after = [decimal(fitted["value"], 2), decimal(fitted["ece"]), decimal(fitted["brier"])] if fitted else []
            figures = [
                decimal(found["ece"]) + _range(found["ece_interval"]),
                decimal(found["brier"]) + _range(found["brier_interval"]),
                decimal(run.metrics["log_loss"]),
            ]
            rows.append([run_name(run, group), *figures, *after])
            notes.append((run_name(run, group), found["note"]))
    columns = ["Run", "Calibration error", "Brier score", "Log loss"]
    columns += ["Temperature", "error with it", "Brier with it"] if any_fitted else []
    rows = [row + [MISSING] * (len(columns) - len(row)) for row in rows]
    return Table("Calibration by run", *_with_notes(list(map(Column, columns)), rows, notes))


def _range(bounds: dict[str, float] | None) -> str:
    return f" ({between(bounds['low'], bounds['high'])})" if bounds else ""


def _with_notes(columns: list[Column], rows: list[list[str]], notes: list[tuple[str, str]]) -> tuple[Any, ...]:
    """Note, columns, rows and remarks of a table: a note that all rows share becomes the table's note."""
    distinct = {note for _, note in notes}
    return (next(iter(distinct)), columns, rows) if len(distinct) == 1 else ("", columns, rows, notes)


def thresholds(dataset: Dataset) -> Table:
    """Test metrics of every run at the threshold chosen on validation; no rows for more than two classes."""
    rows = [
        [
            run_name(run, group),
            decimal(chosen["value"]),
            decimal(chosen["validation_mcc"]),
            *(decimal(chosen[name]) for name in ("mcc", "accuracy", "macro_f1", "precision", "recall")),
            decimal(run.metrics["mcc"]),
        ]
        for group in ranked(dataset)
        for run in group.runs
        if (chosen := run.metrics["threshold"])
    ]
    names = [
        "Run",
        "Threshold",
        "Validation MCC",
        "Test MCC",
        "Accuracy",
        "Macro F1",
        "Precision",
        "Recall",
        "MCC at 0.5",
    ]
    note = "The threshold with the highest MCC on validation, fixed before the test set was scored."
    return Table("Decision threshold", note, list(map(Column, names)), rows)


def prevalence(dataset: Dataset) -> Table:
    """Precision of every run at lower prevalences; no rows for more than two classes."""
    rows: list[list[str]] = []
    notes: list[tuple[str, str]] = []
    shares: list[float] = []
    for group in ranked(dataset):
        for run in group.runs:
            if found := run.metrics["prevalence"]:
                shares = [part["prevalence"] for part in found["precision"]]
                rows.append([run_name(run, group), *_rates(found), *map(_precision, found["precision"])])
                notes.append((run_name(run, group), found["note"]))
    columns = ["Run", "Recall", "False positive rate (FPR)", "Recall at 1 % FPR"]
    columns += [f"Precision at {'1:1' if share == 0.5 else per_cent(share)}" for share in shares]
    return Table("Precision by prevalence", *_with_notes(list(map(Column, columns)), rows, notes))


def _rates(found: dict[str, Any]) -> list[str]:
    interval = "" if found["fpr_low"] is None else f" ({between(found['fpr_low'], found['fpr_high'], 4)})"
    return [decimal(found["tpr"]), decimal(found["fpr"], 4) + interval, decimal(found["recall_at_1_percent_fpr"])]


def _precision(part: dict[str, Any]) -> str:
    return decimal(part["precision"]) + ("" if part["low"] is None else _range(part))


def _rows_of_prevalence(dataset: Dataset) -> Rows:
    rows = [
        [*names, *(found[name] for name in _BOUNDED), part["prevalence"], part["precision"], part["low"], part["high"]]
        for names, run in runs(dataset)
        if (found := run.metrics["prevalence"])
        for part in found["precision"]
    ]
    return (*RUN, *_BOUNDED, "prevalence", "precision", "precision_low", "precision_high"), rows


def _rows_of_bins(dataset: Dataset) -> Rows:
    columns = ("low", "high", "mean_score", "fraction", "n")
    rows = [
        [*names, *(part[name] for name in columns)]
        for names, run in runs(dataset)
        for part in run.metrics["calibration"]["bins"]
    ]
    return (*RUN, *columns), rows


def _rows_of_confusions(dataset: Dataset) -> Rows:
    labels = label_names(dataset)
    rows = [
        [*names, true, answer, number]
        for names, run in runs(dataset)
        for true, counts in zip(labels, run.metrics["confusion_matrix"], strict=True)
        for answer, number in zip(labels, counts, strict=True)
    ]
    return (*RUN, "label", "predicted", "n"), rows
