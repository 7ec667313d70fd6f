import math
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from closeness import close
from needed import needs
from small_models import TINY, records, small_tokenizer

from dnalm.config.recipes import Recipe
from dnalm.errors import UserError
from dnalm.names import METRICS
from dnalm.training.engine import scoring
from dnalm.training.engine.devices import CPU_THREADS, choose_device, make_repeatable, uses_bf16
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.loop import fine_tune, validate
from dnalm.training.engine.windows import cut
from dnalm.training.finetuning import sample
from dnalm.training.models.loading import build
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives.classification import Classification
from dnalm.training.runtime import energy
from dnalm.training.runtime.checkpoints import Checkpoints, read
from dnalm.training.runtime.signals import Stop, Stopped
from dnalm.training.runtime.team import join_team

CPU = torch.device("cpu")
TOKENIZER = small_tokenizer()
SPECIALS = specials_of(TOKENIZER)
OBJECTIVE = Classification({0: "no", 1: "yes"})


@pytest.fixture(autouse=True)
def _repeatable():
    make_repeatable()


def examples(count, seed):
    table = records(count, seed)
    tokens = in_memory(TOKENIZER, table["sequence"].tolist())
    windows = cut(tokens.lengths, 62, "window", table["id"].tolist())
    return Examples(tokens, windows, SPECIALS, table["label"].to_numpy(np.int64), seed=1)


STILL = {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def train(
    tmp_path,
    recipe,
    architecture=TINY,
    count=48,
    held_out=None,
    device="cpu",
    objective=OBJECTIVE,
    data=None,
    **execution,
):
    """Fine-tune a new model; returns progress, weights of each best epoch, the model, what is known of the engine."""
    model = build(architecture, objective.head, SPECIALS, len(TOKENIZER), seed=1)
    kept = []

    def keep(folder, weights):
        kept.append({name: value.clone() for name, value in model.state_dict().items()})
        (folder / "best").write_text(str(len(kept)))

    with Checkpoints(tmp_path / "scratch") as store, join_team(device) as team:
        execution = Execution(team, store, read, stop=Stop, energy=energy.joules, **execution)
        progress, facts = fine_tune(
            model, objective, data or examples(count, 1), held_out or examples(24, 2), recipe, 1, execution, keep
        )
    return progress, kept, model, facts


def test_every_epoch_has_a_row_with_a_training_loss(tmp_path):
    outcome, _, model, _ = train(tmp_path, Recipe(learning_rate=1e-3, epochs=2.5, batch_size=16))
    columns = (
        "epoch",
        "step",
        "tokens",
        "training_loss",
        "validation_loss",
        *METRICS["classification"],
        "learning_rate",
    )
    assert outcome.seconds > 0 and outcome.joules is None  # nothing counts a CPU's energy
    assert [row["epoch"] for row in outcome.log] == pytest.approx([1, 2, 2 + 2 / 3])
    assert [row["step"] for row in outcome.log] == [3, 6, 8]
    assert all(tuple(row) == columns for row in outcome.log)
    assert all(math.isfinite(row["training_loss"]) for row in outcome.log)
    assert outcome.step == 8 and outcome.sequences == 8 * 16 and outcome.seconds > 0 and outcome.resumed == []
    found = validate(model, OBJECTIVE, examples(24, 2))
    assert close(outcome.log[-1]["validation_loss"], found["loss"])


def lengths_seen(monkeypatch):
    """The total tokens of each batch that is trained on, special tokens included, as the engine divides them."""
    from dnalm.training.engine.feeds import PaddedFeed

    totals, usual = [], PaddedFeed.divide

    def divide(feed, batch, ranks):
        totals.append(int(feed.examples.lengths_of(batch).sum()))
        return usual(feed, batch, ranks)

    monkeypatch.setattr(PaddedFeed, "divide", divide)
    return totals


def test_steps_end_a_training_that_epochs_would_not(tmp_path):
    """The schedule is that of the steps that are taken."""
    recipe = {"learning_rate": 1e-3, "batch_size": 16}
    outcome, _, _, _ = train(tmp_path / "a", Recipe(epochs=9, max_steps=4, **recipe))
    assert [row["step"] for row in outcome.log] == [3, 4]
    assert [row["learning_rate"] for row in outcome.log] == pytest.approx([1e-3 * 2 / 4, 1e-3 / 4])
    outcome, _, _, _ = train(tmp_path / "b", Recipe(epochs=1, max_steps=4, **recipe))
    assert outcome.step == 3  # the epochs are over first


@pytest.mark.parametrize(("short", "steps"), [(0, 4), (-1, 5), (1, 4)])
@pytest.mark.parametrize("strands", [1, 2])
def test_the_last_step_is_the_first_that_reaches_the_tokens(tmp_path, monkeypatch, short, steps, strands):
    """The budget is what 4 of the steps take, or `short` tokens less; both strands have other numbers of tokens."""
    totals, data = lengths_seen(monkeypatch), None
    if strands == 2:
        tables = records(48, 1)["sequence"].tolist(), records(48, 7)["sequence"].tolist()
        tokens, reverse = (in_memory(TOKENIZER, table) for table in tables)
        windows = cut(np.maximum(tokens.lengths, reverse.lengths), 200, "window", [f"r{i}" for i in range(48)])
        truth = records(48, 1)["label"].to_numpy(np.int64)
        data = Examples(tokens, windows, SPECIALS, truth, reverse, seed=1)
    recipe = {"learning_rate": 1e-3, "batch_size": 16, "epochs": 3}
    train(tmp_path / "a", Recipe(**recipe), data=data)
    trained = totals[:]
    assert len(trained) == 9
    totals.clear()
    outcome, _, _, _ = train(tmp_path / "b", Recipe(max_tokens=sum(trained[:4]) - short, **recipe), data=data)
    assert outcome.step == steps and totals == trained[:steps]
    assert outcome.tokens == outcome.log[-1]["tokens"] == sum(trained[:steps])
    assert outcome.log[-1]["learning_rate"] == pytest.approx(1e-3 / steps)


def test_validations_come_every_so_many_steps_and_at_the_end(tmp_path):
    recipe = Recipe(learning_rate=1e-3, epochs=2.5, batch_size=16, validate_every=5)
    outcome, _, _, _ = train(tmp_path, recipe)
    assert [row["step"] for row in outcome.log] == [5, 8]
    assert [row["epoch"] for row in outcome.log] == pytest.approx([5 / 3, 8 / 3])
    assert 0 < outcome.log[0]["tokens"] < outcome.log[1]["tokens"] == outcome.tokens


def test_patience_counts_validations(tmp_path, monkeypatch):
    metrics(monkeypatch, [0.2, 0.1, 0.1, 0.9])
    recipe = Recipe(epochs=9, batch_size=16, validate_every=2, early_stopping_patience=2)
    outcome, _, _, _ = train(tmp_path, recipe)
    assert outcome.step == 6 and outcome.best == 2 and len(outcome.log) == 3


def test_the_learning_rate_falls_linearly_and_warms_up(tmp_path):
    outcome, _, _, _ = train(tmp_path, Recipe(learning_rate=1e-3, epochs=2, batch_size=16))
    assert [row["learning_rate"] for row in outcome.log] == pytest.approx([1e-3 * 4 / 6, 1e-3 / 6])
    outcome, _, _, _ = train(
        tmp_path / "warm", Recipe(learning_rate=1e-3, epochs=2, batch_size=16, warmup=0.5, scheduler="constant")
    )
    assert [row["learning_rate"] for row in outcome.log] == pytest.approx([1e-3 * 2 / 3, 1e-3])


def test_the_training_loss_is_the_mean_over_the_epochs_steps(tmp_path):
    """With no learning and no dropout, it is the loss of the initial model on each batch."""
    outcome, _, model, _ = train(tmp_path, Recipe(learning_rate=1e-12, epochs=2, batch_size=16), STILL)
    expected = validate(model, OBJECTIVE, examples(48, 1))["loss"]
    assert [row["training_loss"] for row in outcome.log] == pytest.approx([expected, expected], rel=1e-5)


def metrics(monkeypatch, values):
    """Let validation find `values`, one an epoch, as mcc and as loss."""
    found = iter(values)

    def fake(*_):
        value = next(found)
        return dict.fromkeys(("loss", *METRICS["classification"]), value)

    monkeypatch.setattr("dnalm.training.engine.loop.validate", fake)


@pytest.mark.parametrize(
    ("metric", "values", "best", "saves"),
    [("mcc", [0.1, 0.5, 0.5, 0.2], 2, 2), ("loss", [0.5, 0.4, 0.4, 0.6], 2, 2), ("mcc", [0.0, 0.0, 0.0, 0.0], 1, 1)],
)
def test_the_best_epoch_is_kept_and_of_equals_the_first(tmp_path, monkeypatch, metric, values, best, saves):
    metrics(monkeypatch, values)
    outcome, kept, model, _ = train(tmp_path, Recipe(epochs=4, batch_size=48, best_metric=metric, learning_rate=1e-3))
    assert outcome.best_epoch == best and len(kept) == saves and len(outcome.log) == 4
    assert not torch.equal(kept[-1]["classifier.weight"], model.state_dict()["classifier.weight"])


def test_training_stops_when_nothing_gets_better(tmp_path, monkeypatch):
    metrics(monkeypatch, [0.1, 0.2, 0.2, 0.1, 0.9])
    outcome, _, _, _ = train(tmp_path, Recipe(epochs=5, batch_size=48, early_stopping_patience=2))
    assert len(outcome.log) == 4 and outcome.best_epoch == 2


def test_a_loss_that_is_no_number_names_the_learning_rate(tmp_path):
    with pytest.raises(UserError, match=r"recipe.learning_rate: the loss became nan in epoch 1; .* \(now 1e\+30\)"):
        train(tmp_path, Recipe(learning_rate=1e30, epochs=2, batch_size=16, max_gradient_norm=1e30))


def test_a_gpu_that_runs_out_of_memory_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("dnalm.training.engine.steps.Stepper.micro", full)
    with pytest.raises(UserError, match="memory ran out; lower the batch size"):
        train(tmp_path, Recipe())


def test_a_small_bert_learns_an_easy_task(tmp_path):
    size = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    recipe = Recipe(learning_rate=5e-4, epochs=2, batch_size=32)
    outcome, _, _, _ = train(tmp_path, recipe, {**TINY, **size}, count=480, held_out=examples(100, 2))
    best = max(row["mcc"] for row in outcome.log)
    assert best > 0.9
    assert outcome.log[-1]["training_loss"] < outcome.log[0]["training_loss"]


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("engine", ["padded", "packed"])
def test_accumulation_changes_nothing(tmp_path, engine):
    """A batch in one micro-batch, or in many of at most 80 tokens."""
    recipe = Recipe(learning_rate=1e-3, epochs=2, batch_size=16, engine=engine)
    whole, _, one, _ = train(tmp_path / "a", recipe, STILL, most_tokens=4096)
    parts, _, other, facts = train(tmp_path / "b", recipe, STILL, most_tokens=80)
    assert facts["kind"] == engine and facts["most_tokens"] == 80 and facts["padding"] < 0.6
    for row, same_row in zip(whole.log, parts.log, strict=True):
        assert close(row["training_loss"], same_row["training_loss"])
    for name, value in one.state_dict().items():
        # where a gradient is zero but for rounding, AdamW steps by its sign
        assert (value - other.state_dict()[name]).abs().median() < 1e-3 * recipe.learning_rate, name


def test_class_weights_and_focal_loss_are_used(tmp_path):
    recipe = Recipe(learning_rate=1e-12, epochs=1, batch_size=48)
    uneven = examples(48, 1)
    uneven.truth = np.r_[np.zeros(40, dtype=np.int64), np.ones(8, dtype=np.int64)]
    plain, _, model, _ = train(tmp_path / "a", recipe, STILL, data=uneven)
    weighted, _, _, _ = train(
        tmp_path / "b", recipe, STILL, data=uneven, objective=replace(OBJECTIVE, class_weights="balanced")
    )
    focal, _, _, _ = train(tmp_path / "c", recipe, STILL, data=uneven, objective=replace(OBJECTIVE, focal_gamma=2.0))
    batch, labels = uneven.padded(np.arange(48)), torch.from_numpy(uneven.truth_of(np.arange(48)))
    losses = torch.nn.functional.cross_entropy(
        model(batch["input_ids"], batch["attention_mask"]).logits, labels, reduction="none"
    ).detach()
    of_class = [float(losses[labels == label].mean()) for label in (0, 1)]
    assert plain.log[0]["training_loss"] == pytest.approx(float(losses.mean()), rel=1e-5)
    assert weighted.log[0]["training_loss"] == pytest.approx(np.mean(of_class), rel=1e-5)
    assert focal.log[0]["training_loss"] == pytest.approx(float((losses * (1 - (-losses).exp()) ** 2).mean()), rel=1e-5)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("at", "more"),
    [
        *((at, {}) for at in (1, 4, 6, 7, 11)),
        *((at, {"optimizer": "muon", "validate_every": 4}) for at in (3, 6, 8, 9)),
        (5, {"max_tokens": 3000, "validate_every": 3}),
    ],
)
def test_a_training_goes_on_bit_for_bit(tmp_path, monkeypatch, capsys, at, more):
    """Killed after step `at` of 12 or fewer, in an epoch, at its end, at a validation; saved after every other step."""
    recipe = Recipe(learning_rate=1e-3, epochs=2, batch_size=8, warmup=0.2, best_metric="loss", **more)
    straight, kept, model, _ = train(tmp_path / "a", recipe)
    from dnalm.training.engine.loop import _Training

    usual, calls = _Training._save_if_asked, []

    def save_and_die(self):
        self._saved_at = -1e9 if self.progress.step % 2 else math.inf
        usual(self)
        calls.append(self.progress.step)
        if calls == list(range(1, at + 1)):
            self.execution.store.wait()
            raise Killed

    monkeypatch.setattr(_Training, "_save_if_asked", save_and_die)
    with pytest.raises(Killed):
        train(tmp_path / "b", recipe)
    resumed, again, other, _ = train(tmp_path / "b", recipe)
    assert f"resumed from step {resumed.resumed[0]}" in capsys.readouterr().err
    assert resumed.resumed[0] in (at, at - 1) and resumed.log == straight.log and resumed.best == straight.best
    assert (resumed.sequences, resumed.tokens) == (straight.sequences, straight.tokens)
    assert same(model.state_dict(), other.state_dict())
    if again:
        assert same(kept[-1], again[-1])
    assert (tmp_path / "b/scratch" / f"best-{resumed.best}" / "best").is_file()


def test_a_training_that_is_asked_to_stop_saves_and_goes_on(tmp_path, monkeypatch):
    recipe = Recipe(learning_rate=1e-3, epochs=2, batch_size=8)
    straight, _, model, _ = train(tmp_path / "a", recipe)
    from dnalm.training.engine.steps import Stepper

    usual, calls = Stepper.update, []

    def asked(self):
        usual(self)
        calls.append(None)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Stepper, "update", asked)
    with pytest.raises(Stopped, match="stopped by SIGTERM at step 3; the checkpoint is saved") as error:
        train(tmp_path / "b", recipe)
    assert error.value.exit_status == 143
    resumed, _, other, _ = train(tmp_path / "b", recipe)
    assert resumed.resumed == [3] and resumed.log == straight.log and same(model.state_dict(), other.state_dict())


def test_a_signal_does_not_wait_for_the_end_of_a_validation(tmp_path, monkeypatch):
    """What is left of it is done after going on."""
    recipe = Recipe(learning_rate=1e-3, epochs=2, batch_size=8)
    straight, _, model, _ = train(tmp_path / "a", recipe, most_tokens=240)
    usual, batches = scoring.pad, []

    def asked(*arguments):
        batches.append(None)
        if len(batches) == 2:
            signal.raise_signal(signal.SIGTERM)
        return usual(*arguments)

    with monkeypatch.context() as patch, pytest.raises(Stopped, match="stopped by SIGTERM at step 6; the checkpoint"):
        patch.setattr(scoring, "pad", asked)
        train(tmp_path / "b", recipe, most_tokens=240)
    assert len(batches) == 2
    resumed, _, other, _ = train(tmp_path / "b", recipe, most_tokens=240)
    assert resumed.resumed == [6] and resumed.log == straight.log and same(model.state_dict(), other.state_dict())


def test_early_stopping_is_remembered(tmp_path, monkeypatch):
    """A training that had stopped early stops again, without another step."""
    metrics(monkeypatch, [0.2, 0.1])
    recipe = Recipe(epochs=5, batch_size=48, early_stopping_patience=1)
    train(tmp_path, recipe)
    again, kept, _, _ = train(tmp_path, recipe)
    assert len(again.log) == 2 and again.step == 2 and not kept


def test_packed_can_be_asked_for_and_refused(tmp_path):
    _, _, _, facts = train(tmp_path / "a", Recipe(epochs=1, engine="packed"))
    assert facts["kind"] == "packed" and facts["row_tokens"] % 64 == 0
    odd = {"model_type": "distilbert", "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64}
    with pytest.raises(UserError, match=r"recipe.engine: this model cannot be packed: DistilBert.* use auto or padded"):
        train(tmp_path / "b", Recipe(epochs=1, engine="packed"), odd)
    _, _, _, facts = train(tmp_path / "c", Recipe(epochs=1), odd)
    assert facts["kind"] == "padded" and "CUDA" in facts["because"]


def test_compiling_that_was_asked_for_and_cannot_be_is_said(tmp_path, capsys):
    _, _, _, facts = train(tmp_path / "a", Recipe(epochs=1))
    assert facts["compiled"] is False and "not compiled" not in capsys.readouterr().err
    _, _, _, facts = train(tmp_path / "b", Recipe(epochs=1, compile=True))
    assert facts["compiled"] is False
    assert "engine: not compiled (only packed training on a CUDA GPU is)" in capsys.readouterr().err


def test_validation_takes_no_more_tokens_than_training(tmp_path, monkeypatch):
    asked = []
    usual = validate

    def validated(model, objective, validation, what="", team=None, most_tokens=None, *others):
        asked.append(most_tokens)
        return usual(model, objective, validation, what, team, most_tokens, *others)

    monkeypatch.setattr("dnalm.training.engine.loop.validate", validated)
    train(tmp_path, Recipe(epochs=1), most_tokens=70)
    assert asked == [70]


def test_a_sample_is_drawn_from_the_seed():
    assert sample(5, None, 1).tolist() == sample(5, 9, 1).tolist() == [0, 1, 2, 3, 4]
    some = sample(1000, 50, 1)
    assert len(set(some.tolist())) == 50 and (np.diff(some) > 0).all()
    assert some.tolist() == sample(1000, 50, 1).tolist() != sample(1000, 50, 2).tolist()


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU
    with pytest.raises(UserError, match="device: cuda was requested and no GPU is visible"):
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
    outcome, _, model, _ = train(tmp_path, Recipe(learning_rate=1e-3, epochs=1, batch_size=16, precision="bf16"))
    exact, _, _, _ = train(tmp_path / "b", Recipe(learning_rate=1e-3, epochs=1, batch_size=16, precision="fp32"))
    assert model.dtype == torch.float32
    assert outcome.log[0]["training_loss"] != exact.log[0]["training_loss"]
    assert outcome.log[0]["training_loss"] == pytest.approx(exact.log[0]["training_loss"], rel=0.02)
    assert outcome.log[0]["validation_loss"] == pytest.approx(
        validate(model, OBJECTIVE, examples(24, 2))["loss"], rel=1e-6
    )


@pytest.mark.gpu
@needs("a CUDA GPU")
def test_a_gpu_learns_the_same_task_on_one_device(tmp_path):
    """In bf16 by default, and with the batch size asked for however many GPUs there are."""
    recipe = Recipe(learning_rate=1e-3, epochs=4, batch_size=16)
    outcome, _, model, _ = train(tmp_path, recipe, count=320, held_out=examples(100, 2), device="cuda")
    assert uses_bf16("auto", torch.device("cuda")) and model.dtype == torch.float32
    assert outcome.step == 80 and outcome.log[-1]["mcc"] > 0.9


def test_captured_graphs_are_let_go_however_training_ends(tmp_path, monkeypatch):
    from dnalm.training.engine.steps import Stepper

    class Graph:
        released = False

        def replay(self):
            raise ValueError("in the middle of a step")

        def reset(self):
            self.released = True

    graph, usual = Graph(), Stepper.micro

    def micro(stepper, *batch):
        usual(stepper, *batch)
        stepper._graphs["update"] = graph

    monkeypatch.setattr(Stepper, "micro", micro)
    with pytest.raises(ValueError, match="in the middle"):
        train(tmp_path, Recipe(epochs=1, batch_size=16))
    assert graph.released
