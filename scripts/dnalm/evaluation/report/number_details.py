"""Details of the test set for regression: predicted against true, and residuals."""

from typing import Any, cast

import numpy as np
from markupsafe import Markup

from dnalm.evaluation.report import number_charts
from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.results import Dataset, Details, Run
from dnalm.evaluation.report.table_links import RUN, Rows
from dnalm.evaluation.report.text import plural, significant, spanned
from dnalm.evaluation.report.views import ranked, run_name, styles
from dnalm.evaluation.statistics.residuals import residuals_by_target
from dnalm.names import SPLITS
from dnalm.tables.predictions import NumberPredictions

_BINNED = ("low", "high", "target_median", "n", "mean", "quartile_1", "median", "quartile_3", "rmse")


def of_numbers(dataset: Dataset) -> Details:
    """The sections of the page, values for its template, and tables to download."""
    if not dataset.groups:
        return Details({}, {})
    shown = {"scatters": scatters(dataset), "residuals": residuals(dataset), "errors": errors(dataset)}
    return Details(shown, {"residuals": _rows_of_bins(dataset)})


def scatters(dataset: Dataset) -> list[dict[str, Any]]:
    """Predicted against true for the first seed of every group, all on the range of the test targets."""
    look = styles(dataset.groups)
    every = np.concatenate([run.predictions["test"].truth for _, run in dataset.members])
    span = (float(every.min()), float(every.max()))
    result: list[dict[str, Any]] = []
    for group in ranked(dataset):
        run, key = group.runs[0], f"{dataset.name}-scatter{len(result)}"
        scores = [f"{metric.prose} {metric.text(run.metrics[metric.name])}" for metric in dataset.description.metrics]
        predictions = _tested(run)
        chart = number_charts.scatter_chart(predictions, span, look[group.name], run_name(run, group), key, scores)
        beyond = int(np.sum((predictions.predicted < span[0]) | (predictions.predicted > span[1])))
        note = f"{plural(beyond, 'prediction')} beyond, drawn at the edge" if beyond else ""
        result.append({"name": run_name(run, group), "chart": chart, "note": note})
    return result


def residuals(dataset: Dataset) -> list[dict[str, Any]]:
    """Residuals of the first seed of every group by quantiles of the target, all on one scale."""
    look = styles(dataset.groups)
    binned = [
        (run_name(group.runs[0], group), look[group.name], residuals_by_target(_tested(group.runs[0])))
        for group in ranked(dataset)
    ]
    ends = [part[side] for _, _, bins in binned for part in bins for side in ("quartile_1", "quartile_3")]
    span = (min(0.0, *ends), max(0.0, *ends))
    return [
        {
            "name": name,
            "chart": number_charts.residual_chart(bins, span, style, name, f"{dataset.name}-residuals{number}"),
        }
        for number, (name, style, bins) in enumerate(binned)
    ]


def errors(dataset: Dataset) -> Table:
    """The distribution of every run's residuals, and its error for the lowest and the highest targets."""
    rows = []
    for group in ranked(dataset):
        for run in group.runs:
            found, bins = run.metrics["residuals"], residuals_by_target(_tested(run))
            rows.append(
                [
                    run_name(run, group),
                    significant(found["mean"]),
                    significant(found["sd"]),
                    significant(found["median"]),
                    spanned(found["quartile_1"], found["quartile_3"]),
                    spanned(found["minimum"], found["maximum"]),
                    significant(bins[0]["rmse"]),
                    significant(bins[-1]["rmse"]),
                ]
            )
    names = ["Run", "Mean", "SD", "Median", "quartiles", "range", "RMSE, lowest targets", "RMSE, highest targets"]
    note = "True minus predicted, in the targets' unit: above 0 where the prediction is too low. A mean of 0: no bias."
    return Table("Residuals by run", note, list(map(Column, names)), rows)


def targets(dataset: Dataset) -> Markup | None:
    """The targets of each split as boxes; None for classification."""
    splits = {split: dataset.manifest["splits"][split].get("targets") for split in SPLITS}
    if not all(splits.values()):
        return None
    return number_charts.targets_chart(splits, dataset.config["target_column"], f"{dataset.name}-targets")


def _tested(run: Run) -> NumberPredictions:
    return cast("NumberPredictions", run.predictions["test"])


def _rows_of_bins(dataset: Dataset) -> Rows:
    rows = [
        [dataset.name, run.model, run.recipe, run.seed, *(part[name] for name in _BINNED)]
        for _, run in dataset.members
        for part in residuals_by_target(_tested(run))
    ]
    return (*RUN, "target_low", "target_high", *_BINNED[2:]), rows
