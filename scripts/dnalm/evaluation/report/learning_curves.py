"""Learning curves: what the same runs score with fewer training records."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dnalm.config.variants import Variant
from dnalm.evaluation.report import curve_charts
from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.descriptions import Metric
from dnalm.evaluation.report.overview import variants_of
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.text import MISSING, count, listed
from dnalm.evaluation.report.views import ORDER, styles


def learning_curves(datasets: Sequence[Dataset], variants: Mapping[str, Variant]) -> list[dict[str, Any]]:
    """A learning curve for each data set that has variants with fewer training records; it is the last point itself."""
    bases = [dataset for dataset in datasets if dataset.name not in variants]
    fewer = {base.name: variants_of(base, datasets, variants, "train records") for base in bases}
    return [_curve(base, sorted([*fewer[base.name], base], key=_records)) for base in bases if fewer[base.name]]


def _records(dataset: Dataset) -> int:
    """The number of training records."""
    return int(dataset.manifest["splits"]["train"]["records"])


def _curve(base: Dataset, points: Sequence[Dataset]) -> dict[str, Any]:
    metric, look = base.description.primary, styles(base.groups)
    sizes = [_records(point) for point in points]
    series, rows = [], []
    groups = sorted(base.groups, key=lambda group: ORDER[group.kind])
    for group in groups:
        found = [point.group(group.key) for point in points]
        series.append((look[group.name], list(_points(sizes, found, metric))))
        rows.append([group.name, *(_text(one, metric) for one in found)])
    key, about = f"learning-{base.name}", f"With {listed(list(map(count, sizes)))} training records."
    return {
        "key": key,
        "name": base.name,
        "about": f"Test {metric.prose} of the same runs, trained on fewer records of {base.name} and scored on the same"
        " test split; bars are intervals of the trained models.",
        "chart": curve_charts.learning_chart(series, f"Test {metric.prose}", key, about),
        "legend": [{"name": group.name, "style": look[group.name]} for group in groups],
        "table": Table("Scores by training records", "", [Column("Run"), *(Column(count(n)) for n in sizes)], rows),
    }


def _points(
    sizes: Sequence[int], found: Sequence[Group | None], metric: Metric
) -> Iterator[curve_charts.LearningPoint]:
    for size, group in zip(sizes, found, strict=True):
        if group is not None and (value := group.mean(metric.name)) is not None:
            yield (size, value, *(group.interval(metric.name) or (None, None)))


def _text(group: Group | None, metric: Metric) -> str:
    if group is None:
        return MISSING
    bounds = group.interval(metric.name)
    return metric.text(group.mean(metric.name)) + (f" ({metric.between(*bounds)})" if bounds else "")
