"""Optimizers on a GPU: in captured graphs where that is possible, as on the CPU, and resumed where they were."""

import math

import numpy as np
import pytest
from closeness import close
from needed import needs
from token_objective import LLAMA, SPECIALS, VOCABULARY, NextToken, examples

from dnalm.config.recipes import Recipe
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.loop import _Training, fine_tune
from dnalm.training.models.loading import build
from dnalm.training.runtime.checkpoints import Checkpoints, read
from dnalm.training.runtime.team import join_team

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]
WIDE = {"hidden_size": 128, "intermediate_size": 256}
OPTIMIZERS = ["adamw", "muon", "adamw8bit", "lion"]


def train(folder, optimizer, device="cuda"):
    if optimizer in ("adamw8bit", "lion"):
        pytest.importorskip("bitsandbytes")
    model = build({**LLAMA, **WIDE}, NextToken.head, SPECIALS, VOCABULARY, seed=0)
    rate = 3e-4 if optimizer == "lion" else 1e-3
    recipe = Recipe(
        optimizer=optimizer, learning_rate=rate, epochs=4, batch_size=64, engine="packed", best_metric="loss",
        precision="bf16" if device == "cuda" else "fp32", validate_every=3, warmup=0.2,
    )  # fmt: skip
    with Checkpoints(folder) as store, join_team(device) as team:
        progress, facts = fine_tune(
            model,
            NextToken(),
            examples(256)[0],
            examples(64, seed=1)[0],
            recipe,
            1,
            Execution(team, store, read),
            lambda *_: None,
        )
    return progress, facts, np.array([[row["training_loss"], row["validation_loss"]] for row in progress.log])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_loss_falls_in_graphs(tmp_path, optimizer):
    _, facts, found = train(tmp_path / "a", optimizer)
    assert facts["graphs"] and facts["optimizer"] == optimizer
    assert ("no_graphs" in facts) == (optimizer in ("adamw8bit", "lion"))
    assert found[-1, 1] < found[0, 1] and np.isfinite(found).all()
    if optimizer in ("adamw", "muon"):
        assert close(found, train(tmp_path / "b", optimizer, "cpu")[2], 2e-2)
    if optimizer == "adamw8bit":
        assert close(found, train(tmp_path / "b", "adamw")[2], 2e-2)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_goes_on_where_it_was(tmp_path, monkeypatch, optimizer):
    """Killed after step 7 of 16; a GPU's sums may be in another order."""
    _, _, straight = train(tmp_path / "a", optimizer)
    usual, taken = _Training._save_if_asked, []

    def save_and_die(self):
        self._saved_at = -1e9 if self.progress.step == 7 else math.inf
        usual(self)
        taken.append(self.progress.step)
        if taken == list(range(1, 8)):
            self.execution.store.wait()
            raise Killed

    monkeypatch.setattr(_Training, "_save_if_asked", save_and_die)
    with pytest.raises(Killed):
        train(tmp_path / "b", optimizer)
    progress, _, resumed = train(tmp_path / "b", optimizer)
    assert progress.resumed == [7] and close(resumed, straight, 1e-3)
