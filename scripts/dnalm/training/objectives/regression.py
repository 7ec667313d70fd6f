"""Regression: a number for each sequence, learnt by squared error."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.metrics import regression_metrics
from dnalm.names import METRICS
from dnalm.tables.predictions import NumberPredictions, Predictions
from dnalm.training.objectives.base import SEQUENCE_CLASS, SEQUENCE_MODEL, Head, Records, Targets, Unit

MEAN, SCALE = "target_mean", "target_scale"
"""Keys of a finished model's config.json: output * scale + mean is in the targets' unit."""


@dataclass(frozen=True)
class Regression:
    """One number per sequence, learnt as (target - mean) / scale, so that learning rates do not depend on the unit.

    mean, scale: of the training targets, or from a finished model's config; None keeps a checkpoint's head as it is.
    """

    mean: float | None = None
    scale: float | None = None

    name: ClassVar[str] = "regression"
    unit: ClassVar[Unit] = "sequence"
    metrics: ClassVar[tuple[str, ...]] = METRICS["regression"]
    averages: ClassVar[bool] = True

    @classmethod
    def of_targets(cls, targets: NDArray[np.float64]) -> "Regression":
        """For training on `targets` (n,); their scale is the standard deviation."""
        return cls(float(targets.mean()), float(targets.std()) or 1.0)

    @classmethod
    def of_config(cls, config: Any) -> "Regression":
        """For scoring with a model: mean and scale of its config, or its raw outputs if it has none."""
        return cls(float(getattr(config, MEAN, 0.0)), float(getattr(config, SCALE, 1.0)))

    @property
    def head(self) -> Head:
        """One output, with mean and scale in the config."""
        if self.mean is None or self.scale is None:
            return Head(SEQUENCE_CLASS, SEQUENCE_MODEL, None)
        settings = {"id2label": {0: "target"}, "label2id": {"target": 0}, "problem_type": "regression"}
        return Head(SEQUENCE_CLASS, SEQUENCE_MODEL, {**settings, MEAN: self.mean, SCALE: self.scale})

    def strata(self, records: Records) -> NDArray[np.int64]:
        """Deciles of the targets, so that batches of similar lengths have targets of all sizes."""
        targets = records.truth_of(np.arange(len(records)))
        edges = np.quantile(targets, np.linspace(0, 1, 11)[1:-1])
        return np.searchsorted(edges, targets, side="right").astype(np.int64)

    def weights(self, records: Records) -> NDArray[np.float64]:
        """All examples have the same weight."""
        return np.ones(len(records))

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """The target of each sequence, standardised, in fp32."""
        values = (records.truth_of(indices) - (self.mean or 0.0)) / (self.scale or 1.0)
        return Targets(ids, values.astype(np.float32))

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Squared error of logits (n, 1) and standardised targets (n,)."""
        return (logits[..., 0].float() - targets) ** 2

    def columns(self, config: Any) -> int:
        """One number."""
        return 1

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Predictions in the targets' unit."""
        return logits.double() * (1.0 if self.scale is None else self.scale) + (self.mean or 0.0)

    def misfit(self, truth: NDArray[Any], config: Any) -> tuple[int, str] | None:
        """Any record, if the model has several outputs: it does not predict a number."""
        if config.num_labels != 1:
            return 0, f"has a target, a number, and the model {config.num_labels} outputs"
        return None

    def predictions(
        self, ids: NDArray[np.object_], truth: NDArray[Any] | None, scores: NDArray[np.float64]
    ) -> Predictions:
        """Targets and predicted numbers."""
        return NumberPredictions(ids, np.asarray(truth, dtype=np.float64), scores[:, 0])

    def quality(self, scores: NDArray[np.float64], truth: NDArray[Any] | None) -> dict[str, float]:
        """The loss (mean squared error of standardised targets) and the metrics."""
        targets = np.asarray(truth, dtype=np.float64)
        errors = (scores[:, 0] - targets) / (self.scale or 1.0)
        return {"loss": float((errors**2).mean()), **regression_metrics(targets, scores[:, 0])}
