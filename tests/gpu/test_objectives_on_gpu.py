"""Objectives other than classification on a GPU: packed, compiled, captured, and the same training as padded."""

import numpy as np
import pytest
from closeness import close
from language_models import MIXTRAL, objective_for, random_records
from needed import needs
from token_objective import BERT, LLAMA, SPECIALS, VOCABULARY, NextToken, examples

from dnalm.config.recipes import Recipe
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.loop import fine_tune
from dnalm.training.models.loading import build
from dnalm.training.objectives.regression import Regression
from dnalm.training.runtime.checkpoints import Checkpoints, read
from dnalm.training.runtime.team import join_team

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]
WIDE = {"hidden_size": 128, "intermediate_size": 256}  # heads of 32, as the kernels take them


def next_token():
    model = build({**LLAMA, **WIDE}, NextToken.head, SPECIALS, VOCABULARY, seed=0)
    return model, NextToken(), examples(256)[0], examples(64, seed=1)[0], Recipe(best_metric="loss", **RECIPE)


def regression():
    shown, lists = examples(256)
    targets = np.array([sum(token > 22 for token in ids) for ids in lists], dtype=np.float64)
    train = Examples(shown._strands[0], shown.windows, SPECIALS, targets, seed=1)
    objective = Regression.of_targets(targets)
    model = build({**BERT, **WIDE}, objective.head, SPECIALS, VOCABULARY, seed=0)
    return model, objective, train, train, Recipe(objective="regression", **RECIPE)


def causal():
    return of_language("causal", {**MIXTRAL, **WIDE, "num_experts_per_tok": 1})


def masked():
    return of_language("masked", {**BERT, **WIDE})


def of_language(name, architecture):
    """With soft-masked and unknown tokens."""
    objective = objective_for(name, 0.5)
    model = build(architecture, objective.head, SPECIALS, VOCABULARY, seed=0)
    return model, objective, random_records(256), random_records(64, seed=1), Recipe(objective=name, **RECIPE)


RECIPE = {"learning_rate": 1e-3, "epochs": 4, "batch_size": 64, "engine": "packed"}


@pytest.mark.parametrize("task", [next_token, regression, causal, masked])
@pytest.mark.parametrize("compile_", [False, True])
def test_a_captured_training_is_that_of_the_cpu(tmp_path, task, compile_):
    """The same batches, packed too, one operation after another in fp32."""
    logs = {}
    for device, precision in (("cuda", "bf16"), ("cpu", "fp32")):
        model, objective, train, held_out, recipe = task()
        recipe = recipe.model_copy(update={"compile": compile_, "precision": precision})
        with Checkpoints(tmp_path / device) as store, join_team(device) as team:
            execution = Execution(team, store, read)
            progress, facts = fine_tune(model, objective, train, held_out, recipe, 1, execution, lambda *_: None)
        assert facts["kind"] == "packed" and facts["graphs"] is (device == "cuda")
        logs[device] = np.array([[row["training_loss"], row["validation_loss"]] for row in progress.log])
    assert logs["cuda"][-1, 0] < logs["cuda"][0, 0]
    assert close(logs["cuda"], logs["cpu"], 2e-2)
