"""What a model learns: one module an objective, and which of them a recipe or a finished model asks for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.config.recipes import Recipe
from dnalm.training.objectives.base import Objective
from dnalm.training.objectives.classification import Classification, Labels, class_weights
from dnalm.training.objectives.regression import Regression


def objective_of(recipe: Recipe, labels: Labels | None, truths: Mapping[str, NDArray[Any]]) -> Objective:
    """What a recipe learns. labels: names of the classes, if the config gives them; truths: (n,) of each split read.

    A recipe that trains nothing keeps what its checkpoint's head says.
    """
    trains = recipe.method != "none"
    if recipe.objective == "regression":
        return Regression.of_targets(np.asarray(truths["train"], dtype=np.float64)) if trains else Regression()
    if labels is None and trains:
        labels = {label: str(label) for label in range(max(2, *(int(truth.max()) + 1 for truth in truths.values())))}
    weights = class_weights(recipe.class_weights, [labels[i] for i in sorted(labels)]) if labels and trains else None
    return Classification(labels, weights, recipe.focal_gamma)


def objective_of_model(config: Any) -> Objective:
    """What a finished model with this config was trained for."""
    return Regression.of_config(config) if config.problem_type == "regression" else Classification()
