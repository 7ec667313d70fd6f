"""Run groups on one small table, to be compared."""

import numpy as np
import pandas as pd

from dnalm.config.stages.evaluation import CompareSettings
from dnalm.evaluation.statistics.comparison import RunGroup
from dnalm.tables.predictions import ClassPredictions

LIMITS = CompareSettings(
    dataset="d", kind="table", runs=[], twins={}, confidence=0.95, effective_groups=30, largest_group=0.05
)


def predictions(ids, labels, skill: float, seed: int) -> ClassPredictions:
    """Guesses that are right with probability `skill`."""
    labels = np.asarray(labels)
    right = np.random.default_rng(seed).random(len(labels)) < skill
    score = np.where(right, 0.9, 0.1)
    return ClassPredictions(np.asarray(ids, object), labels, np.where((labels == 1)[:, None], np.column_stack((1 - score, score)), np.column_stack((score, 1 - score))).round(6))  # fmt: skip


def table(size: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": [f"test-{i}" for i in range(size)],
            "sequence": ["".join(rng.choice(list("ACGT"), 30)) for _ in range(size)],
            "label": np.arange(size) % 2,
            "group": [f"g{i // 4}" for i in range(size)],
            "source": "table",
        }
    )


def group(model: str, recipe: str, *skills: tuple[float, float], rows: slice = slice(None)) -> RunGroup:
    """A run for each (skill on validation, skill on test)."""
    test = table()
    runs = []
    for seed, (on_validation, on_test) in enumerate(skills):
        number = seed + 7 * len(model + recipe)
        ids = [f"validation-{i}" for i in range(len(test))]
        scored = predictions(ids, test["label"], on_validation, number + 1)
        runs.append({"validation": scored, "test": predictions(test["id"][rows], test["label"][rows], on_test, number)})
    return RunGroup(model, recipe, runs)
