"""Charts of predicted numbers: predicted against true, residuals by target, and the targets of each split."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from markupsafe import Markup

from dnalm.evaluation.report.charts import INK, LINE, MUTED, Style, as_svg
from dnalm.evaluation.report.text import significant
from dnalm.tables.predictions import NumberPredictions

POINTS = 400
"""Most records drawn as points; more are counted in squares."""
SQUARES = 30
"""Squares per side."""

_LABEL = (
    "datum.value && (abs(datum.value) >= 1e6 || abs(datum.value) < 1e-3) ? format(datum.value, '.2~e')"
    " : format(datum.value, ',.4~r')"
)
"""Vega expression for axis labels of any magnitude."""

Span = tuple[float, float]


def _axis(field: str, title: str, span: Span, **axis: Any) -> Any:
    channel = alt.X if field.startswith("x") else alt.Y
    scale = alt.Scale(domain=list(span), nice=False, zero=False)
    return channel(
        f"{field}:Q", scale=scale, axis=alt.Axis(title=title, tickCount=4, labelExpr=_LABEL, labelFlush=False, **axis)
    )


def scatter_chart(
    predictions: NumberPredictions, span: Span, style: Style, name: str, key: str, scores: Sequence[str]
) -> Markup:
    """Predicted against true values: points, or counts in squares if there are many records.

    span: the lowest and the highest target; predictions beyond are drawn at the edge. scores: a run's, as text.
    """
    true, guess = predictions.targets, predictions.predicted.clip(*span)
    x, y = _axis("x", "True", span), _axis("y", "Predicted", span)
    ends = alt.Chart(pd.DataFrame({"x": span, "y": span})).mark_line(color=LINE, strokeWidth=1.5).encode(x=x, y=y)
    if len(true) <= POINTS:
        data = pd.DataFrame({"x": true, "y": guess})
        drawn = alt.Chart(data).mark_point(color=style.colour, filled=True, size=14, opacity=0.6).encode(x=x, y=y)
    else:
        drawn = _squares(true, guess, span, style.colour, x, y)
    about = f"{len(true):,} test records; {', '.join(scores)}."
    chart = alt.layer(ends, drawn).properties(width=190, height=190)
    return as_svg(chart, key, f"Predicted against true of {name}", about)


def _squares(true: np.ndarray, guess: np.ndarray, span: Span, colour: str, x: Any, y: Any) -> Any:
    counts, edges, _ = np.histogram2d(true, guess, bins=SQUARES, range=[span, span])
    at = np.argwhere(counts)
    data = pd.DataFrame(
        {
            "x": edges[at[:, 0]],
            "x2": edges[at[:, 0] + 1],
            "y": edges[at[:, 1]],
            "y2": edges[at[:, 1] + 1],
            "shade": 0.12 + 0.88 * np.sqrt(counts[tuple(at.T)] / counts.max()),
        }
    )
    shade = alt.Opacity("shade:Q", scale=None, legend=None)
    return alt.Chart(data).mark_rect(color=colour).encode(x=x, x2="x2", y=y, y2="y2", opacity=shade)


def residual_chart(bins: Sequence[Mapping[str, Any]], span: Span, style: Style, name: str, key: str) -> Markup:
    """Residuals by quantiles of the target: median and quartiles of each, with a line at 0."""
    data = pd.DataFrame(bins).assign(place=np.arange(1, len(bins) + 1))
    ticks = [1, len(bins)] if len(bins) > 1 else [1]
    labels = {place: significant(bins[place - 1]["target_median"]) for place in ticks}
    label = " : ".join(f"datum.value == {place} ? '{text}'" for place, text in labels.items())
    axis = alt.Axis(
        title="Targets, lowest to highest", values=ticks, labelExpr=f"{label} : ''", grid=False, labelFlush=False
    )
    x = alt.X("place:Q", scale=alt.Scale(domain=[0.5, len(bins) + 0.5], nice=False), axis=axis)
    margin = 0.05 * ((span[1] - span[0]) or 1.0)
    scale = alt.Scale(domain=[span[0] - margin, span[1] + margin], nice=False)

    def y(field: str) -> Any:
        return alt.Y(f"{field}:Q", scale=scale, axis=alt.Axis(title="True − predicted", tickCount=4, labelExpr=_LABEL))

    base = alt.Chart(data).encode(x=x)
    zero = alt.Chart(pd.DataFrame({"y": [0.0]})).mark_rule(color=MUTED, strokeDash=[3, 3]).encode(y=y("y"))
    bars = base.mark_rule(color=style.colour, strokeWidth=2.4).encode(y=y("quartile_1"), y2="quartile_3")
    medians = base.mark_point(color=style.colour, filled=True, size=34, opacity=1).encode(y=y("median"))
    about = "Median residual, lowest to highest targets: " + ", ".join(significant(part["median"]) for part in bins)
    chart = alt.layer(zero, bars, medians).properties(width=190, height=130)
    return as_svg(chart, key, f"Residuals of {name}", f"{about}.")


def targets_chart(splits: Mapping[str, Mapping[str, Any]], title: str, key: str) -> Markup:
    """The targets of each split as a box: range, quartiles and median. splits: their summaries, by name."""
    rows = [{"split": split, **facts} for split, facts in splits.items()]
    y = alt.Y(
        "split:N", sort=list(splits), axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=8, minExtent=80)
    )
    span = (min(row["minimum"] for row in rows), max(row["maximum"] for row in rows))

    def x(field: str) -> Any:
        axis = alt.Axis(title=title, tickCount=6, labelExpr=_LABEL, labelFlush=False)
        return alt.X(f"{field}:Q", scale=alt.Scale(domain=list(span), nice=True, zero=False), axis=axis)

    base = alt.Chart(pd.DataFrame(rows)).encode(y=y)
    whiskers = base.mark_rule(color=MUTED, strokeWidth=1.2).encode(x=x("minimum"), x2="maximum")
    boxes = base.mark_bar(color="#9fc3dc", height=16).encode(x=x("quartile_1"), x2="quartile_3")
    medians = base.mark_tick(color=INK, thickness=2, height=16).encode(x=x("median"))
    about = "; ".join(f"{split}: median {significant(facts['median'])}" for split, facts in splits.items())
    chart = alt.layer(whiskers, boxes, medians).properties(width=520, height=34 * len(rows))
    return as_svg(chart, key, f"{title} by split", f"{about}.")
