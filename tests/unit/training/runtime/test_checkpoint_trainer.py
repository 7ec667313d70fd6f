"""The Hugging Face Trainer goes on from our checkpoints, and we from its."""

import shutil

import pytest
import torch
from small_checkpoints import adapted, same, tiny
from transformers import Trainer, TrainerCallback, TrainingArguments

from dnalm.training.engine.state import State, config_writer, load_weights, rng_state, weights_of
from dnalm.training.runtime import checkpoints as module
from dnalm.training.runtime.checkpoints import Checkpoints


class Watch(TrainerCallback):
    """Saves the training's state with our own code at step 3, and notes the state that training begins with."""

    def __init__(self, folder=None):
        self.folder, self.begun, self.captured = folder, None, None

    @staticmethod
    def _state(state, model, optimizer, lr_scheduler):
        parts = weights_of(model), optimizer.state_dict(), lr_scheduler.state_dict()
        return State(
            state.global_step, state.epoch, *module._on_host(parts), [rng_state()], {"max_steps": state.max_steps}
        )

    def on_step_begin(self, args, state, control, model=None, optimizer=None, lr_scheduler=None, **_):
        self.begun = self.begun or self._state(state, model, optimizer, lr_scheduler)

    def on_step_end(self, args, state, control, model=None, optimizer=None, lr_scheduler=None, **_):
        if self.folder is not None and state.global_step == 3:
            self.captured = self._state(state, model, optimizer, lr_scheduler)
            with Checkpoints(self.folder) as checkpoints:
                checkpoints.save(self.captured, config_writer(model))


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        ids = torch.arange(10) * (index + 1) % 37 + 3
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": int(ids[1]) % 2}


def trainer_run(place, model, watch, resume=None):
    settings = TrainingArguments(
        str(place), per_device_train_batch_size=8, num_train_epochs=3, learning_rate=1e-2, seed=1, use_cpu=True,
        logging_strategy="no", save_strategy="steps", save_steps=3, report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=settings, train_dataset=Rows(), callbacks=[watch])
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    return trainer


@pytest.mark.parametrize(
    "make", [tiny, adapted, lambda seed=1: tiny("esm", seed), lambda seed=1: tiny("mixtral", seed)]
)
def test_the_trainer_goes_on_from_our_checkpoint(tmp_path, make):
    """At step 3 of 6, amid the second epoch: weights, moments, schedule and generators are ours, and so is the end."""
    watch = Watch(tmp_path / "ours")
    whole = trainer_run(tmp_path / "whole", make(), watch)
    again = Watch()
    resumed = trainer_run(tmp_path / "resumed", make(seed=2), again, tmp_path / "ours" / "checkpoint-3")
    assert again.begun.step == 3
    assert same(again.begun.weights, watch.captured.weights)
    assert same(again.begun.optimizer["state"], watch.captured.optimizer["state"])
    assert again.begun.scheduler["last_epoch"] == 3
    assert same(again.begun.rng[0]["cpu"], watch.captured.rng[0]["cpu"])
    assert resumed.state.global_step == whole.state.global_step == 6
    assert same(weights_of(resumed.model), weights_of(whole.model))


@pytest.mark.parametrize("make", [tiny, adapted, lambda seed=1: tiny("mixtral", seed)])
def test_we_read_the_trainers_checkpoint(tmp_path, make):
    watch = Watch(tmp_path / "ours")
    trainer_run(tmp_path / "theirs", make(), watch)
    shutil.rmtree(tmp_path / "theirs" / "checkpoint-6")
    state = Checkpoints(tmp_path / "theirs").load()
    assert (state.step, state.epoch, state.best, state.progress) == (3, 1.5, None, {})
    model = make(seed=2)
    load_weights(model, state.weights)
    assert same(weights_of(model), watch.captured.weights)
    assert same(state.optimizer, watch.captured.optimizer)
    assert same(state.scheduler, watch.captured.scheduler)
    assert same(state.rng, watch.captured.rng)
