"""The report's charts as inline SVG: one style, readable without colour, deterministic."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from dnalm.evaluation.statistics.curves import Curve

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
INK, MUTED, LINE = "#1c2733", "#5a6672", "#e3e8ec"
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#B8860B")
"""Colour-blind safe, after Okabe and Ito (2008); their yellow is darkened for lines on white."""
MODEL_DASHES: tuple[list[int], ...] = ([], [9, 3], [2, 2])
BASELINE_STYLES: dict[str, tuple[str, list[float]]] = {
    "majority": ("#C3CAD0", [1, 3]),
    "mean": ("#C3CAD0", [1, 5]),
    "length_gc": ("#A3ADB6", [2, 3]),
    "kmer": ("#7D8994", [6, 3]),
    "boosting": ("#A08A6C", [6, 3]),
    "periodicity": ("#56616B", [7, 2, 2, 2]),
    "cnn": ("#7A6448", [7, 2, 2, 2]),
    "trf": ("#1C2733", [12, 3]),
    "uniform": ("#8C959D", [1.5, 3]),
    "markov": ("#6A7883", [6, 3]),
    "mixture": ("#7A6448", [10, 3]),
}
"""Colour and dash: cool greys for counted features, warm ones for learnt features, ink for the reference."""
SHAPES = {"model": "circle", "baseline": "square", "reference": "diamond"}


@dataclass(frozen=True)
class Style:
    """How a run is drawn wherever it appears."""

    colour: str
    dash: Sequence[float]
    width: float

    @property
    def swatch(self) -> Markup:
        """A short line for a legend."""
        dash = " ".join(map(str, self.dash))
        return Markup(
            '<svg class="swatch" width="30" height="10" aria-hidden="true"><line x1="1" y1="5" x2="29" y2="5"'
            ' stroke="{}" stroke-width="{}" stroke-dasharray="{}"/></svg>'
        ).format(self.colour, self.width, dash or "none")


def model_style(index: int) -> Style:
    """The style of a data set's model number `index`: six colours, then the same dashed."""
    dash = MODEL_DASHES[index // len(MODEL_COLOURS) % len(MODEL_DASHES)]
    return Style(MODEL_COLOURS[index % len(MODEL_COLOURS)], dash, 2.2)


def baseline_style(name: str) -> Style:
    """The style of a baseline: grey and dashed, unlike models."""
    colour, dash = BASELINE_STYLES[name]
    return Style(colour, dash, 1.8)


def curves_chart(curves: Sequence[tuple[Style, Curve]], kind: str, key: str, about: str) -> Markup:
    """Curves of several groups in one chart; kind: `roc` or `precision_recall`."""
    x, y = {
        "roc": ("False positive rate", "True positive rate"),
        "precision_recall": ("Recall", "Precision"),
    }[kind]
    layers = [_diagonal()] if kind == "roc" else []
    for style, (xs, ys) in curves:
        mark: dict[str, Any] = {
            "color": style.colour,
            "strokeWidth": style.width,
            "strokeDash": list(style.dash),
            "clip": True,
        }
        data = pd.DataFrame({"x": xs.round(4), "y": ys.round(4)})
        layers.append(
            alt.Chart(data)
            .mark_line(interpolate="linear" if kind == "roc" else "step-before", **mark)
            .encode(x=_unit("x", x), y=_unit("y", y), order="x:Q")
        )
    title = "ROC curves" if kind == "roc" else "Precision-recall curves"
    return as_svg(alt.layer(*layers).properties(width=360, height=340), key, title, about)


def _diagonal() -> Any:
    data = pd.DataFrame({"x": [0, 1], "y": [0, 1]})
    return alt.Chart(data).mark_line(color=LINE, strokeWidth=1.5).encode(x="x:Q", y="y:Q")


def _unit(field: str, title: str, ticks: Sequence[float] = (0, 0.2, 0.4, 0.6, 0.8, 1)) -> Any:
    axis = alt.Axis(title=title, values=list(ticks), format=".1f", labelFlush=False)
    channel = alt.X if field == "x" else alt.Y
    return channel(f"{field}:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=axis)


def log_chart(
    logs: Sequence[tuple[pd.DataFrame, float]], columns: dict[str, tuple[str, str]], title: str, key: str
) -> Markup:
    """Columns of training logs over epochs, each log with the epoch that was kept, which is marked.

    columns: {column of a log: (name in the legend, colour)}.
    """
    names = [name for name, _ in columns.values()]
    parts = []
    for number, (log, kept) in enumerate(logs):
        part = log.rename(columns={column: name for column, (name, _) in columns.items()})
        part = part[["epoch", *names]].melt("epoch", var_name="series").dropna()
        parts.append(part.assign(run=number, kept=part["epoch"] == kept))
    data = pd.concat(parts, ignore_index=True)
    data["value"] = data["value"].round(5)
    colour = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[colour for _, colour in columns.values()]),
        legend=alt.Legend(title=None, orient="top", symbolType="stroke", symbolStrokeWidth=2.5),
    )
    first, last = float(data["epoch"].min()), float(data["epoch"].max())
    ticks = max(1, min(8, round(last - first)))
    epochs = alt.X(
        "epoch:Q",
        scale=alt.Scale(domain=[min(first, 1.0) if last > 1 else 0, last], nice=False),
        axis=alt.Axis(title="Epoch", tickCount=ticks, format="~r", grid=False, labelFlush=False),
    )
    value = alt.Y("value:Q", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(title=title, tickCount=5))
    base = alt.Chart(data).encode(x=epochs, y=value, color=colour, detail="run:N")
    rules = pd.DataFrame({"epoch": sorted({kept for _, kept in logs})})
    rule = alt.Chart(rules).mark_rule(color=MUTED, strokeDash=[3, 3]).encode(x=epochs)
    lines = base.mark_line(strokeWidth=2, point={"size": 18}) if len(logs) == 1 else base.mark_line(strokeWidth=1.2)
    chosen = base.transform_filter(alt.datum.kept).mark_point(size=70, filled=True, opacity=1)
    ends = "; ".join(
        f"{name} {group.value.iloc[0]:g} to {group.value.iloc[-1]:g}"
        for (name, _), group in data.groupby(["series", "run"], sort=False)
    )
    chart = alt.layer(rule, lines, chosen).properties(width=390, height=180)
    return as_svg(chart, key, f"{title} by epoch", f"{ends}; dashed: the epochs that were kept.")


Bin = dict[str, Any]
"""A bin of a reliability plot: mean_score, fraction, n."""


def reliability_chart(runs: Sequence[Sequence[Bin]], style: Style, title: str, key: str, about: str) -> Markup:
    """The observed fraction of the predicted label over its predicted probability, one line per run."""
    layers = [_diagonal()]
    for bins in runs:
        known = [part for part in bins if part["n"]]
        data = pd.DataFrame({"x": [part["mean_score"] for part in known], "y": [part["fraction"] for part in known]})
        base = alt.Chart(data.round(4)).encode(
            x=_unit("x", "Predicted probability", [0, 0.5, 1]),
            y=_unit("y", "Observed fraction", [0, 0.5, 1]),
            order="x:Q",
        )
        layers.append(base.mark_line(color=style.colour, strokeWidth=1.4, strokeDash=list(style.dash)))
        layers.append(base.mark_point(color=style.colour, filled=True, size=26, opacity=1))
    return as_svg(alt.layer(*layers).properties(width=170, height=170), key, f"Reliability of {title}", about)


Point = tuple[float, float | None, float | None]
"""A value with its lower and upper bounds."""


def ladder_chart(
    rungs: Sequence[str],
    series: Sequence[tuple[Style, str, Sequence[Point | None]]],
    measured: str,
    key: str,
    about: str,
) -> Markup:
    """A metric by rung, one band per rung from the top; in it one point with its interval for each series.

    series: (style, kind, a point per rung). A thin line joins the points of a series.
    """
    pitch, head = 9, 26
    band = head + pitch * len(series) + 6
    low = min(
        [0.0, *(bound for *_, points in series for point in points if point for bound in point if bound is not None)]
    )
    height = band * len(rungs)
    x_axis = alt.Axis(title=measured, orient="top", tickCount=6, format=".1f", labelFlush=False, gridColor=LINE)
    x = alt.X("x:Q", scale=alt.Scale(domain=[low, 1], nice=False), axis=x_axis)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, height], nice=False, reverse=True), axis=None)
    bands = pd.DataFrame({"y": [band * i for i in range(0, len(rungs), 2)]})
    bands["end"] = bands["y"] + band
    names = pd.DataFrame({"x": low, "y": [band * i + 13 for i in range(len(rungs))], "text": list(rungs)})
    text = alt.Chart(names).mark_text(align="left", dx=6, fontSize=12, fontWeight="bold", color=INK)
    layers = [
        alt.Chart(bands).mark_rect(color="#f5f7f9").encode(y=y, y2="end"),
        text.encode(x=x, y=y, text="text:N"),
    ]
    for place, (style, kind, points) in enumerate(series):
        rows = [
            {"x": point[0], "low": point[1], "high": point[2], "y": band * rung + head + pitch * (place + 0.5)}
            for rung, point in enumerate(points)
            if point
        ]
        base = alt.Chart(pd.DataFrame(rows).astype(float).round(4)).encode(y=y)
        dash = list(style.dash)
        layers += [
            base.mark_line(color=style.colour, strokeWidth=1, strokeDash=dash, opacity=0.4).encode(x=x, order="y:Q"),
            base.transform_filter("isValid(datum.low)")
            .mark_rule(color=style.colour, strokeWidth=2.4)
            .encode(x=alt.X("low:Q", title=measured), x2="high"),
            base.mark_point(shape=SHAPES[kind], color=style.colour, filled=True, size=50, opacity=1).encode(x=x),
        ]
    return as_svg(alt.layer(*layers).properties(width=470, height=height), key, f"{measured} on every rung", about)


def as_svg(chart: Any, key: str, title: str, description: str) -> Markup:
    """Render a chart with a title and description for screen readers; ids begin with `key`."""
    axis = {"labelColor": MUTED, "titleColor": INK, "gridColor": LINE, "domainColor": "#9aa5af", "tickColor": "#9aa5af"}
    size = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
    look = (
        chart.configure(font=FONT, background="transparent", padding=4)
        .configure_axis(**axis, **size, tickSize=4)
        .configure_view(stroke=None)
        .configure_legend(labelColor=INK, labelFontSize=11.5, symbolSize=220, offset=4, padding=0)
    )
    stream = io.StringIO()
    look.save(stream, format="svg")
    return accessible(stream.getvalue(), key, title, description)


def accessible(svg: str, key: str, title: str, description: str) -> Markup:
    """An SVG for a page: scalable, with a title and description for screen readers, and unique ids."""
    order = {name: f"{key}-{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]+)"', svg)))}
    for old, new in order.items():
        svg = (
            svg.replace(f'id="{old}"', f'id="{new}"')
            .replace(f"url(#{old})", f"url(#{new})")
            .replace(f'"#{old}"', f'"#{new}"')
        )
    svg = re.sub(r"<[^>]+>", lambda tag: re.sub(r"-?\d+\.\d{3,}", _short, tag[0]), svg)
    opening, rest = svg.split(">", 1)
    rest = re.sub(r' (aria-[a-z]+|role|class)="[^"]*"', "", rest)
    width = re.search(r'width="([\d.]+)"', opening)
    box = re.search(r'viewBox="([^"]+)"', opening)
    if not (width and box):
        raise AssertionError("an SVG without width and viewBox")
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="{box}" style="max-width:{width}px" role="img"'
        ' aria-labelledby="{key}-t {key}-d"><title id="{key}-t">{title}</title><desc id="{key}-d">{description}</desc>'
    ).format(box=box[1], width=width[1], key=key, title=title, description=description)
    return head + Markup(rest)  # noqa: S704  (from the renderer, with our numbers and escaped names)


def _short(number: re.Match[str]) -> str:
    """A coordinate with two decimals."""
    return f"{float(number[0]):.2f}"
