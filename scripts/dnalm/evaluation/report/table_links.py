"""The report's tables as files: tab-separated text inside the page itself."""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from dnalm.evaluation.report.results import Dataset
from dnalm.evaluation.report.text import plural
from dnalm.evaluation.statistics.metric_names import METRICS

_COMPARED = (
    "model", "recipe", "against", "metric", "value", "against_value", "difference", "low", "high", "p", "p_holm",
    "significant", "detectable", "groups_effective", "note",
)  # fmt: skip
_CHECKED = ("name", "title", "status", "value", "threshold", "found", "why", "fix")
_PROBED = ("probe", "auroc", "low", "high", "n", "groups_effective", "status", "note")
_BOUNDED = ("tpr", "fpr", "fpr_low", "fpr_high", "recall_at_1_percent_fpr", "n_negatives", "negatives")


def downloads(dataset: Dataset) -> list[dict[str, str]]:
    """Tables with something in them: a file name, a `data:` address, and how many rows it has."""
    primary = dataset.comparison["primary"]
    compared = [primary, *dataset.comparison["others"]] if primary else []
    made = {
        "metrics": _metrics(dataset),
        "comparison": (_COMPARED, [[one[name] for name in _COMPARED] for one in compared]),
        "strata": _strata(dataset),
        "prevalence": _prevalence(dataset),
        "calibration": _calibration(dataset),
        "audit": (_CHECKED, [[check[name] for name in _CHECKED] for check in dataset.audit["checks"]]),
        "shortcuts": (_PROBED, [[probe[name] for name in _PROBED] for probe in dataset.audit["shortcuts"]]),
    }
    return [
        {"name": f"{dataset.name}-{name}.tsv", "address": _address(columns, rows), "size": plural(len(rows), "row")}
        for name, (columns, rows) in made.items()
        if rows
    ]


_Rows = tuple[Sequence[str], list[list[Any]]]


def _runs(dataset: Dataset) -> Iterable[tuple[list[Any], dict[str, Any]]]:
    for _, run in dataset.members:
        yield [dataset.name, run.model, run.recipe, run.seed], run.metrics


_RUN = ("dataset", "model", "recipe", "seed")


def _metrics(dataset: Dataset) -> _Rows:
    rows = []
    for names, metrics in _runs(dataset):
        row = [*names, metrics["n"]]
        for name in METRICS:
            bounds = metrics["intervals"].get(name) or {}
            row += [metrics[name], bounds.get("low"), bounds.get("high")]
        rows.append([*row, *(metrics["validation"][name] for name in METRICS)])
    tested = [column for name in METRICS for column in (name, f"{name}_low", f"{name}_high")]
    return [*_RUN, "n", *tested, *(f"validation_{name}" for name in METRICS)], rows


def _strata(dataset: Dataset) -> _Rows:
    rows = [
        [dataset.name, axis["axis"], part["label"], part["n"], part["groups_effective"], key, value]
        for axis in dataset.comparison["strata"]
        for part in axis["bins"]
        for key, value in sorted(part["values"].items())
    ]
    return ("dataset", "axis", "bin", "n", "groups_effective", "run_group", "mcc"), rows


def _prevalence(dataset: Dataset) -> _Rows:
    rows = [
        [*names, *(found[name] for name in _BOUNDED), part["prevalence"], part["precision"], part["low"], part["high"]]
        for names, metrics in _runs(dataset)
        if (found := metrics["prevalence"])
        for part in found["precision"]
    ]
    return (*_RUN, *_BOUNDED, "prevalence", "precision", "precision_low", "precision_high"), rows


def _calibration(dataset: Dataset) -> _Rows:
    columns = ("low", "high", "mean_score", "fraction", "n")
    rows = [
        [*names, *(part[name] for name in columns)]
        for names, metrics in _runs(dataset)
        for part in metrics["calibration"]["bins"]
    ]
    return (*_RUN, *columns), rows


def _address(columns: Sequence[str], rows: list[list[Any]]) -> str:
    lines = ["\t".join(map(_field, line)) for line in (columns, *rows)]
    text = base64.b64encode(("\n".join(lines) + "\n").encode()).decode()
    return f"data:text/tab-separated-values;base64,{text}"


def _field(value: Any) -> str:
    """A value as one field: NA for what is not there, no tabs or line breaks."""
    if value is None:
        return "NA"
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
