"""Training logs as charts with a note."""

from typing import Any

import pandas as pd

from dnalm.evaluation.report import charts, embeddings
from dnalm.evaluation.report.descriptions import Description
from dnalm.evaluation.report.results import Dataset, Group, Run
from dnalm.evaluation.report.text import listed
from dnalm.names import SMALLER_IS_BETTER

_TRAINING, _VALIDATION = "#0072B2", "#D55E00"


def training(dataset: Dataset) -> list[dict[str, Any]]:
    """The training logs of every model, all seeds together, as two charts and a note; just a note if not trained."""
    result = []
    for number, group in enumerate(dataset.models):
        logs = [(run, run.log) for run in group.runs if run.log is not None]
        result.append({"name": group.name, **_drawn(group, logs, dataset.description, f"{dataset.name}-log{number}")})
    return result


def _drawn(group: Group, logs: list[tuple[Run, pd.DataFrame]], description: Description, key: str) -> dict[str, Any]:
    recipe = group.runs[0].record["spec"]["recipe"]
    if embeddings.is_probe(group):
        criterion = description.metric(recipe["best_metric"] or description.primary.name)
        return embeddings.settings(group, logs, criterion, f"{key}-settings")
    kept = [log.loc[(log["epoch"] - run.record["best_epoch"]).abs().idxmin()] for run, log in logs]
    if recipe["method"] == "none":
        loss = kept[0].validation_loss
        note = f"Nothing was trained: the checkpoint was scored as it is (validation loss {loss:.4f})."
        return {"note": note, "charts": []}
    criterion = description.metric(recipe["best_metric"] or description.primary.name)
    direction = "lowest" if criterion.name in SMALLER_IS_BETTER else "highest"
    by = f"({direction} validation {criterion.prose}; dashed line)"
    if len(logs) == 1:
        note = f"Epoch {kept[0].epoch:g} of {logs[0][1]['epoch'].max():g} was kept {by}."
    else:
        epochs = [f"{row.epoch:g} of seed {run.seed}" for (run, _), row in zip(logs, kept, strict=True)]
        note = f"A line a seed. Kept were epochs {listed(epochs)} {by}."
    losses = {"training_loss": ("training", _TRAINING), "validation_loss": ("validation", _VALIDATION)}
    score = description.primary if criterion.name == "loss" else criterion
    drawn = [(log, float(row.epoch)) for (_, log), row in zip(logs, kept, strict=True)]
    shown = [
        charts.log_chart(drawn, losses, "Loss", f"{key}-loss"),
        charts.log_chart(drawn, {score.name: ("validation", _VALIDATION)}, score.title, f"{key}-score"),
    ]
    return {"note": note, "charts": shown}
