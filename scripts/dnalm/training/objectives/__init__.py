"""What a model learns: one module for each objective, and the choice for a recipe or a finished model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.config.recipes import Recipe
from dnalm.training.objectives.base import Objective
from dnalm.training.objectives.classification import Classification, Labels, class_weights
from dnalm.training.objectives.regression import Regression


def objective_of(recipe: Recipe, labels: Labels | None, truths: Mapping[str, NDArray[Any]]) -> Objective:
    """The objective of a recipe. labels: names of the classes, if the config has them; truths: (n,) of each split read.

    A recipe that trains nothing uses the head of its checkpoint unchanged.
    """
    trains = recipe.method != "none"
    if recipe.objective == "regression":
        return Regression.of_targets(np.asarray(truths["train"], dtype=np.float64)) if trains else Regression()
    if labels is None and trains:
        labels = {label: str(label) for label in range(max(2, *(int(truth.max()) + 1 for truth in truths.values())))}
    weights = class_weights(recipe.class_weights, [labels[i] for i in sorted(labels)]) if labels and trains else None
    return Classification(labels, weights, recipe.focal_gamma)


def objective_of_model(config: Any) -> Objective:
    """The objective of a finished model with this config; one output means regression, as in transformers."""
    is_regression = config.problem_type == "regression" or config.num_labels == 1
    return Regression.of_config(config) if is_regression else Classification()
