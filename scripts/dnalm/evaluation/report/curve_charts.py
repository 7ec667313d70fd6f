"""Charts of scores by the number of training records."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from dnalm.evaluation.report.charts import LINE, Style, as_svg

LearningPoint = tuple[int, float, float | None, float | None]
"""Training records, a value, and its lower and upper bounds."""


def learning_chart(
    series: Sequence[tuple[Style, Sequence[LearningPoint]]], measured: str, key: str, about: str
) -> Markup:
    """A metric by training records on a log axis: a line for each series, with its intervals."""
    sizes = sorted({point[0] for _, points in series for point in points})
    low = min([0.0, *(value for _, points in series for _, *rest in points for value in rest if value is not None)])
    axis = alt.Axis(title="Training records", values=sizes, format=",d", grid=False, labelFlush=False)
    x = alt.X("x:Q", scale=alt.Scale(type="log", domain=[sizes[0] / 1.15, sizes[-1] * 1.15], nice=False), axis=axis)
    scale = alt.Scale(domain=[low, 1], nice=False)
    y = alt.Y("y:Q", scale=scale, axis=alt.Axis(title=measured, tickCount=6, gridColor=LINE))
    layers = []
    for style, points in series:
        data = pd.DataFrame(points, columns=["x", "y", "low", "high"]).astype(float).round(4)
        base = alt.Chart(data).encode(x=x, y=y)
        look: dict[str, Any] = {"color": style.colour, "strokeDash": list(style.dash)}
        layers += [
            base.mark_line(strokeWidth=style.width, **look),
            base.transform_filter("isValid(datum.low)")
            .mark_rule(color=style.colour, strokeWidth=1.4, opacity=0.6)
            .encode(y=alt.Y("low:Q", title=measured), y2="high"),
            base.mark_point(color=style.colour, filled=True, size=34, opacity=1),
        ]
    return as_svg(alt.layer(*layers).properties(width=470, height=300), key, f"{measured} by training records", about)
