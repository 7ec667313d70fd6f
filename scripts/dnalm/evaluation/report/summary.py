"""All runs of a workflow in one table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dnalm.config.runs import SeededRun
from dnalm.evaluation.statistics.metric_names import METRICS
from dnalm.files import read_json

FLOAT_FORMAT = "%.6g"
"""An RMSE is in the unit of its targets, which may be small."""
_RUN = tuple(SeededRun.model_fields)


def summarize(results: Path, runs: Sequence[SeededRun]) -> pd.DataFrame:
    """One row per run, in order: names, objective, `n` and metrics of test, and of validation (prefixed).

    Columns are those of all objectives that occur; metrics of other objectives are missing values.
    """
    found = [read_json(results / run.folder / "metrics.json") for run in runs]
    objectives = [name for name in METRICS if any(metrics["objective"] == name for metrics in found)]
    names = [name for objective in objectives for name in METRICS[objective]]
    rows = []
    for run, metrics in zip(runs, found, strict=True):
        row = {**dict(run), "objective": metrics["objective"]}
        for prefix, values in (("", metrics), ("validation_", metrics["validation"])):
            row |= {f"{prefix}{name}": values[name] for name in ("n", *METRICS[metrics["objective"]])}
        rows.append(row)
    numbers = [f"{prefix}{name}" for prefix in ("", "validation_") for name in names]
    columns = [*_RUN, "objective", "n", *names, "validation_n", *(f"validation_{name}" for name in names)]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))
