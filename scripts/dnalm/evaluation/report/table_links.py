"""The report's tables as tab-separated files, embedded in the page."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dnalm.evaluation.report.datacard import Table
from dnalm.evaluation.report.results import Dataset, Run
from dnalm.evaluation.report.text import MISSING, plural
from dnalm.evaluation.statistics.metric_names import METRICS

_COMPARED = (
    "model", "recipe", "seeds", "against", "metric", "value", "against_value", "difference", "low", "high", "p",
    "p_holm", "significant", "about", "detectable", "groups_effective", "note",
)  # fmt: skip
_CHECKED = ("name", "title", "status", "value", "threshold", "found", "why", "fix")
_PROBED = ("probe", "metric", "value", "low", "high", "n", "groups_effective", "status", "note")
RUN = ("dataset", "model", "recipe", "seed")
"""Columns that name a run."""

_WRITTEN = re.compile(r"−?\d[\d,]*(\.\d+)?")
_SAFE = re.compile("[^A-Za-z0-9._-]+")

Rows = tuple[Sequence[str], list[list[Any]]]
"""Columns and rows."""


File = dict[str, str]
"""A file in the page: its name, its `data:` address and its number of rows."""


def downloads(dataset: Dataset, more: Mapping[str, Rows]) -> dict[str, File | None]:
    """The data set's tables as files, by name; None for an empty one. more: further tables by name."""
    primary = dataset.comparison["primary"]
    compared = [primary] if primary else []
    compared += [one for kind in ("others", "rivals", "twins", "references") for one in dataset.comparison[kind]]
    made = {
        "metrics": _metrics(dataset),
        "comparison": (_COMPARED, [[one[name] for name in _COMPARED] for one in compared]),
        "strata": _strata(dataset),
        **more,
        "audit": (_CHECKED, [[check[name] for name in _CHECKED] for check in dataset.audit["checks"]]),
        "shortcuts": (_PROBED, [[probe[name] for name in _PROBED] for probe in dataset.audit.get("shortcuts", ())]),
    }
    return {name: file(f"{dataset.name}-{name}", columns, rows) for name, (columns, rows) in made.items()}


def file(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> File | None:
    """A table as a file, None if it is empty."""
    if not rows:
        return None
    return {"name": f"{name}.tsv", "address": _address(columns, rows), "size": plural(len(rows), "row")}


def as_file(table: Table, of: str) -> File | None:
    """A table of the page as a file named after `of` and its title; None if `of` is empty."""
    slug = re.sub("[^a-z0-9]+", "-", table.title.lower()).strip("-")
    rows = [[_number(cell) for cell in row] for row in table.rows]
    return file(f"{_SAFE.sub('-', of)}-{slug}", [column.name for column in table.columns], rows) if of else None


def _number(text: str) -> str:
    """A number as programs read it, without separators of thousands and with a plain minus; other text as it is."""
    if text == MISSING:
        return "NA"
    return text.replace(",", "").replace("−", "-") if _WRITTEN.fullmatch(text) else text


def runs(dataset: Dataset) -> Iterable[tuple[list[Any], Run]]:
    """Names of each run, and the run."""
    for _, run in dataset.members:
        yield [dataset.name, run.model, run.recipe, run.seed], run


def _metrics(dataset: Dataset) -> Rows:
    rows, recorded = [], METRICS[dataset.description.objective]
    collapses = dataset.description.objective != "regression"
    for names, run in runs(dataset):
        row = [*names, run.metrics["n"]]
        for name in recorded:
            bounds = run.metrics["intervals"].get(name) or {}
            row += [run.metrics[name], bounds.get("low"), bounds.get("high")]
        row += [run.metrics["validation"][name] for name in recorded]
        rows.append([*row, run.collapsed] if collapses else row)
    tested = [column for name in recorded for column in (name, f"{name}_low", f"{name}_high")]
    columns = [*RUN, "n", *tested, *(f"validation_{name}" for name in recorded)]
    return [*columns, "collapsed"] if collapses else columns, rows


def _strata(dataset: Dataset) -> Rows:
    rows = [
        [dataset.name, axis["axis"], part["label"], part["n"], part["groups_effective"], key, value]
        for axis in dataset.comparison["strata"]
        for part in axis["bins"]
        for key, value in sorted(part["values"].items())
    ]
    return ("dataset", "axis", "bin", "n", "groups_effective", "run_group", dataset.description.primary.name), rows


def _address(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["\t".join(map(_field, line)) for line in (columns, *rows)]
    text = base64.b64encode(("\n".join(lines) + "\n").encode()).decode()
    return f"data:text/tab-separated-values;base64,{text}"


def _field(value: Any) -> str:
    """A value as one field: NA for None, no tabs or line breaks."""
    if value is None:
        return "NA"
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
