"""Classification: a label for each sequence, learnt by cross-entropy or focal loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.errors import UserError
from dnalm.metrics import classification_metrics
from dnalm.names import METRICS
from dnalm.tables.predictions import ClassPredictions, Predictions
from dnalm.training.objectives.base import SEQUENCE_CLASS, SEQUENCE_MODEL, Head, Records, Targets, Unit

Labels = Mapping[int, str]
ClassWeights = Literal["balanced"] | Sequence[float] | None


@dataclass(frozen=True)
class Classification:
    """One label per sequence.

    labels: names of the classes; None keeps those of a checkpoint. class_weights: from the function `class_weights`.
    focal_gamma: above 0 the focal loss is used instead of cross-entropy, so well-classified examples count less.
    """

    labels: Labels | None = None
    class_weights: ClassWeights = None
    focal_gamma: float = 0.0

    name: ClassVar[str] = "classification"
    unit: ClassVar[Unit] = "sequence"
    metrics: ClassVar[tuple[str, ...]] = METRICS["classification"]
    averages: ClassVar[bool] = True

    @property
    def head(self) -> Head:
        """A classifier of these labels."""
        return Head(SEQUENCE_CLASS, SEQUENCE_MODEL, None if self.labels is None else label_settings(self.labels))

    def strata(self, records: Records) -> NDArray[np.int64]:
        """The labels: batches of similar lengths would otherwise have one label where classes differ in length."""
        return np.asarray(records.truth_of(np.arange(len(records))), dtype=np.int64)

    def weights(self, records: Records) -> NDArray[np.float64]:
        """By class; `balanced`: n / (k * count of the label), for the k labels that occur (scikit-learn's formula)."""
        return example_weights(self.strata(records), self.class_weights)

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """The label of each sequence."""
        return Targets(ids, np.asarray(records.truth_of(indices), dtype=np.int64))

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of logits (n, classes) and labels (n,), or the focal loss.

        The focal loss is cross-entropy times (1 - p) ** gamma, where p is the predicted probability of the label (Lin
        et al., 2017, "Focal loss for dense object detection").
        """
        losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        if self.focal_gamma:
            missed = -torch.expm1(-losses)  # 1 - p, without rounding p to 1
            # a power below 1 has an infinite gradient at 0, which is where p = 1
            losses = losses * missed.clamp(min=torch.finfo(missed.dtype).tiny) ** self.focal_gamma
        return losses

    def columns(self, config: Any) -> int:
        """One probability per class."""
        return int(config.num_labels)

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes."""
        return torch.softmax(logits.double(), dim=-1)

    def misfit(self, truth: NDArray[Any], config: Any) -> tuple[int, str] | None:
        """A label that the model has no class for."""
        wrong = (truth < 0) | (truth >= config.num_labels)
        first = int(wrong.argmax())
        return (first, f"has label {truth[first]} and the model {config.num_labels} classes") if wrong.any() else None

    def predictions(
        self, ids: NDArray[np.object_], truth: NDArray[Any] | None, scores: NDArray[np.float64]
    ) -> Predictions:
        """Labels and probabilities."""
        return ClassPredictions(ids, np.asarray(truth, dtype=np.int64), scores)

    def quality(self, scores: NDArray[np.float64], truth: NDArray[Any] | None) -> dict[str, float]:
        """Mean cross-entropy and the metrics of the most probable class."""
        labels = np.asarray(truth, dtype=np.int64)
        likelihood = scores[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(likelihood, np.finfo(np.float64).tiny)).mean())
        found = classification_metrics(labels, scores.argmax(axis=1), scores.shape[1])
        return {"loss": loss, **{name: found[name] for name in self.metrics}}


def label_settings(labels: Labels) -> dict[str, Any]:
    """The entries of a model's config about its classes."""
    return {
        "id2label": dict(labels),
        "label2id": {name: index for index, name in labels.items()},
        "problem_type": "single_label_classification",
    }


def class_weights(setting: str | Mapping[str, float], names: Sequence[str]) -> ClassWeights:
    """A recipe's `class_weights` for the classes called `names`: `balanced`, one weight per class, or None for `none`.

    Classes are given by name or number; the weight of others is 1. Raises `UserError` for an unknown class.
    """
    if isinstance(setting, str):
        return "balanced" if setting == "balanced" else None
    number = {str(label): label for label in range(len(names))} | {name: label for label, name in enumerate(names)}
    weights = [1.0] * len(names)
    given: set[int] = set()
    for key, weight in setting.items():
        if key not in number:
            raise UserError(f"recipe.class_weights: no label '{key}'; labels: {', '.join(names)}")
        if number[key] in given:
            raise UserError(f"recipe.class_weights: label '{names[number[key]]}' is given by its name and its number")
        given.add(number[key])
        weights[number[key]] = float(weight)
    return weights


def example_weights(labels: NDArray[np.int64], weights: ClassWeights) -> NDArray[np.float64]:
    """The weights of examples with `labels` (n,); (n,)."""
    if weights is None:
        return np.ones(len(labels))
    if weights == "balanced":
        counts = np.bincount(labels)
        table = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        table = np.asarray(weights, dtype=np.float64)
    chosen: NDArray[np.float64] = table[labels]
    return chosen
