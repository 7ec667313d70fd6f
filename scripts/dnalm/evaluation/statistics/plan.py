"""The plan of a data set's evaluation, and the ledger of the plans under which its test split was looked at."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnalm.config.stages.evaluation import PlanSettings
from dnalm.errors import UserError
from dnalm.files import atomic
from dnalm.names import SMALLER_IS_BETTER

PRIMARY = (
    "The model and recipe with the {best} mean {metric} on validation, over seeds, against the baseline with the "
    "{best} {metric} on validation; trf, which made the labels, is no baseline to beat. All other comparisons are "
    "exploratory (Holm)."
)
"""How `comparison.compare` chooses the primary comparison."""

THRESHOLD = "Two classes: of .5 and the midpoints of neighbouring scores, the one with the highest MCC on validation."
"""How `thresholds.best_threshold` chooses the threshold that is applied to test."""

COLUMNS = ("sha256", "changed", "plan")
"""Columns of the ledger: SHA-256 of the third one, what changed since the line above, and the plan as JSON."""

NAMED = ("models", "recipes")
"""Parts of a plan by name. The runs say which are new or gone."""


def plan(settings: PlanSettings, test: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a plan.json: `plan`, and the `sha256` of its canonical JSON (`canonical`).

    test: the manifest's entry of the test split, with `records` and `sha256`. Runs are sorted: their order in the
    config is no part of the plan.
    """
    declared = settings.model_dump(mode="json")
    declared["runs"] = sorted(f"{run.model}/{run.recipe} seed {run.seed}" for run in settings.runs)
    declared |= {
        "primary": PRIMARY.format(
            metric=settings.metric, best="lowest" if settings.metric in SMALLER_IS_BETTER else "highest"
        ),
        "threshold": THRESHOLD if settings.metric == "mcc" else None,
        "test": {"records": test["records"], "sha256": test["sha256"]},
    }
    return {"plan": declared, "sha256": digest(canonical(declared))}


def canonical(declared: Mapping[str, Any]) -> str:
    """A plan as one line of JSON with sorted keys, in ASCII and without spaces."""
    return json.dumps(declared, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Hexadecimal SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs between two plans, e.g. `runs: + small/scratch seed 2; split.seed: 42 -> 43`."""
    old, new = set(before["runs"]), set(after["runs"])
    runs = [*(f"+ {run}" for run in sorted(new - old)), *(f"- {run}" for run in sorted(old - new))]
    said = [f"runs: {', '.join(runs)}"] if runs else []
    if before["test"] != after["test"]:
        said.append("test split: other records")
    for name in NAMED:
        for entry in sorted(before[name].keys() & after[name].keys()):
            said += _differences(before[name][entry], after[name][entry], f"{name}.{entry}")
    return "; ".join([*said, *_differences(_rest(before), _rest(after))])


def _rest(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in declared.items() if key not in ("runs", "test", *NAMED)}


def _differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """`place.key: old -> new` for each value that differs; null for a key that one side lacks."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{place}.{key}" if place else key)
    elif before != after:
        yield f"{place}: {json.dumps(before)} -> {json.dumps(after)}"


@dataclass(frozen=True)
class Look:
    """A line of the ledger: a plan as canonical JSON, and what changed since the line above (None for the first)."""

    plan: str
    changed: str | None

    @property
    def sha256(self) -> str:
        """The plan's hash."""
        return digest(self.plan)

    def entry(self) -> dict[str, Any]:
        """Its hash and what changed, as in comparison.json."""
        return {"sha256": self.sha256, "changed": self.changed}


def look(declared: Mapping[str, Any], ledger: Path) -> dict[str, Any]:
    """Enter a plan into a ledger, once however often it is looked at; returns what comparison.json says of it.

    Keys: `sha256`; `looks`, the number of plans in the ledger; `earlier`, the others of them in the order of their
    first looks, each with `sha256` and `changed`; `changed`, what is different from the last other plan, or None at the
    first look. Raises `UserError` for a ledger that was edited.
    """
    text = canonical(declared)
    others = [one for one in read(ledger) if one.plan != text]
    known = read(ledger)
    if len(others) == len(known):
        known.append(Look(text, changes(json.loads(known[-1].plan), declared) if known else None))
        _write(ledger, known)
    (own,) = (one for one in known if one.plan == text)
    # A plan that is taken up again differs from the last one, not only from the line above it.
    changed = own.changed if known[-1] is own else changes(json.loads(known[-1].plan), declared)
    return own.entry() | {"changed": changed, "looks": len(known), "earlier": [one.entry() for one in others]}


def read(ledger: Path) -> list[Look]:
    """The lines of a ledger; none if there is no file. Raises `UserError` for a line that is not as it was written."""
    if not ledger.exists():
        return []
    head, *lines = ledger.read_text().splitlines() or [""]
    looks = []
    for number, line in enumerate(lines, 2):
        sha256, changed, text = [*line.split("\t"), "", ""][:3]
        looks.append(Look(text, changed or None))
        if line.count("\t") != len(COLUMNS) - 1 or looks[-1].sha256 != sha256:
            raise UserError(f"{ledger}: line {number} was edited or cut off; restore it from a copy")
    if head != "\t".join(COLUMNS):
        raise UserError(f"{ledger}: line 1 is not the header of a ledger of looks; restore the file from a copy")
    return looks


def _write(ledger: Path, looks: list[Look]) -> None:
    lines = [COLUMNS, *((one.sha256, one.changed or "", one.plan) for one in looks)]
    with atomic(ledger) as temporary:
        temporary.write_text("".join("\t".join(line) + "\n" for line in lines))
