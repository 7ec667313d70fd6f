"""All runs of a workflow in one table."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dnalm.config.runs import SeededRun
from dnalm.evaluation.statistics.run_metrics import METRICS
from dnalm.files import read_json

FLOAT_FORMAT = "%.6f"
_RUN = tuple(SeededRun.model_fields)


def summarize(results: Path, runs: Sequence[SeededRun]) -> pd.DataFrame:
    """One row a run, in the order given: its names, `n` and `METRICS` of test, the same of validation (prefixed)."""
    rows = []
    for run in runs:
        metrics = read_json(results / run.folder / "metrics.json")
        row = dict(run)
        for prefix, values in (("", metrics), ("validation_", metrics["validation"])):
            row |= {f"{prefix}{name}": values[name] for name in ("n", *METRICS)}
        rows.append(row)
    numbers = [f"{prefix}{name}" for prefix in ("", "validation_") for name in METRICS]
    columns = [*_RUN, "n", *METRICS, "validation_n", *(f"validation_{name}" for name in METRICS)]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))
