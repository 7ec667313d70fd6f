"""A checkpoint brings back every bit, a damaged one is not used, and only what is needed stays."""

import json
import math
import random
import shutil
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_checkpoints import (
    ARCHITECTURES,
    Training,
    adapted,
    names,
    same,
    save,
    tiny,
    toy,
    write_toy_config,
)
from transformers import AutoModelForSequenceClassification

from dnalm.errors import UserError
from dnalm.training.engine.state import State, config_writer, load_weights, rng_state, weights_of
from dnalm.training.runtime import checkpoints as module
from dnalm.training.runtime.checkpoints import Checkpoints, read

# --- what comes back


@pytest.mark.parametrize("make", [tiny, adapted])
def test_a_training_goes_on_as_if_it_had_never_stopped(tmp_path, make):
    training = Training(make()).steps(5)
    progress = {
        "loss": torch.tensor([0.1, 1 / 3], dtype=torch.float64),
        "half": torch.tensor(1.5, dtype=torch.bfloat16),
        "log": [{"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": -math.inf}],
        "position": (3, True, None, "x"),
        "third": 1 / 3,
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(training.state(progress=progress, best=None), config_writer(training.model))
    expected = training.steps(4).state(9)
    numbers = random.random(), np.random.rand()

    state = Checkpoints(tmp_path).load()
    assert (state.step, state.epoch, state.best) == (5, 5 / 3, None)
    assert same(state.progress, progress)
    other = Training(make(seed=2)).steps(1).restore(state).steps(4)
    assert same(other.state(9).weights, expected.weights)
    assert same(other.state(9).optimizer, expected.optimizer)
    assert same(other.state(9).scheduler, expected.scheduler)
    assert (random.random(), np.random.rand()) == numbers
    if make is adapted:
        assert all("lora" in name or "classifier" in name for name in state.weights)
        assert names(tmp_path / "checkpoint-5")[0] == "adapter_config.json"


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    gate, write = threading.Event(), module._write_parts
    monkeypatch.setattr(module, "_write_parts", lambda *given: gate.wait(20) and write(*given))
    training = Training(tiny()).steps(3)
    before = {name: tensor.clone() for name, tensor in weights_of(training.model).items()}
    moments = training.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(training.state(3), config_writer(training.model))
        training.steps(2)
        assert not (tmp_path / "checkpoint-3").exists()
        gate.set()
    state = read(tmp_path / "checkpoint-3")
    assert same(state.weights, before) and same(state.optimizer["state"][0]["exp_avg"], moments)
    assert not same(weights_of(training.model), before)


def test_numbers_of_numpy_come_back_as_numbers_and_what_cannot_come_back_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save(
        checkpoints,
        State(1, 0.5, {"w": torch.ones(1)}, {}, {}, [rng_state()], {"mcc": np.float64(0.1), "n": np.int64(3)}),
    )
    assert same(checkpoints.load().progress, {"mcc": 0.1, "n": 3})
    with pytest.raises(TypeError, match="a set cannot be kept in a checkpoint"):
        save(checkpoints, State(2, 0.5, {}, {}, {}, [rng_state()], {"seen": {1}}))
    assert checkpoints.load().step == 1


def test_several_ranks_have_each_their_generators(tmp_path):
    torch.manual_seed(1)
    ranks = []
    for _ in range(11):
        torch.rand(1)
        ranks.append(rng_state())
    save(Checkpoints(tmp_path), State(1, 1.0, {"w": torch.ones(1)}, {}, {}, ranks, {}))
    assert (tmp_path / "checkpoint-1" / "rng_state_10.pth").is_file()
    assert same(read(tmp_path / "checkpoint-1").rng, ranks)


# --- weights


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_weights_are_those_from_pretrained_reads(tmp_path, kind):
    model = tiny(kind)
    with Checkpoints(tmp_path) as checkpoints:
        state = State(1, 1.0, weights_of(model), {}, {}, [], {})
        checkpoints.save(state, config_writer(model))
    place = tmp_path / "checkpoint-1"
    other, info = AutoModelForSequenceClassification.from_pretrained(place, output_loading_info=True)
    assert not any(info.values())
    assert same(dict(other.state_dict()), dict(model.state_dict()))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_weights_load_under_the_names_of_save_pretrained_too(tmp_path, kind):
    model, other = tiny(kind), tiny(kind, seed=2)
    model.save_pretrained(tmp_path)
    addresses = [p.data_ptr() for p in other.parameters()]
    load_weights(other, load_file(tmp_path / "model.safetensors"))
    assert same(dict(other.state_dict()), dict(model.state_dict()))
    assert [p.data_ptr() for p in other.parameters()] == addresses


def test_tied_weights_are_saved_once(tmp_path):
    model, other = (tiny(seed=seed, task="MaskedLM") for seed in (1, 2))
    model.save_pretrained(tmp_path)
    assert set(weights_of(model)) == set(load_file(tmp_path / "model.safetensors")) < set(model.state_dict())
    load_weights(other, weights_of(model))
    assert same(dict(other.state_dict()), dict(model.state_dict()))


@pytest.mark.parametrize("make", [tiny, adapted])
def test_weights_that_are_not_the_models_are_refused(make):
    weights = weights_of(make())
    name = next(name for name in weights if "lora_A" in name or "dense.weight" in name)
    lacking = {key: value for key, value in weights.items() if key != name}
    with pytest.raises(ValueError, match="the weights lack"):
        load_weights(make(), lacking)
    with pytest.raises((ValueError, RuntimeError)):
        load_weights(make(), {**weights, name: torch.zeros(3, 3)})


# --- damage


FILES = ["config.json", "manifest.json", "model.safetensors", "optimizer.pt", "progress.pt", "rng_state.pth",
         "scheduler.pt", "trainer_state.json"]  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, empty, flip, remove])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_is_used(tmp_path, capsys, name, damage):
    save(Checkpoints(tmp_path), toy(1), toy(2))
    assert names(tmp_path / "checkpoint-2") == FILES
    damage(tmp_path / "checkpoint-2" / name)
    if (name, damage) == ("manifest.json", cut):  # its last byte is a line's end
        return
    assert Checkpoints(tmp_path).newest() == tmp_path / "checkpoint-1"
    line = capsys.readouterr().err
    assert (
        line.startswith(f"warning: {tmp_path / 'checkpoint-2'}: this checkpoint is damaged") and line.count("\n") == 1
    )
    assert name == "manifest.json" or name in line
    assert same(Checkpoints(tmp_path).load().weights, toy(1).weights)


def test_a_checkpoint_that_is_whole_but_does_not_read_is_not_used(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, toy(1), toy(2))
    place = tmp_path / "checkpoint-2"
    (place / "optimizer.pt").write_bytes(b"nonsense")
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["files"]["optimizer.pt"] = {"size": 8, "sha256": module.sha256(place / "optimizer.pt")}
    (place / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoints.load().step == 1
    assert "checkpoint-2: this checkpoint is damaged" in capsys.readouterr().err


def test_without_a_sound_checkpoint_there_is_none(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path / "new")
    assert checkpoints.newest() is None and checkpoints.load() is None
    save(checkpoints, toy(1), toy(2))
    for step in (1, 2):
        cut(tmp_path / "new" / f"checkpoint-{step}" / "model.safetensors")
    (tmp_path / "new" / "checkpoint-3").mkdir()
    (tmp_path / "new" / "checkpoint-4").write_text("a file")
    assert checkpoints.newest() is None and checkpoints.load() is None
    assert capsys.readouterr().err.count("damaged and ignored") == 8


def test_after_damage_training_replaces_what_is_of_no_use(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, toy(1), toy(2))
    cut(tmp_path / "checkpoint-2" / "model.safetensors")
    save(checkpoints, toy(2, phase=1))
    assert checkpoints.load().progress == {"phase": 1} and names(tmp_path) == ["checkpoint-1", "checkpoint-2"]
    save(checkpoints, toy(9))
    cut(tmp_path / "checkpoint-9" / "model.safetensors")
    save(checkpoints, toy(3))  # from 2 again: 2 and 3 stay, the damaged 9 doesn't count
    assert names(tmp_path) == ["checkpoint-2", "checkpoint-3"]


# --- what stays


def test_the_newest_checkpoints_stay(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        save(checkpoints, toy(2), toy(10), toy(9), toy(11), toy(100))
        assert names(tmp_path) == ["checkpoint-100", "checkpoint-11"]
        assert checkpoints.newest() == tmp_path / "checkpoint-100"


def test_a_best_model_stays_as_long_as_a_checkpoint_speaks_of_it(tmp_path, capsys):
    checkpoints = Checkpoints(tmp_path, keep=2)

    def best(step):
        checkpoints.keep_best(step, lambda directory: (directory / "model").write_text(str(step)))

    best(1)
    save(checkpoints, toy(1, best=1))
    best(2)
    assert names(tmp_path) == ["best-1", "best-2", "checkpoint-1"]
    save(checkpoints, toy(2, best=2), toy(3, best=2))
    assert names(tmp_path) == ["best-2", "checkpoint-2", "checkpoint-3"]
    assert (checkpoints.best(2) / "model").read_text() == "2" and checkpoints.load().best == 2
    best(4)
    save(checkpoints, toy(4, best=4))
    assert names(tmp_path) == ["best-2", "best-4", "checkpoint-3", "checkpoint-4"]
    shutil.rmtree(tmp_path / "best-4")
    assert checkpoints.load().step == 3
    assert "best-4, which belongs to it, is missing" in capsys.readouterr().err
    with pytest.raises(UserError, match="best-4: the best model of this training is missing"):
        checkpoints.best(4)


def test_a_best_model_that_fails_to_be_written_leaves_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.keep_best(1, lambda directory: (directory / "model").write_text("good"))

    def fail(directory):
        (directory / "model").write_text("bad")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.keep_best(1, fail)
    assert names(tmp_path) == ["best-1"] and (tmp_path / "best-1" / "model").read_text() == "good"


def test_opening_clears_what_was_left_half_done(tmp_path):
    save(Checkpoints(tmp_path), toy(1), toy(2))
    (tmp_path / "checkpoint-2").rename(tmp_path / ".old-checkpoint-2")  # killed before the new one took its place
    shutil.copytree(tmp_path / "checkpoint-1", tmp_path / ".old-checkpoint-1")  # killed after it did
    (tmp_path / ".tmp-checkpoint-3").mkdir()
    assert Checkpoints(tmp_path).load().step == 2
    assert names(tmp_path) == ["checkpoint-1", "checkpoint-2"]


# --- failing to write


def test_an_error_of_writing_reaches_the_next_save_and_the_end(tmp_path):
    def fail(directory):
        raise RuntimeError("no config")

    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, toy(1))
    checkpoints.save(toy(2), fail)
    with pytest.raises(RuntimeError, match="no config"):
        checkpoints.save(toy(3), write_toy_config)
    checkpoints.wait()
    with pytest.raises(RuntimeError, match="no config"), checkpoints:
        checkpoints.save(toy(4), fail)
    assert names(tmp_path) == ["checkpoint-1"]
