"""What a model learns: one module for each objective, and the choice for a recipe or a finished model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.config.recipes import Recipe
from dnalm.config.stages.training import FinetuneSettings
from dnalm.errors import UserError
from dnalm.names import SEQUENCE, TRUTH
from dnalm.training.objectives.base import CAUSAL_CLASS, MASKED_CLASS, Objective, head_of
from dnalm.training.objectives.causal import Causal
from dnalm.training.objectives.classification import Classification, Labels, class_weights
from dnalm.training.objectives.language import Letters
from dnalm.training.objectives.masked import Masked, masking_of
from dnalm.training.objectives.regression import Regression


def objective_of(settings: FinetuneSettings, truths: Mapping[str, NDArray[Any]], tokenizer: Any) -> Objective:
    """The objective of a training. truths: (n,) labels or targets of each split read; none for a language model.

    A recipe that trains nothing uses the head of its checkpoint unchanged. Raises `UserError` for a tokenizer that the
    objective cannot be learnt with.
    """
    recipe = settings.recipe
    if TRUTH[recipe.objective] == SEQUENCE:
        return _language_model(recipe, settings.soft_masked_weight, tokenizer)
    trains = recipe.method != "none"
    labels: Labels | None = settings.labels or None
    if recipe.objective == "regression":
        return Regression.of_targets(np.asarray(truths["train"], dtype=np.float64)) if trains else Regression()
    if labels is None and trains:
        labels = _numbered(truths)
    weights = class_weights(recipe.class_weights, [labels[i] for i in sorted(labels)]) if labels and trains else None
    return Classification(labels, weights, recipe.focal_gamma)


def _language_model(recipe: Recipe, soft_masked_weight: float, tokenizer: Any) -> Objective:
    letters = Letters.of(tokenizer)
    if recipe.objective == "causal":
        return Causal(letters, soft_masked_weight)
    if letters.mask is None:
        raise UserError(
            "recipe.objective: masked needs a mask token, and the model's tokenizer has none; use objective causal, or"
            " a tokenizer with a mask token such as [MASK]"
        )
    return Masked(letters, soft_masked_weight, *([recipe.masking] if recipe.masking else []))


def _numbered(truths: Mapping[str, NDArray[Any]]) -> Labels:
    return {label: str(label) for label in range(max(2, *(int(truth.max()) + 1 for truth in truths.values())))}


def objective_of_model(model: Any, tokenizer: Any) -> Objective:
    """The objective of a finished model; one output means regression, as in transformers."""
    auto_class, config = head_of(type(model).__name__).auto_class, model.config
    if auto_class == CAUSAL_CLASS:
        return Causal(Letters.of(tokenizer))
    if auto_class == MASKED_CLASS:
        return Masked(Letters.of(tokenizer), masking=masking_of(config))
    is_regression = config.problem_type == "regression" or config.num_labels == 1
    return Regression.of_config(config) if is_regression else Classification()
