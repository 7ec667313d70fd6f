"""The progress of a training: what a checkpoint holds besides weights and optimizer, and the training log."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from dnalm.errors import UserError
from dnalm.names import SMALLER_IS_BETTER


@dataclass
class Progress:
    """A training between two steps.

    step: optimizer steps taken; loss_sum: sum of the batches' losses since the last validation, over all ranks; log: a
    `log_row` for each validation; best: the step of the best model so far; best_score: its metric, negated if smaller
    is better; since_best: validations since; sequences, tokens, seconds: totals over all ranks, tokens with special
    ones; joules: total energy of the GPUs, None if it is not measured; resumed: the steps from which the training was
    resumed.
    """

    step: int = 0
    loss_sum: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    best: int | None = None
    best_score: float = -math.inf
    since_best: int = 0
    sequences: int = 0
    tokens: int = 0
    seconds: float = 0.0
    joules: float | None = None
    resumed: list[int] = field(default_factory=list)

    @property
    def best_epoch(self) -> float:
        """The epoch of the best model; 0 before there is one."""
        return next((float(row["epoch"]) for row in self.log if row["step"] == self.best), 0.0)

    def state(self) -> dict[str, Any]:
        """All fields, so that `Progress(**state)` restores them."""
        return asdict(self)

    def judge(self, row: dict[str, Any], metric: str) -> bool:
        """Append a validation's log row; return whether its model is the best so far (of equal ones, the first)."""
        self.log.append(row)
        score = row["validation_loss"] if metric == "loss" else row[metric]
        score = -score if metric in SMALLER_IS_BETTER else score
        if score > self.best_score:
            self.best, self.best_score, self.since_best = row["step"], score, 0
            return True
        self.since_best += 1
        return False


def log_row(
    epoch: float, step: int, tokens: int, training_loss: float | None, quality: dict[str, float], learning_rate: float
) -> dict[str, Any]:
    """One row of the training log; quality: `loss` and the objective's metrics on the validation records."""
    metrics = {name: value for name, value in quality.items() if name != "loss"}
    losses = {"training_loss": training_loss, "validation_loss": quality["loss"]}
    return {"epoch": epoch, "step": step, "tokens": tokens, **losses, **metrics, "learning_rate": learning_rate}


def check_finite(loss: float, epoch: float, learning_rate: float) -> None:
    """Raise `UserError` if a loss is NaN or infinite."""
    if not math.isfinite(loss):
        raise UserError(
            f"recipe.learning_rate: the loss became {loss:g} in epoch {math.ceil(epoch)}; lower the learning rate (now"
            f" {learning_rate:g}) or add warm-up"
        )
