"""The part of the report on trust: the audit of the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dnalm.evaluation.audit.properties import title
from dnalm.evaluation.report.charts import Style
from dnalm.evaluation.report.text import between, decimal, plural
from dnalm.evaluation.report.views import Scale

_SEVERITY = {"fail": 0, "warn": 1, "pass": 2}
_WORDS = {"fail": "failed", "warn": "warning", "pass": "passed"}
_COLOURS = {"fail": "#b2431c", "warn": "#9a6200", "pass": "#00795c"}


@dataclass(frozen=True)
class _ProbeMeasure:
    """A probe's measure: name, key of its limit in the config, smallest range of the axis, a note on chance."""

    title: str
    limit: str
    span: tuple[float, float]
    chance: str


_MEASURES = {
    "auroc": _ProbeMeasure(
        "AUROC",
        "shortcut_auroc",
        (0.4, 1.0),
        "One half is chance; a value far below is no pass either, but an artifact of how the classes were balanced.",
    ),
    "spearman": _ProbeMeasure(
        "Spearman correlation",
        "shortcut_spearman",
        (0.0, 0.8),
        "0 is chance; a value far below is no pass either, but an artifact of how groups were made.",
    ),
}


def checks(audit: dict[str, Any]) -> dict[str, Any]:
    """The audit's checks, each with its status in words: `found` something, failed ones first, and `passed`."""
    order = sorted(audit["checks"], key=lambda check: _SEVERITY[check["status"]])
    told = [
        {key: check[key] for key in ("title", "status", "found", "why", "fix")} | {"word": _WORDS[check["status"]]}
        for check in order
    ]
    passed = [check for check in told if check["status"] == "pass"]
    verb = "passed" if len(passed) < len(told) or not told else "passed, all of them"
    return {
        "found": [check for check in told if check["status"] != "pass"],
        "passed": passed,
        "passed_title": f"{plural(len(passed), 'check')} {verb}",
    }


def probes(audit: dict[str, Any], limits: Mapping[str, Any]) -> dict[str, Any] | None:
    """The probes' values with intervals, on one scale; None without values. limits: the config's `audit`."""
    known = [probe for probe in audit.get("shortcuts", ()) if probe["value"] is not None]
    if not known:
        return None
    bounds = [[probe[side] for side in ("low", "high") if probe[side] is not None] for probe in known]
    measure = _MEASURES[known[0]["metric"]]
    limit = limits[measure.limit]
    scale = Scale([*measure.span, *(probe["value"] for probe in known), *(bound for pair in bounds for bound in pair)])
    rows = [
        {
            "name": _capitalized(title(probe["probe"])),
            "note": "" if probe["status"] == "pass" else probe["note"],
            "style": Style(_COLOURS[probe["status"]], [], 2.0),
            "kind": _WORDS[probe["status"]],
            "status": probe["status"],
            "x": scale.place(probe["value"]),
            "bar": [scale.place(bound) for bound in pair],
            "seeds": [],
            "value": decimal(probe["value"]),
            "range": between(*pair) if len(pair) == 2 else "",
        }
        for probe, pair in zip(known, bounds, strict=True)
    ]
    summary = "; ".join(f"{row['name']}: {row['value']}, {row['kind']}" for row in rows)
    return {
        "rows": rows,
        "axis": measure.title,
        "chance": measure.chance,
        "ticks": scale.ticks,
        "about": f"{measure.title} of single features. {summary}",
        "mark": scale.place(limit),
        "mark_name": f"limit {decimal(limit, 2)}",
        "silent": [
            f"{title(probe['probe'])} ({probe['note']})" for probe in audit["shortcuts"] if probe["value"] is None
        ],
    }


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]
