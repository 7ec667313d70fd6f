"""The parts of the report on trust: the audit of the data, calibration, thresholds, and rare positives."""

from typing import Any

from dnalm.evaluation.audit.properties import title
from dnalm.evaluation.report.charts import Style
from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.results import Dataset
from dnalm.evaluation.report.text import MISSING, between, decimal, per_cent
from dnalm.evaluation.report.views import Scale, ranked, run_name

_SEVERITY = {"fail": 0, "warn": 1, "pass": 2}
_WORDS = {"fail": "failed", "warn": "warning", "pass": "passed"}
_COLOURS = {"fail": "#b2431c", "warn": "#9a6200", "pass": "#00795c"}


def checks(audit: dict[str, Any]) -> list[dict[str, str]]:
    """The audit's checks, failed ones first, each with its status in words."""
    order = sorted(audit["checks"], key=lambda check: _SEVERITY[check["status"]])
    return [
        {key: check[key] for key in ("title", "status", "found", "why", "fix")} | {"word": _WORDS[check["status"]]}
        for check in order
    ]


def probes(audit: dict[str, Any], limit: float) -> dict[str, Any] | None:
    """How well each shortcut alone tells the classes apart: AUROC with its interval, on one scale; None without any."""
    known = [probe for probe in audit["shortcuts"] if probe["auroc"] is not None]
    if not known:
        return None
    bounds = [[probe[side] for side in ("low", "high") if probe[side] is not None] for probe in known]
    scale = Scale([0.4, 1.0, *(probe["auroc"] for probe in known), *(bound for pair in bounds for bound in pair)])
    rows = [
        {
            "name": _headed(title(probe["probe"])),
            "note": "" if probe["status"] == "pass" else probe["note"],
            "style": Style(_COLOURS[probe["status"]], [], 2.0),
            "kind": _WORDS[probe["status"]],
            "status": probe["status"],
            "x": scale.place(probe["auroc"]),
            "bar": [scale.place(bound) for bound in pair],
            "seeds": [],
            "value": decimal(probe["auroc"]),
            "range": between(*pair) if len(pair) == 2 else "",
        }
        for probe, pair in zip(known, bounds, strict=True)
    ]
    said = "; ".join(f"{row['name']}: {row['value']}, {row['kind']}" for row in rows)
    return {
        "rows": rows,
        "axis": "AUROC",
        "ticks": scale.ticks,
        "about": f"AUROC of single features. {said}",
        "mark": scale.place(limit),
        "mark_name": f"limit {decimal(limit, 2)}",
        "silent": [
            f"{title(probe['probe'])} ({probe['note']})" for probe in audit["shortcuts"] if probe["auroc"] is None
        ],
    }


def _headed(text: str) -> str:
    return text[0].upper() + text[1:]


def calibration(dataset: Dataset) -> Table:
    """Calibration error, Brier score and log loss of every run, and what a temperature makes of them."""
    rows: list[list[str]] = []
    notes: list[tuple[str, str]] = []
    heated = False
    for group in ranked(dataset.groups):
        for run in group.runs:
            found = run.metrics["calibration"]
            warmth = found["temperature"]
            heated |= warmth is not None
            after = [decimal(warmth["value"], 2), decimal(warmth["ece"]), decimal(warmth["brier"])] if warmth else []
            figures = [
                decimal(found["ece"]) + _range(found["ece_interval"]),
                decimal(found["brier"]) + _range(found["brier_interval"]),
                decimal(run.metrics["log_loss"]),
            ]
            rows.append([run_name(run, group), *figures, *after])
            notes.append((run_name(run, group), found["note"]))
    columns = ["Run", "Calibration error", "Brier score", "Log loss"]
    columns += ["Temperature", "error with it", "Brier with it"] if heated else []
    rows = [row + [MISSING] * (len(columns) - len(row)) for row in rows]
    return Table("Calibration", *_remarked(list(map(Column, columns)), rows, notes))


def _range(bounds: dict[str, float] | None) -> str:
    return f" ({between(bounds['low'], bounds['high'])})" if bounds else ""


def _remarked(columns: list[Column], rows: list[list[str]], notes: list[tuple[str, str]]) -> tuple[Any, ...]:
    """The rest of a table: a note that holds for all rows stands above it, others are remarks."""
    distinct = {note for _, note in notes}
    return (next(iter(distinct)), columns, rows) if len(distinct) == 1 else ("", columns, rows, notes)


def thresholds(dataset: Dataset) -> Table:
    """What every run reaches at the threshold that was chosen on validation; no rows for more than two classes."""
    rows = [
        [
            run_name(run, group),
            decimal(chosen["value"]),
            decimal(chosen["validation_mcc"]),
            *(decimal(chosen[name]) for name in ("mcc", "accuracy", "macro_f1", "precision", "recall")),
            decimal(run.metrics["mcc"]),
        ]
        for group in ranked(dataset.groups)
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
    note = "The threshold with the highest MCC on validation, frozen before the test set was scored."
    return Table("Decision threshold", note, list(map(Column, names)), rows)


def prevalence(dataset: Dataset) -> Table:
    """Precision of every run where positives are rarer than here; no rows for more than two classes."""
    rows: list[list[str]] = []
    notes: list[tuple[str, str]] = []
    shares: list[float] = []
    for group in ranked(dataset.groups):
        for run in group.runs:
            if found := run.metrics["prevalence"]:
                shares = [part["prevalence"] for part in found["precision"]]
                rows.append([run_name(run, group), *_rates(found), *map(_precision, found["precision"])])
                notes.append((run_name(run, group), found["note"]))
    columns = ["Run", "Recall", "False positive rate (FPR)", "Recall at 1 % FPR"]
    columns += [f"Precision at {'1:1' if share == 0.5 else per_cent(share)}" for share in shares]
    return Table("Precision by prevalence", *_remarked(list(map(Column, columns)), rows, notes))


def _rates(found: dict[str, Any]) -> list[str]:
    interval = "" if found["fpr_low"] is None else f" ({between(found['fpr_low'], found['fpr_high'], 4)})"
    return [decimal(found["tpr"]), decimal(found["fpr"], 4) + interval, decimal(found["recall_at_1_percent_fpr"])]


def _precision(part: dict[str, Any]) -> str:
    return decimal(part["precision"]) + ("" if part["low"] is None else _range(part))
