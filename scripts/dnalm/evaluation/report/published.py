"""Published figures beside ours, each with what is known of whether the two can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from dnalm.config.evaluation import Published
from dnalm.evaluation.report.datacard import Column, Table
from dnalm.evaluation.report.descriptions import Metric
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.text import MISSING, per_cent

NOT_COMPARED = "not comparable"
NOTHING = "no run of ours"


@dataclass(frozen=True)
class Beside:
    """A table, and a sentence or two on each figure: whether and why it can be compared, and its source."""

    table: Table
    notes: Sequence[str]


def published(datasets: Sequence[Dataset], figures: Sequence[Published], confidence: float) -> Beside | None:
    """A row for each published figure and each of our models on its data set (without models, each baseline).

    None if there is no figure of these data sets.
    """
    several, rows, notes = len(datasets) > 1, [], []
    for dataset in datasets:
        for figure in figures:
            if figure.dataset == dataset.name:
                metric = dataset.description.metric(figure.metric)
                shown = [figure.model, *([dataset.name] if several else []), metric.title, metric.text(figure.value)]
                ours = dataset.models or [group for group in dataset.groups if group.kind == "baseline"]
                beside = [_beside(figure, metric, group) for group in ours] or [[MISSING] * 3 + [NOTHING]]
                rows += [[*shown, *cells] for cells in beside]
                named = f"{figure.model}, {metric.prose} on {dataset.name}"
                notes.append(f"{named}: {figure.why.rstrip('.')}. Source: {figure.source.rstrip('.')}.")
    if not rows:
        return None
    columns = [
        Column("Published", is_text=True),
        *([Column("Data set", is_text=True)] if several else []),
        Column("Metric", is_text=True),
        Column("Theirs"),
        Column("Our run", is_text=True),
        Column("Ours"),
        Column(f"{per_cent(confidence)} interval"),
        Column("Theirs is", is_text=True),
    ]
    note = (
        "Figures as their authors report them; their models were not run here. Only a figure of the same records and"
        " metric is placed against our interval, which does not hold the uncertainty of theirs."
    )
    return Beside(Table("Published figures", note, columns, rows), notes)


def _beside(figure: Published, metric: Metric, group: Group) -> list[str]:
    """Our run group's name, value and interval, and where the published figure lies."""
    value, interval = group.mean(metric.name), group.interval(metric.name)
    shown = [group.name, metric.text(value), metric.between(*interval) if interval else "withheld"]
    if not figure.comparable:
        return [*shown, NOT_COMPARED]
    if interval is None:
        return [*shown, "comparable, but there is no interval of ours"]
    low, high = interval
    return [*shown, f"{'below' if figure.value < low else 'above' if figure.value > high else 'inside'} our interval"]
