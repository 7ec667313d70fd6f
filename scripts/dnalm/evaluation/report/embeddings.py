"""Embeddings on a page: maps of records, and which layer and pooling probes were chosen from."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from dnalm.evaluation.report import charts
from dnalm.evaluation.report.datacard import label_names
from dnalm.evaluation.report.descriptions import Metric
from dnalm.evaluation.report.results import Dataset, EmbeddingMap, Group, Run
from dnalm.evaluation.report.text import count, decimal, listed, per_cent, plural
from dnalm.names import LABEL, SMALLER_IS_BETTER, TARGET

_DRAWN = 2000
"""Points of a chart, at most."""


def maps(dataset: Dataset) -> list[dict[str, Any]]:
    """The map of each embedding of a data set: its name, what it shows, and a chart."""
    found = []
    for number, one in enumerate(dataset.embeddings):
        key = f"{dataset.name}-map{number}"
        found.append({"name": one.name, "about": _about(one), "chart": _scatter(one, dataset, key)})
    return found


def _about(one: EmbeddingMap) -> str:
    facts = one.facts
    pooling, layer = facts["column"].rsplit("_layer", 1)
    vectors = f"{pooling} of layer {layer}, {count(facts['hidden'])} numbers a record"
    said = [f"{facts['model']} on {listed(facts['splits'])}: {vectors}"]
    if facts["method"] == "pca":
        shares = [per_cent(round(share, 3)) for share in facts["explained"]]
        said.append(f"the first two principal components hold {listed(shares)} of the variance")
    else:
        said.append("drawn by UMAP, which keeps neighbours together; distances and sizes of clusters mean little")
    shown = len(_points(one))
    if shown < facts["records"]:
        said.append(f"{count(shown)} of {plural(facts['records'], 'record')}, drawn at random")
    counts = facts["counts"].values()
    totals = {what: sum(part[what] for part in counts) for what in ("dropped", "truncated", "unknown_tokens")}
    said += [f"{count(number)} {what.replace('_', ' ')}" for what, number in totals.items() if number]
    return "; ".join(said) + "."


def _points(one: EmbeddingMap) -> pd.DataFrame:
    """The records that are drawn: a random sample, as labels may alternate in the table."""
    return one.points.sample(min(_DRAWN, len(one.points)), random_state=0).sort_index()


def _scatter(one: EmbeddingMap, dataset: Dataset, key: str) -> Any:
    points = _points(one)
    points[["x", "y"]] = points[["x", "y"]].round(4)
    about = f"{len(points)} records of {dataset.name} by two coordinates of their embeddings"
    colour: Any = alt.value(charts.MODEL_COLOURS[0])
    if LABEL in points:
        order = label_names(dataset)
        points["name"] = [order[label] for label in points[LABEL]]
        colours = charts.MODEL_COLOURS if len(order) <= len(charts.MODEL_COLOURS) else None
        scale = alt.Scale(domain=order, range=list(colours[: len(order)])) if colours else alt.Scale(scheme="tableau20")
        colour = alt.Color("name:N", scale=scale, sort=order, legend=alt.Legend(title=None, orient="top", columns=4))
        about += ", coloured by label"
    elif TARGET in points:
        colour = alt.Color(f"{TARGET}:Q", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(title="target"))
        about += ", coloured by target"
    axis: dict[str, Any] = {"tickCount": 4, "labels": False, "ticks": False}
    title = ("Component 1", "Component 2") if one.facts["method"] == "pca" else ("UMAP 1", "UMAP 2")
    chart = (
        alt.Chart(points)
        .mark_circle(size=16, opacity=0.55)
        .encode(
            x=alt.X("x:Q", axis=alt.Axis(title=title[0], **axis), scale=alt.Scale(zero=False)),
            y=alt.Y("y:Q", axis=alt.Axis(title=title[1], **axis), scale=alt.Scale(zero=False)),
            color=colour,
        )
        .properties(width=420, height=340)
    )
    return charts.as_svg(chart, key, f"Map of {one.name}", f"{about}.")


def is_probe(group: Group) -> bool:
    """Whether a group's runs are probes."""
    return not group.is_baseline and group.runs[0].record["spec"]["recipe"]["method"] == "probe"


def chosen(run: Run) -> str:
    """What a probe was chosen to be: `layer 4, mean, penalty 0.01`."""
    found = run.record["chosen"]
    return f"layer {found['layer']}, {found['pooling']}, penalty {found['penalty']:g}"


def settings(group: Group, logs: Sequence[tuple[Run, pd.DataFrame]], metric: Metric, key: str) -> dict[str, Any]:
    """The settings that a probe was chosen from: a heat map of layers and poolings, and a note."""
    smaller = metric.name in SMALLER_IS_BETTER
    tables = [
        getattr(log.groupby(["layer", "pooling"], sort=False)[metric.name], "min" if smaller else "max")()
        for _, log in logs
    ]
    cells = pd.concat(tables, axis=1).mean(axis=1).rename("value").reset_index()
    picked = {(run.record["chosen"]["layer"], run.record["chosen"]["pooling"]) for run, _ in logs}
    cells["chosen"] = [(layer, pooling) in picked for layer, pooling in zip(cells.layer, cells.pooling, strict=True)]
    cells["text"] = [decimal(value, 2) for value in cells.value]
    tried = plural(len(logs[0][1]), "setting")
    said = [f"A probe on frozen states, the best of {tried} by validation {metric.prose}"]
    if len(logs) == 1:
        said.append(f"{chosen(logs[0][0])}")
    else:
        said.append("cells are means over seeds")
        said += [f"seed {run.seed}: {chosen(run)}" for run, _ in logs]
    if stopped := sum(run.record["not_converged"] for run, _ in logs):
        said.append(f"{count(stopped)} fits did not converge")
    said.append("a cell has the best of its penalties; outlined: chosen; layer 0 is the embedding of tokens")
    return {"note": "; ".join(said) + ".", "charts": [_heat(cells, metric, smaller, group.name, key)]}


def _heat(cells: pd.DataFrame, metric: Metric, smaller: bool, name: str, key: str) -> Any:
    poolings = list(dict.fromkeys(cells.pooling))
    layers = sorted(dict.fromkeys(cells.layer))
    low, high = float(cells.value.min()), float(cells.value.max())
    middle = (low + high) / 2
    cells["dark"] = cells.value < middle if smaller else cells.value > middle
    x = alt.X("layer:O", sort=layers, axis=alt.Axis(title="Layer", labelAngle=0))
    y = alt.Y("pooling:N", sort=poolings, axis=alt.Axis(title=None))
    base = alt.Chart(cells).encode(x=x, y=y)
    scale = alt.Scale(domain=[low, high if high > low else low + 1e-6], range=["#eef3f8", "#0b5a94"], reverse=smaller)
    layered = alt.layer(
        base.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=None)),
        base.transform_filter(alt.datum.chosen).mark_rect(filled=False, stroke=charts.INK, strokeWidth=2.5),
        base.mark_text(fontSize=11).encode(
            text="text:N", color=alt.condition(alt.datum.dark, alt.value("#ffffff"), alt.value(charts.INK))
        ),
    )
    width = max(180, min(780, 44 * len(layers)))
    about = "; ".join(f"layer {row.layer} {row.pooling} {row.text}" for row in cells.itertuples())
    chart = layered.properties(width=width, height=34 * len(poolings))
    return charts.as_svg(chart, key, f"Validation {metric.prose} of probes of {name}", about)
