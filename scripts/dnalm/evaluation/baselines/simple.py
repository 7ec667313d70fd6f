"""Simple baselines that a language model has to beat.

Each is fitted on train on simple features of a sequence, with the settings that give the highest MCC (labels) or
Spearman correlation (targets) on validation. Deterministic.
"""

from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.evaluation.baselines.candidates import CANDIDATES, Features
from dnalm.evaluation.baselines.outcome import Outcome
from dnalm.metrics import classification_metrics, regression_metrics
from dnalm.names import LABEL, METRICS, spread
from dnalm.tables.predictions import ClassPredictions, NumberPredictions, Predictions
from dnalm.tables.sequences import truth_column


def fit_baseline(name: str, tables: dict[str, pd.DataFrame], most_settings: int | None = None) -> Outcome:
    """Fit a baseline on `tables["train"]`, choose its settings on validation, and score all splits but train.

    tables: sequence tables of train, validation, test and optionally `background`, with labels or with targets; for
    `trf` with the column `CALLED` too. most_settings: how many settings are tried at most, evenly spread over the grid;
    None for all. A class missing in train gets probability 0. Of settings that tie on validation the first (simplest)
    is taken. Raises `UserError` for a train table with fewer than two classes or different
    targets, for splits without records, and for a baseline that does not predict this column.
    """
    column = truth_column(tables["train"])
    if name not in CANDIDATES[column]:
        raise UserError(f"baselines: '{name}' predicts no {column}; use one of {', '.join(CANDIDATES[column])}")
    description, candidates = CANDIDATES[column][name]
    grid = list(candidates(column))
    truth = {split: table[column].to_numpy() for split, table in tables.items()}
    task: _Labels | _Targets = (_Labels if column == LABEL else _Targets)(truth)
    metric = f"validation_{task.metric}"
    features: dict[str, Features] = {}
    key: tuple[Any, ...] | None = None
    tried: list[dict[str, Any]] = []
    best: tuple[float, dict[str, Any], bool, dict[str, np.ndarray]] | None = None
    with threadpool_limits(limits=1):  # the order of sums would change results
        for index in tqdm(spread(len(grid), most_settings), desc=name, unit="fit", mininterval=1):
            candidate = grid[index]
            if key != candidate.key:
                features = {s: candidate.features(table[candidate.column].tolist()) for s, table in tables.items()}
                key = candidate.key
            validation = task.validation(features["validation"]) if candidate.early_stopping else {}
            candidate.model.fit(features["train"], truth["train"], **validation)
            scores = {split: task.scores(candidate.model, features[split]) for split in tables if split != "train"}
            quality = task.quality(scores["validation"])
            tried.append({**candidate.settings, metric: round(quality, 6)})
            if best is None or quality > best[0]:
                best = (quality, candidate.settings, _converged(candidate.model), scores)
    assert best is not None  # noqa: S101  (every baseline has a candidate)
    _, chosen, converged, scores = best
    predictions = {
        split: task.predictions(tables[split]["id"].to_numpy(dtype=object), truth[split], values)
        for split, values in scores.items()
    }
    record = {
        "description": description,
        "chosen": chosen,
        "tried": tried,
        "grid": len(grid),
        "converged": converged,
    }
    return Outcome(predictions, record)


class _Labels:
    """Classes: probabilities, scored by MCC."""

    metric = METRICS["classification"][0]

    def __init__(self, truth: dict[str, np.ndarray]) -> None:
        _check_sizes(truth)
        found = np.unique(truth["train"])
        if len(found) < 2:
            raise UserError(f"train: only one class (label {found[0]}); a classifier needs at least two")
        self._known = np.isin(truth["validation"], found)
        if not self._known.any():
            raise UserError("validation: no record has a label that occurs in train")
        self._validation = truth["validation"]
        self._classes = 1 + max(int(values.max(initial=1)) for values in truth.values())

    def validation(self, features: Features) -> dict[str, Any]:
        """Validation as arguments of a fit, without classes that train lacks."""
        return {"X_val": features[self._known], "y_val": self._validation[self._known]}

    def scores(self, model: Any, features: Features) -> np.ndarray:
        """Probabilities of all classes, shape (n, classes)."""
        scores = np.zeros((features.shape[0], self._classes))
        scores[:, model.classes_] = model.predict_proba(features)
        return scores

    def quality(self, scores: np.ndarray) -> float:
        """MCC of the most probable class on validation."""
        return classification_metrics(self._validation, scores.argmax(axis=1), self._classes)[self.metric]

    def predictions(self, ids: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> Predictions:
        """One split's predictions."""
        return ClassPredictions(ids, truth, scores)


class _Targets:
    """Numbers, scored by Spearman correlation."""

    metric = METRICS["regression"][0]

    def __init__(self, truth: dict[str, np.ndarray]) -> None:
        _check_sizes(truth)
        if not np.ptp(truth["train"]):
            raise UserError(f"train: every target is {truth['train'][0]:g}; there is nothing to learn")
        self._validation = truth["validation"]

    def validation(self, features: Features) -> dict[str, Any]:
        """Validation as arguments of a fit."""
        return {"X_val": features, "y_val": self._validation}

    def scores(self, model: Any, features: Features) -> np.ndarray:
        """Predicted targets, shape (n,)."""
        return np.asarray(model.predict(features), dtype=np.float64)

    def quality(self, scores: np.ndarray) -> float:
        """Spearman correlation on validation."""
        return regression_metrics(self._validation, scores)[self.metric]

    def predictions(self, ids: np.ndarray, truth: np.ndarray, scores: np.ndarray) -> Predictions:
        """One split's predictions."""
        return NumberPredictions(ids, truth, scores)


def _check_sizes(truth: dict[str, np.ndarray]) -> None:
    for split, values in truth.items():
        if not len(values):
            raise UserError(f"{split}: holds no records")


def _converged(model: Any) -> bool:
    """Whether a fit stopped before its limit of iterations; True for models without iterations."""
    last = model[-1] if hasattr(model, "steps") else model
    rounds = getattr(last, "n_iter_", None)
    return rounds is None or bool(np.max(rounds) < last.max_iter)
