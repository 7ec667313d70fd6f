"""The training loop: epochs of optimizer steps with validation, log, checkpoints and resume."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import get_scheduler, set_seed

from dnalm.config.recipes import Recipe
from dnalm.training.engine.budget import budget_of
from dnalm.training.engine.devices import out_of_memory, uses_bf16
from dnalm.training.engine.execution import Execution, Interrupted, SaveModel, StopRequest
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.optimizers import make, uncapturable
from dnalm.training.engine.progress import Progress, check_finite, log_row
from dnalm.training.engine.scoring import BATCH_SIZE, score
from dnalm.training.engine.selection import Engine, choose
from dnalm.training.engine.state import State, config_writer, restore_rng, rng_state
from dnalm.training.engine.steps import Micro, Stepper, ahead, compile_layers, leave_uncompiled
from dnalm.training.engine.team import Team
from dnalm.training.models.experts import autocast_experts
from dnalm.training.objectives.base import Objective

GPU_BATCH = 256
"""Batch size of validation on a GPU, in windows."""

WORTH_COMPILING = 60.0
"""Estimated seconds of training above which compiling pays: it takes about 5 s and saves a fifth."""

STEP_SECONDS, FLOPS = 6e-3, 2e14
"""For that estimate: least time of an uncompiled step on a data-centre GPU, and FLOP/s of large steps there."""


def validate(
    model: Any,
    objective: Objective,
    validation: Examples,
    what: str = "",
    team: Team | None = None,
    most_tokens: int | None = None,
    interrupted: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Loss and metrics of a model on the records of a split; the other arguments are those of `score`."""
    size = GPU_BATCH if model.device.type == "cuda" else BATCH_SIZE
    scores = score(model, objective, validation, size, what, team, most_tokens, interrupted)
    truth = validation.truth
    return objective.quality(scores, None if truth is None else truth[validation.windows.kept])


def fine_tune(
    model: Any,
    objective: Objective,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    seed: int,
    execution: Execution,
    save_best: SaveModel,
) -> tuple[Progress, dict[str, Any]]:
    """Train `model` in place, validating as its `Budget` says; return progress and engine facts.

    save_best: writes the model when it is the best so far by `recipe.chosen_by` (of equal ones, the first); at the end
    the best is in `execution.store.best(progress.best)`. Resumes from the newest checkpoint, if there is one. The same
    seed and data give the same weights on the CPU, interrupted or not. After a signal the state is saved and the error
    of `StopRequest.stopped` is raised. Raises `UserError` for a NaN or infinite loss, or if memory runs out.
    """
    try:
        with execution.stop() as stop:
            training = _Training(model, objective, train, validation, recipe, seed, execution, save_best, stop)
            try:
                training.run()
            finally:
                training.stepper.close()
    except RuntimeError as error:
        raise out_of_memory(error) or error from error
    return training.progress, training.facts


class _Training:
    def __init__(
        self,
        model: Any,
        objective: Objective,
        train: Examples,
        validation: Examples,
        recipe: Recipe,
        seed: int,
        execution: Execution,
        save_best: SaveModel,
        stop: StopRequest,
    ) -> None:
        set_seed(seed + execution.team.rank)
        self.model, self.objective, self.train, self.validation = model, objective, train, validation
        self.recipe, self.execution, self.team = recipe, execution, execution.team
        self.save_best, self.stop, self.store = save_best, stop, execution.store
        device = self.team.device
        model.to(device).train()
        bf16 = uses_bf16(recipe.precision, device)
        if bf16:
            autocast_experts()
        self.engine: Engine = choose(
            model,
            objective,
            train,
            recipe.engine,
            recipe.batch_size,
            self.team,
            bf16,
            execution.sharding != "none",
            execution.most_tokens,
        )
        self.budget = budget_of(recipe, train, self.engine.feed)
        norm, kind = recipe.max_gradient_norm, execution.sharding

        def optimize(trainee: Any) -> torch.optim.Optimizer:
            return make(recipe.optimizer, trainee, recipe.learning_rate, recipe.weight_decay, device, kind)

        if kind == "none":
            self.stepper = Stepper(self.engine.forward, model, optimize(model), objective, self.team, norm, bf16)
        else:
            from dnalm.training.engine.sharding import ShardedStepper

            self.stepper = ShardedStepper(self.engine.forward, model, optimize, objective, self.team, norm, bf16, kind)
        self.scheduler = get_scheduler(
            "constant_with_warmup" if recipe.scheduler == "constant" else recipe.scheduler,
            self.stepper.optimizer,
            num_warmup_steps=math.ceil(recipe.warmup * self.budget.last_step),
            num_training_steps=self.budget.last_step,
        )
        # numbers: on a GPU the scheduler has copied the groups' learning rates, which are tensors
        self.scheduler.base_lrs = [recipe.learning_rate for _ in self.stepper.optimizer.param_groups]
        self._start_epoch(0)
        self.facts = {**self.engine.facts, "bf16": bf16, "processes": self.team.world, "sharding": kind}
        self.facts["optimizer"] = recipe.optimizer
        self.progress = Progress()
        self.tokens = self.places = 0

    def _speed_up(self) -> dict[str, Any]:
        """Compile layers and capture CUDA graphs if shapes are fixed (packed, on a GPU); return what was done."""
        device, packed = self.team.device, self.engine.packed
        if device.type != "cuda" or packed is None:
            if self.recipe.compile is True:
                print("engine: not compiled (only packed training on a CUDA GPU is)", file=sys.stderr)
            return {"compiled": False, "graphs": False}
        sample, *_ = self._make(next(self._jobs(self._batches)))
        compiled = self._worth_compiling(sample["input_ids"].numel())
        layers = compile_layers(packed.plain) if compiled else []
        on_host = uncapturable(self.recipe.optimizer)
        reason = self.stepper.capture(sample, update=on_host is None)
        if reason and compiled:
            print(f"engine: not compiled ({reason})", file=sys.stderr)
            compiled = False
            leave_uncompiled(layers)
            reason = self.stepper.capture(sample, update=on_host is None)
        facts: dict[str, Any] = {"compiled": compiled, "graphs": reason is None}
        if reason := reason or (on_host and f"of the optimizer's step: {on_host}"):
            facts["no_graphs"] = f"no CUDA graphs ({reason})"
            print(f"engine: {facts['no_graphs']}", file=sys.stderr)
        return facts

    def _worth_compiling(self, tokens: int) -> bool:
        if self.recipe.method == "qlora" or self.recipe.compile != "auto":
            return self.recipe.compile is True
        a_step = 6 * sum(parameter.numel() for parameter in self.model.parameters()) * tokens / FLOPS
        return bool(self.budget.last_step * max(STEP_SECONDS, a_step) > WORTH_COMPILING)

    def _resumed(self) -> Progress:
        """Restore the newest checkpoint and return its progress; a new one if there is no checkpoint."""
        team = self.team
        if team.world == 1:
            saved = self.store.load() if self.store else None
        else:  # every rank must read the same one
            path = team.broadcast(self.store.newest() if self.store else None)
            saved = self.execution.read(path) if path else None
        if saved is None:
            return Progress()
        self.stepper.load(saved.weights, saved.optimizer)
        self.scheduler.load_state_dict(saved.scheduler)
        if team.rank < len(saved.rng):
            restore_rng(saved.rng[team.rank])
        progress = Progress(**saved.progress) if saved.progress else Progress(step=saved.step)
        progress.resumed.append(progress.step)
        if team.main:
            self.stepper.total.fill_(progress.loss_sum)
            print(f"resumed from step {progress.step}", file=sys.stderr)
        return progress

    def run(self) -> None:
        """Train to the end, from the newest checkpoint if there is one."""
        self.facts |= self._speed_up()
        self.progress = self._resumed()
        self._since = self._saved_at = time.monotonic()
        self._counted = self.execution.energy(self.team.device) or 0.0
        bar = tqdm(desc="training", unit=" steps", mininterval=1, file=sys.stderr, disable=not self.team.main)
        bar.reset(self.budget.last_step)
        bar.update(self.progress.step)
        with bar:
            while not self._finished():
                if self.progress.step == self._validated() or not self.budget.validates_at(self.progress.step):
                    self._train(bar)
                    continue
                with suppress(Interrupted):
                    self._validate(bar)
                    self._save()
                    continue
                self._save_if_asked()
        self._clock()
        if self.places:
            self.facts["padding"] = round(1 - self.tokens / self.places, 4)

    def _validated(self) -> int:
        return int(self.progress.log[-1]["step"]) if self.progress.log else 0

    def _finished(self) -> bool:
        patience = self.recipe.early_stopping_patience
        if patience is not None and self.progress.since_best >= patience:
            return True
        return self._validated() >= self.budget.last_step

    def _start_epoch(self, epoch: int) -> None:
        self._epoch, self._batches = epoch, self.engine.feed.batches(epoch)
        self.weights, self._lengths = self.objective.weights(self.train), self.train.lengths

    def _train(self, bar: Any) -> None:
        """Take the steps up to the next validation, or to the end of the epoch."""
        epoch, done = divmod(self.progress.step, self.budget.of_epoch)
        if epoch != self._epoch:
            self._start_epoch(epoch)
        batches = self._batches[done:][: self.budget.next_stop(self.progress.step) - self.progress.step]
        for micro, real, first, whole in ahead(self._make, self._jobs(batches)):
            self.stepper.micro(micro, first, whole is not None)
            self.tokens, self.places = self.tokens + real, self.places + micro["input_ids"].numel()
            if whole is None:
                continue
            self.stepper.update()
            self.scheduler.step()
            self.progress.step += 1
            self.progress.sequences += len(whole)
            self.progress.tokens += int(self._lengths[whole].sum())
            bar.update()
            self._save_if_asked()

    def _jobs(self, batches: list[Any]) -> Iterator[tuple[Any, float, bool, Any]]:
        """This rank's micro-batches: (indices, total weight of the optimizer batch, first of the batch?, whole).

        whole: the indices of the optimizer batch over all ranks, given with its last micro-batch; None with the others.
        """
        for batch in batches:
            weight, rows = float(self.weights[batch].sum()) or 1.0, self.engine.feed.divide(batch, self.team.world)
            for number, row in enumerate(rows):
                last = number == len(rows) - 1
                yield row[self.team.rank], weight, number == 0, batch if last else None

    def _make(self, job: tuple[Any, float, bool, Any]) -> tuple[Micro, int, bool, Any]:
        indices, weight, first, whole = job
        micro = self.engine.feed.collate(indices, (self.weights[indices] / weight).astype(np.float32))
        if self.team.device.type == "cuda":
            micro = {name: tensor.pin_memory() for name, tensor in micro.items()}
        return micro, int(self._lengths[indices].sum()), first, whole

    def _validate(self, bar: Any) -> None:
        """Validate, add a row to the log, and save the model if it is the best so far."""
        progress, recipe = self.progress, self.recipe
        steps, epoch = progress.step - self._validated(), progress.step / self.budget.of_epoch
        training_loss = self._loss_sum() / steps
        check_finite(training_loss, epoch, recipe.learning_rate)
        with self.engine.padded():
            # a batch that fits with gradients fits without them
            most = self.engine.facts["most_tokens"]
            model, interrupted = self.stepper.scorer(), lambda: self.stop.requested is not None
            quality = validate(model, self.objective, self.validation, "validating", self.team, most, interrupted)
        check_finite(quality["loss"], epoch, recipe.learning_rate)
        rate = self.scheduler.lr_lambdas[0](progress.step - 1) * recipe.learning_rate
        row = log_row(epoch, progress.step, progress.tokens, training_loss, quality, rate)
        if progress.judge(row, recipe.chosen_by):
            weights = self.stepper.whole_weights()
            if self.store:
                self.store.keep_best(progress.step, lambda folder: self.save_best(folder, weights))
        shown = ("loss", self.objective.metrics[0])
        bar.set_postfix(training_loss=f"{training_loss:.4f}", **{name: f"{quality[name]:.4f}" for name in shown})
        self.execution.report(row)
        self.stepper.total.zero_()

    def _loss_sum(self) -> float:
        """The sum of the batches' losses since the last validation, over all ranks."""
        total = self.stepper.total.detach().clone()
        self.team.sum_(total)
        return float(total)

    def _save_if_asked(self) -> None:
        due = time.monotonic() - self._saved_at > 60 * self.execution.minutes
        due, requested = self.team.agree(due, self.stop.requested is not None)
        if due or requested:
            self._save()
        if requested:
            if self.store:
                self.store.wait()
            raise self.stop.stopped(self.progress.step)

    def _save(self) -> None:
        self._clock()
        progress = self.progress
        progress.loss_sum = self._loss_sum()
        epoch = progress.step / self.budget.of_epoch
        check_finite(progress.loss_sum, epoch, self.recipe.learning_rate)
        weights, optimizer = self.stepper.state()
        rng = self.team.gather(rng_state())
        if self.store:
            state = State(
                progress.step,
                epoch,
                weights,
                optimizer,
                self.scheduler.state_dict(),
                rng,
                progress.state(),
                progress.best,
            )
            self.store.save(state, config_writer(self.model))
        self._saved_at = time.monotonic()

    def _clock(self) -> None:
        """Add the time since the last call to the progress, and the energy if all ranks measure theirs."""
        now, counted = time.monotonic(), self.execution.energy(self.team.device)
        self.progress.seconds += now - self._since
        spent = self.team.gather(None if counted is None else counted - self._counted)
        known = [energy for energy in spent if energy is not None]
        if len(known) == len(spent):
            self.progress.joules = (self.progress.joules or 0.0) + sum(known)
        self._since, self._counted = now, counted or 0.0
