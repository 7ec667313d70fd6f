"""What a classifier minimises: each example's loss, and how much each example counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dnalm.errors import UserError

ClassWeights = Literal["balanced"] | Sequence[float] | None


@dataclass(frozen=True)
class Loss:
    """Cross-entropy; with `focal_gamma` above 0 the focal loss, which dwells on the examples that are still wrong.

    Focal loss is cross-entropy times (1 - p) ** gamma, p being the probability given to the example's class
    (Lin et al., 2017, "Focal loss for dense object detection").
    """

    focal_gamma: float = 0.0

    def per_example(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Losses (n,) in fp32 of logits (n, classes) of any format against labels (n,)."""
        losses = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
        if self.focal_gamma:
            missed = -torch.expm1(-losses)  # 1 - p, without rounding p to 1
            # a power below 1 has no slope at 0, where an example that is quite right is
            losses = losses * missed.clamp(min=torch.finfo(missed.dtype).tiny) ** self.focal_gamma
        return losses


def class_weights(setting: str | Mapping[str, float], names: Sequence[str]) -> ClassWeights:
    """A recipe's `class_weights` for the classes called `names`: `balanced`, one weight a class, or None for `none`.

    Classes go by name or number; those left out weigh 1. One that is not there is a `UserError`.
    """
    if isinstance(setting, str):
        return "balanced" if setting == "balanced" else None
    number = {str(label): label for label in range(len(names))} | {name: label for label, name in enumerate(names)}
    weights = [1.0] * len(names)
    given: set[int] = set()
    for key, weight in setting.items():
        if key not in number:
            raise UserError(f"recipe.class_weights: no label '{key}'; there is {', '.join(names)}")
        if number[key] in given:
            raise UserError(f"recipe.class_weights: label '{names[number[key]]}' is given by its name and its number")
        given.add(number[key])
        weights[number[key]] = float(weight)
    return weights


def example_weights(labels: NDArray[np.int64], weights: ClassWeights, classes: int) -> NDArray[np.float64]:
    """How much each of the examples with `labels` (n,) counts, (n,); their scale is of no account.

    `balanced`: n / (k * count of the label), with the k labels that occur, so that each class counts the same
    (scikit-learn's formula).
    """
    if weights is None:
        return np.ones(len(labels))
    if weights == "balanced":
        counts = np.bincount(labels, minlength=classes)
        table = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    else:
        table = np.asarray(weights, dtype=np.float64)
    chosen: NDArray[np.float64] = table[labels]
    return chosen
