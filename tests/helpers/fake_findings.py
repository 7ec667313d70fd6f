"""What an audit and a comparison could say of a fake results tree; the figures are made up."""

from pathlib import Path

import numpy as np

from dnalm.files import write_json


def check(name: str, title: str, status: str = "pass", fix: str = "", **more) -> dict:
    """One check of an audit."""
    found = more.pop("found", "Nothing of the kind was found.")
    return {"name": name, "title": title, "status": status, "value": 0.0, "threshold": 0.01, "found": found, "why": "A model could learn it.", "fix": fix, "details": {}} | more  # fmt: skip


def probe(name: str, value: float | None, status: str = "pass", note: str = "", metric: str = "auroc") -> dict:
    """One shortcut probe."""
    bounds = {"low": value - 0.03, "high": min(1, value + 0.03)} if value is not None else {"low": None, "high": None}
    return {
        "probe": name,
        "metric": metric,
        "value": value,
        **bounds,
        "n": 1500,
        "groups_effective": 74.2,
        "status": status,
        "note": note,
    }


def add_audit(
    results: Path, dataset: str, checks: list[dict] | None = None, shortcuts: list[dict] | None = None
) -> None:
    """Write an audit.json; without checks one where all passed."""
    checks = checks or [
        check("classes", "Both classes are in every split"),
        check("duplicates", "Duplicates within a split"),
    ]
    shortcuts = (
        shortcuts
        if shortcuts is not None
        else [probe("length", 0.5), probe("gc", 0.52), probe("case", None, "pass", "upper case throughout")]
    )
    status = next((kind for kind in ("fail", "warn") if any(one["status"] == kind for one in checks)), "pass")
    write_json(results / dataset / "audit.json", {"dataset": dataset, "checks": checks, "shortcuts": shortcuts, "status": status, "stops": []})  # fmt: skip


PLAN = {"sha256": "cd" * 32, "looks": 1, "earlier": [], "changed": ""}
"""A plan at its first look."""


def comparison(model: str, recipe: str, against: str, value: float, against_value: float, **more) -> dict:
    """One comparison, of MCC unless `metric` says otherwise, with an interval of .02 to both sides."""
    difference = value - against_value
    return {
        "model": model, "recipe": recipe, "seeds": 1, "against": against, "metric": "mcc", "value": value, "against_value": against_value,
        "difference": difference, "low": difference - 0.02, "high": difference + 0.02, "p": 0.0004 if abs(difference) > 0.02 else 0.31,
        "p_holm": None, "by_seed": [value], "significant": abs(difference) > 0.02, "detectable": 0.028, "groups_effective": 74.2, "note": "",
        "about": "methods", "about_note": "", "seed_sd": None, "against_seed_sd": None, "against_seeds": 1, "against_by_seed": [against_value],
    } | more  # fmt: skip


def add_comparison(
    results: Path,
    dataset: str,
    keys: list[str],
    primary: dict | None = None,
    others: list[dict] | None = None,
    note: str = "",
    **more,
) -> None:
    """Write a comparison.json whose strata name these run groups; `more` replaces other parts."""
    noise = np.random.default_rng(len(keys))
    strata = []
    for axis, title, labels in (
        ("motif_length", "Motif length", ["7 to 11 bp", "12 to 20 bp", "21 to 49 bp", "over 49 bp"]),
        ("gc", "GC fraction", ["under 0.3", "0.3 to 0.5", "over 0.5"]),
    ):
        bins = [
            {
                "label": label,
                "n": 90 + 7 * i,
                "groups_effective": 31.5 + i,
                "values": {key: round(float(noise.uniform(-0.05, 1)), 3) for key in keys},
            }
            for i, label in enumerate(labels)
        ]
        bins = [{**part, "note": ""} for part in bins]
        bins[-1] |= {"values": dict.fromkeys(keys), "note": "one class only"}
        strata.append({"axis": axis, "title": title, "note": "", "bins": bins})
    found = {
        "primary": primary,
        "others": others or [],
        "twins": [],
        "references": [],
        "rivals": [],
        "apart": [],
        "plan": PLAN,
        "detectable": 0.028,
        "note": note,
    }
    write_json(results / dataset / "comparison.json", found | {"strata": strata if keys else []} | more)  # fmt: skip
