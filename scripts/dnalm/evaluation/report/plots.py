"""Training logs as charts with a note."""

from typing import Any

import pandas as pd

from dnalm.evaluation.report import charts
from dnalm.evaluation.report.descriptions import Description
from dnalm.evaluation.report.results import Dataset, Run
from dnalm.evaluation.report.views import run_name
from dnalm.names import SMALLER_IS_BETTER

_TRAINING, _VALIDATION = "#0072B2", "#D55E00"


def training(dataset: Dataset) -> list[dict[str, Any]]:
    """The training log of every model run as two charts and a note; only a note if nothing was trained."""
    result = []
    for number, (group, run) in enumerate(dataset.members):
        if run.log is not None:
            key = f"{dataset.name}-log{number}"
            result.append({"name": run_name(run, group), **_log(run, run.log, dataset.description, key)})
    return result


def _log(run: Run, log: pd.DataFrame, description: Description, key: str) -> dict[str, Any]:
    recipe = run.record["spec"]["recipe"]
    kept = log.loc[(log["epoch"] - run.record["best_epoch"]).abs().idxmin()]
    if recipe["method"] == "none":
        note = f"Nothing was trained: the checkpoint was scored as it is (validation loss {kept.validation_loss:.4f})."
        return {"note": note, "charts": []}
    criterion = description.metric(recipe["best_metric"] or description.primary.name)
    direction = "lowest" if criterion.name in SMALLER_IS_BETTER else "highest"
    note = (
        f"Epoch {kept.epoch:g} of {log['epoch'].max():g} was kept"
        f" ({direction} validation {criterion.prose}; dashed line)."
    )
    losses = {"training_loss": ("training", _TRAINING), "validation_loss": ("validation", _VALIDATION)}
    score = description.primary if criterion.name == "loss" else criterion
    shown = [
        charts.log_chart(log, losses, "Loss", float(kept.epoch), f"{key}-loss"),
        charts.log_chart(
            log, {score.name: ("validation", _VALIDATION)}, score.title, float(kept.epoch), f"{key}-score"
        ),
    ]
    return {"note": note, "charts": shown}
