"""Where a training's course is reported; neither package needs to be there."""

import sys
from types import ModuleType

import pytest
from needed import needs

from dnalm.errors import UserError
from dnalm.training.runtime import trackers
from dnalm.training.runtime.trackers import Trackers

ROW = {"epoch": 1.0, "step": 7, "training_loss": 0.5, "mcc": 0.25}


def test_without_trackers_a_row_goes_nowhere(tmp_path):
    with Trackers([], "run", tmp_path / "events") as report:
        report(ROW)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setattr(trackers, "find_spec", lambda package: None)
    with pytest.raises(UserError, match=f"^report_to: the package {name} is not installed; pip install {name}, or"):
        Trackers([name], "run", tmp_path / "events")
    assert not list(tmp_path.iterdir())


@needs("tensorboard")
def test_tensorboard_reads_what_was_reported(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Trackers(["tensorboard"], "run", tmp_path) as report:
        report(ROW)
        report({**ROW, "step": 14, "mcc": 0.5})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(events.Tags()["scalars"]) == ["epoch", "mcc", "training_loss"]
    assert [(event.step, event.value) for event in events.Scalars("mcc")] == [(7, 0.25), (14, 0.5)]


class Run:
    """What `wandb.init` gives."""

    def __init__(self, settings):
        self.settings, self.rows, self.ended = settings, [], False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.ended = True

    def log(self, values, step):
        self.rows.append((step, values))


@pytest.fixture
def wandb(monkeypatch):
    module = ModuleType("wandb")
    module.Error, module.runs = type("Error", (Exception,), {}), []

    def init(**settings):
        module.runs.append(Run(settings))
        return module.runs[-1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(trackers, "find_spec", lambda package: module)
    return module


def test_wandb_is_told_each_row_and_ended(tmp_path, wandb):
    with Trackers(["wandb"], "results/d/seed1", tmp_path / "events") as report:
        report(ROW)
    (run,) = wandb.runs
    assert run.settings == {"project": "dna-lm-finetuning", "name": "results/d/seed1", "dir": tmp_path / "events"}
    assert (tmp_path / "events").is_dir()
    assert run.rows == [(7, {"epoch": 1.0, "training_loss": 0.5, "mcc": 0.25})] and run.ended


def test_a_tracker_is_ended_when_training_fails(tmp_path, wandb):
    with pytest.raises(ValueError, match="mine"), Trackers(["wandb"], "run", tmp_path):
        raise ValueError("mine")
    assert wandb.runs[0].ended


def test_wandb_without_a_key_is_one_line(tmp_path, wandb, monkeypatch):
    def refuse(**settings):
        raise wandb.Error("No API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(UserError, match=r"^report_to: wandb failed \(No API key configured\); set it up, or leave"):
        Trackers(["wandb"], "run", tmp_path)
