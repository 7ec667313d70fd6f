"""Fine-tuning through the Hugging Face Trainer."""

import contextlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from dnalm.errors import UserError
from dnalm.training.batches import Examples, LengthBatches
from dnalm.training.devices import out_of_memory, uses_bf16
from dnalm.training.prediction import BATCH_SIZE, predict, quality

LOG_COLUMNS = (
    "epoch", "step", "training_loss", "validation_loss", "accuracy", "macro_f1", "mcc", "macro_precision",
    "macro_recall", "learning_rate",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How a model is fine-tuned; the keys, defaults and meanings are those of the config's recipes."""

    objective: str = "classification"
    method: str = "full"
    lora: dict[str, Any] | None = None
    learning_rate: float = 5e-5
    epochs: float = 3
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.0
    scheduler: str = "linear"
    max_gradient_norm: float = 1.0
    best_metric: str = "mcc"
    early_stopping_patience: int | None = None
    reverse_complement: bool = False
    overlong: str = "window"
    precision: str = "auto"
    max_train_records: int | None = None


@dataclass
class Outcome:
    """What a fine-tuning came to: a row of `LOG_COLUMNS` for each epoch, the best one, and the work done."""

    log: list[dict[str, float]] = field(default_factory=list)
    best_epoch: float = 0.0
    steps: int = 0
    seconds: float = 0.0
    sequences: int = 0


def log_row(
    epoch: float, step: int, training_loss: float | None, found: dict[str, float], learning_rate: float
) -> dict[str, Any]:
    """One row of the training log."""
    row = {**found, "validation_loss": found["loss"], "training_loss": training_loss, "learning_rate": learning_rate}
    row |= {"epoch": epoch, "step": step}
    return {column: row[column] for column in LOG_COLUMNS}


def validate(model: Any, validation: Examples, what: str = "") -> dict[str, float]:
    """Quality of a model on the records of a split that has labels."""
    if validation.labels is None:
        raise ValueError("these examples have no labels")
    return quality(predict(model, validation, BATCH_SIZE, what), validation.labels[validation.windows.kept])


class _Epochs(TrainerCallback):
    """At each epoch's end: validate, log, keep the best model, stop early; and a progress bar."""

    def __init__(
        self, train: Examples, validation: Examples, recipe: Recipe, keep: Callable[[], None], outcome: Outcome
    ) -> None:
        self.train, self.validation, self.recipe, self.keep, self.outcome = train, validation, recipe, keep, outcome
        self.best = -math.inf
        self.since_best = 0
        self.learning_rate = 0.0
        self.losses: list[torch.Tensor] = []
        self.bar = tqdm(desc="training", unit=" steps", mininterval=1, file=sys.stderr)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.reset(state.max_steps)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.train.start_epoch(round(state.epoch or 0))

    def on_optimizer_step(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **_: Any) -> None:
        self.learning_rate = float(lr_scheduler.get_last_lr()[0])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        training_loss = float(torch.stack(self.losses).double().mean())
        self.losses.clear()
        found = validate(model, self.validation, "validating")
        if not (math.isfinite(training_loss) and math.isfinite(found["loss"])):
            raise UserError(
                f"recipe.learning_rate: the loss became {training_loss:g} in epoch {state.epoch:g}; lower the"
                f" learning rate (now {self.recipe.learning_rate:g}) or add warm-up"
            )
        self.outcome.log.append(log_row(state.epoch, state.global_step, training_loss, found, self.learning_rate))
        self.bar.set_postfix(training_loss=f"{training_loss:.4f}", **{k: f"{found[k]:.4f}" for k in ("loss", "mcc")})
        goal = found[self.recipe.best_metric] * (-1 if self.recipe.best_metric == "loss" else 1)
        if goal > self.best:
            self.best, self.since_best, self.outcome.best_epoch = goal, 0, state.epoch
            self.keep()
        else:
            self.since_best += 1
        patience = self.recipe.early_stopping_patience
        if patience is not None and self.since_best >= patience:
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.outcome.steps = state.global_step


class _Trainer(Trainer):
    """The Trainer over our examples: batches of like length, and autocast for training alone."""

    def __init__(self, epochs: _Epochs, bf16: bool, **settings: Any) -> None:
        super().__init__(callbacks=[epochs], **settings)
        self.remove_callback(PrinterCallback)
        self.epochs, self.bf16 = epochs, bf16

    def get_train_dataloader(self) -> Any:
        examples: Any = self.train_dataset
        loader = torch.utils.data.DataLoader(
            examples,
            batch_sampler=LengthBatches(examples, self.args.train_batch_size),
            collate_fn=examples.collate,
            pin_memory=self.args.device.type == "cuda",
        )
        return self.accelerator.prepare(loader)

    def compute_loss_context_manager(self) -> contextlib.ExitStack:
        # TrainingArguments.bf16 would wrap the model's forward for good, and so validate in bf16 too
        stack = super().compute_loss_context_manager()
        if self.bf16:
            stack.enter_context(torch.autocast(self.args.device.type, dtype=torch.bfloat16))
        return stack

    def training_step(self, model: Any, inputs: Any, *args: Any, **settings: Any) -> torch.Tensor:
        self.epochs.outcome.sequences += len(inputs["labels"])
        loss: torch.Tensor = super().training_step(model, inputs, *args, **settings)
        self.epochs.losses.append(loss.detach())
        return loss


def fine_tune(
    model: Any,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    scratch: Path,
    keep: Callable[[], None],
) -> Outcome:
    """Train `model` in place, validating after each epoch (a last, partial one too).

    `keep` is called whenever the model is the best so far by `recipe.best_metric`; of equals the first is kept.
    scratch: an existing directory the Trainer may call its own; nothing is written there. The same seed and data give
    the same weights on the CPU. A loss that is no number, or memory that runs out, is a `UserError`.
    """
    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(recipe.scheduler, recipe.scheduler),
        max_grad_norm=recipe.max_gradient_norm,
        seed=seed,
        use_cpu=device.type == "cpu",
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,  # it waits for the GPU at each step
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # else the Trainer spreads over every GPU it sees, and multiplies the batch size
    outcome = Outcome()
    epochs = _Epochs(train, validation, recipe, keep, outcome)
    trainer = _Trainer(epochs, uses_bf16(recipe.precision, device), model=model, args=arguments, train_dataset=train)
    started = time.perf_counter()
    try:
        trainer.train()
    except RuntimeError as error:
        raise out_of_memory(error) or error from error
    finally:
        epochs.bar.close()
    outcome.seconds = time.perf_counter() - started
    return outcome


def sample(records: int, most: int | None, seed: int) -> Any:
    """Indices of at most `most` of `records` records, ascending, drawn without replacement."""
    if most is None or most >= records:
        return np.arange(records)
    return np.sort(np.random.default_rng(seed).choice(records, size=most, replace=False))
