import dataclasses
import math

import numpy as np
import pytest
import torch
from small_models import TINY, records, small_tokenizer

from dnalm.errors import UserError
from dnalm.training.batches import Examples
from dnalm.training.devices import CPU_THREADS, choose_device, make_repeatable, uses_bf16
from dnalm.training.engine import LOG_COLUMNS, Recipe, fine_tune, sample, validate
from dnalm.training.methods import Lora
from dnalm.training.models import build
from dnalm.training.tokens import in_memory
from dnalm.training.vocabulary import specials_of
from dnalm.training.windows import cut

CPU = torch.device("cpu")
TOKENIZER = small_tokenizer()
SPECIALS = specials_of(TOKENIZER)


@pytest.fixture(autouse=True)
def _repeatable():
    make_repeatable()


def examples(count, seed):
    table = records(count, seed)
    tokens = in_memory(TOKENIZER, table["sequence"].tolist())
    windows = cut(tokens.lengths, 62, "window", table["id"].tolist())
    return Examples(tokens, windows, SPECIALS, table["label"].to_numpy(np.int64), seed=1)


def train(tmp_path, recipe, architecture=TINY, count=48, held_out=None, device=CPU):
    model = build(architecture, {0: "no", 1: "yes"}, SPECIALS, len(TOKENIZER), seed=1)
    kept = []

    def keep():
        kept.append({name: value.clone() for name, value in model.state_dict().items()})

    outcome = fine_tune(model, examples(count, 1), held_out or examples(24, 2), recipe, 1, device, tmp_path, keep)
    return outcome, kept, model


def test_the_recipe_is_the_configs():
    config = pytest.importorskip("dnalm.config", reason="needs pydantic")
    theirs = {name: field.default for name, field in config.Recipe.model_fields.items()}
    assert {field.name: field.default for field in dataclasses.fields(Recipe)} == theirs
    lora = {name: field.default for name, field in config.Lora.model_fields.items()}
    assert {field.name: field.default for field in dataclasses.fields(Lora)} == lora


def test_every_epoch_has_a_row_with_a_training_loss(tmp_path):
    outcome, _, model = train(tmp_path, Recipe(learning_rate=1e-3, epochs=2.5, batch_size=16))
    assert [row["epoch"] for row in outcome.log] == pytest.approx([1, 2, 2 + 2 / 3])
    assert [row["step"] for row in outcome.log] == [3, 6, 8]
    assert all(tuple(row) == LOG_COLUMNS for row in outcome.log)
    assert all(math.isfinite(row["training_loss"]) for row in outcome.log)
    assert outcome.steps == 8 and outcome.sequences == 8 * 16 and outcome.seconds > 0
    found = validate(model, examples(24, 2))
    assert outcome.log[-1]["validation_loss"] == pytest.approx(found["loss"])
    assert list(tmp_path.iterdir()) == []


def test_the_learning_rate_falls_linearly_and_warms_up(tmp_path):
    outcome, _, _ = train(tmp_path, Recipe(learning_rate=1e-3, epochs=2, batch_size=16))
    assert [row["learning_rate"] for row in outcome.log] == pytest.approx([1e-3 * 4 / 6, 1e-3 / 6])
    outcome, _, _ = train(
        tmp_path, Recipe(learning_rate=1e-3, epochs=2, batch_size=16, warmup=0.5, scheduler="constant")
    )
    assert [row["learning_rate"] for row in outcome.log] == pytest.approx([1e-3 * 2 / 3, 1e-3])


def test_the_training_loss_is_the_mean_over_the_epochs_steps(tmp_path):
    """With no learning and no dropout, it is the loss of the initial model on each batch."""
    still = {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    outcome, _, model = train(tmp_path, Recipe(learning_rate=1e-12, epochs=2, batch_size=16), still)
    expected = validate(model, examples(48, 1))["loss"]
    assert [row["training_loss"] for row in outcome.log] == pytest.approx([expected, expected], rel=1e-5)


def metrics(monkeypatch, values):
    """Let validation find `values`, one an epoch, as mcc and as loss."""
    found = iter(values)

    def fake(model, held_out, what=""):
        value = next(found)
        return dict.fromkeys(("loss", "mcc", "accuracy", "macro_f1", "macro_precision", "macro_recall"), value)

    monkeypatch.setattr("dnalm.training.engine.validate", fake)


@pytest.mark.parametrize(
    ("metric", "values", "best", "saves"),
    [("mcc", [0.1, 0.5, 0.5, 0.2], 2, 2), ("loss", [0.5, 0.4, 0.4, 0.6], 2, 2), ("mcc", [0.0, 0.0, 0.0, 0.0], 1, 1)],
)
def test_the_best_epoch_is_kept_and_of_equals_the_first(tmp_path, monkeypatch, metric, values, best, saves):
    metrics(monkeypatch, values)
    outcome, kept, model = train(tmp_path, Recipe(epochs=4, batch_size=48, best_metric=metric, learning_rate=1e-3))
    assert outcome.best_epoch == best and len(kept) == saves and len(outcome.log) == 4
    assert not torch.equal(kept[-1]["classifier.weight"], model.state_dict()["classifier.weight"])


def test_training_stops_when_nothing_gets_better(tmp_path, monkeypatch):
    metrics(monkeypatch, [0.1, 0.2, 0.2, 0.1, 0.9])
    outcome, _, _ = train(tmp_path, Recipe(epochs=5, batch_size=48, early_stopping_patience=2))
    assert len(outcome.log) == 4 and outcome.best_epoch == 2


def test_a_loss_that_is_no_number_names_the_learning_rate(tmp_path):
    with pytest.raises(UserError, match=r"recipe.learning_rate: the loss became nan in epoch 1; .* \(now 1e\+30\)"):
        train(tmp_path, Recipe(learning_rate=1e30, epochs=2, batch_size=16, max_gradient_norm=1e30))


def test_a_gpu_that_runs_out_of_memory_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.Trainer.training_step", full)
    with pytest.raises(UserError, match="memory ran out; lower the batch size"):
        train(tmp_path, Recipe())


def test_a_small_bert_learns_an_easy_task(tmp_path):
    size = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    recipe = Recipe(learning_rate=5e-4, epochs=2, batch_size=32)
    outcome, _, _ = train(tmp_path, recipe, {**TINY, **size}, count=480, held_out=examples(100, 2))
    best = max(row["mcc"] for row in outcome.log)
    assert best > 0.9
    assert outcome.log[-1]["training_loss"] < outcome.log[0]["training_loss"]


def test_a_sample_is_drawn_from_the_seed():
    assert sample(5, None, 1).tolist() == sample(5, 9, 1).tolist() == [0, 1, 2, 3, 4]
    some = sample(1000, 50, 1)
    assert len(set(some.tolist())) == 50 and (np.diff(some) > 0).all()
    assert some.tolist() == sample(1000, 50, 1).tolist() != sample(1000, 50, 2).tolist()


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(UserError, match="device: cuda was asked for and no GPU is visible"):
        choose_device("cuda")
    with pytest.raises(UserError, match="unknown device 'gpu'"):
        choose_device("gpu")


def test_auto_takes_the_best_device(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


def test_precision_and_threads_on_the_cpu():
    assert not uses_bf16("auto", CPU) and not uses_bf16("fp32", CPU) and uses_bf16("bf16", CPU)
    assert torch.get_num_threads() == CPU_THREADS


def test_bf16_trains_and_validates_in_fp32(tmp_path):
    outcome, _, model = train(tmp_path, Recipe(learning_rate=1e-3, epochs=1, batch_size=16, precision="bf16"))
    exact, _, _ = train(tmp_path, Recipe(learning_rate=1e-3, epochs=1, batch_size=16, precision="fp32"))
    assert model.dtype == torch.float32
    assert outcome.log[0]["training_loss"] != exact.log[0]["training_loss"]
    assert outcome.log[0]["training_loss"] == pytest.approx(exact.log[0]["training_loss"], rel=0.02)
    assert outcome.log[0]["validation_loss"] == pytest.approx(validate(model, examples(24, 2))["loss"], rel=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_learns_the_same_task_on_one_device(tmp_path):
    """In bf16 by default, and with the batch size asked for however many GPUs there are."""
    recipe = Recipe(learning_rate=1e-3, epochs=4, batch_size=16)
    outcome, _, model = train(tmp_path, recipe, count=320, held_out=examples(100, 2), device=torch.device("cuda"))
    assert uses_bf16("auto", torch.device("cuda")) and model.dtype == torch.float32
    assert outcome.steps == 80 and outcome.log[-1]["mcc"] > 0.9
