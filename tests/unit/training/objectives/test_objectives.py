"""The engine with any objective: targets for sequences or tokens, records of several segments, regression."""

import numpy as np
import pytest
import torch
from closeness import close
from token_objective import BERT, LLAMA, SPECIALS, VOCABULARY, NextToken, examples, llama
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from dnalm.config.recipes import Recipe
from dnalm.errors import UserError
from dnalm.tables.tokens import Tokens
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.feeds import Examples, PaddedFeed
from dnalm.training.engine.loop import fine_tune, validate
from dnalm.training.engine.packing import PackedFeed, PackedModel
from dnalm.training.engine.parity import prove
from dnalm.training.engine.scoring import exactly, score
from dnalm.training.engine.windows import cut, room
from dnalm.training.models.loading import build
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives.base import IGNORED
from dnalm.training.objectives.classification import Classification
from dnalm.training.objectives.regression import MEAN, SCALE, Regression
from dnalm.training.runtime.checkpoints import Checkpoints, read
from dnalm.training.runtime.team import join_team


def noisy(model):
    """Weights larger than at a training's start, so that an error in attention is one in the logits."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def micro_batches(feed, batch, weights, ranks=1):
    total = weights[batch].sum()
    for parts in feed.divide(batch, ranks):
        for part in parts:
            yield feed.collate(part, weights[part] / total)


def mean_loss_by_hand(model, shown):
    """The mean over all learnt tokens of all records, each record by itself."""
    losses, objective = [], NextToken()
    for index in range(len(shown)):
        ids, lengths = shown.flat(np.array([index]))
        targets = torch.from_numpy(objective.targets(shown, np.array([index]), ids, lengths).values)
        logits = model(input_ids=torch.from_numpy(ids)[None]).logits[0]
        losses.append(objective.losses(logits, targets)[targets != IGNORED])
    return torch.cat(losses).mean()


@pytest.mark.parametrize("feed", ["padded", "packed"])
@pytest.mark.parametrize("most_tokens", [64, 200, 4000])
@pytest.mark.parametrize("ranks", [1, 3])
def test_the_loss_is_the_mean_over_the_tokens_of_the_whole_batch(feed, most_tokens, ranks):
    """However a batch is cut into micro-batches: a mean of their means would weigh tokens of short ones more."""
    model, (shown, _) = noisy(llama()), examples(12)
    objective = NextToken()
    if feed == "padded":
        made = PaddedFeed(shown, objective, 12, most_tokens)
        forward = lambda micro: model(input_ids=micro["input_ids"], attention_mask=micro["attention_mask"]).logits  # noqa: E731
    else:
        made = PackedFeed(shown, objective, 12, most_tokens, ranks)
        forward = PackedModel(model)
    (batch,) = made.batches(0)
    weights = objective.weights(shown)
    found = 0.0
    for micro in micro_batches(made, batch, weights, ranks):
        with torch.no_grad():
            found += float((objective.losses(forward(micro), micro["targets"]) * micro["weights"]).sum())
    if feed == "packed":
        forward.restore()
    with torch.no_grad():
        assert found == pytest.approx(float(mean_loss_by_hand(model, shown)), rel=1e-5)


def test_a_language_model_is_proven_to_pack_and_a_leak_is_found(monkeypatch):
    shown, _ = examples(12)
    assert prove(noisy(llama()), shown, torch.device("cpu"), None) is None
    from dnalm.training.engine import attention

    monkeypatch.setattr(
        attention,
        "block_mask",
        lambda ends, tokens, causal, reach: torch.ones(tokens, tokens, dtype=torch.bool).tril(),
    )
    assert "differ from those of each sequence alone" in prove(noisy(llama()), shown, torch.device("cpu"), None)


def test_a_token_objective_trains_logs_and_resumes_in_the_same_bytes(tmp_path):
    """The log has its metrics; a training resumed after an epoch ends with the weights of an uninterrupted one."""
    train, held_out, objective = examples(40)[0], examples(10, seed=2)[0], NextToken()
    recipe = Recipe(learning_rate=1e-2, epochs=3, batch_size=16, best_metric="loss")

    class Stop(Exception):
        pass

    def run(folder, after=None):
        def report(row):
            if row["epoch"] == after:
                raise Stop

        model = llama()
        with Checkpoints(folder) as store, join_team("cpu") as team:
            execution = Execution(team, store, read, minutes=0, report=report, most_tokens=300)
            progress, _ = fine_tune(model, objective, train, held_out, recipe, 1, execution, lambda *_: None)
        return progress, model.state_dict()

    whole, expected = run(tmp_path / "whole")
    columns = ["epoch", "step", "tokens", "training_loss", "validation_loss", "perplexity", "learning_rate"]
    assert [list(row) for row in whole.log] == [columns] * 3
    assert whole.log[-1]["training_loss"] < whole.log[0]["training_loss"]
    with pytest.raises(Stop):
        run(tmp_path / "cut", after=2)
    resumed, weights = run(tmp_path / "cut")
    assert resumed.resumed and all(torch.equal(weights[name], value) for name, value in expected.items())


def test_validation_of_tokens_sums_over_a_records_windows():
    model = noisy(llama())
    whole, cut_up = examples(8)[0], examples(8, size=9)[0]
    assert len(cut_up) > len(whole)
    found = score(model, NextToken(), cut_up, batch_size=3)
    assert found.shape == (8, 2)
    learnt = [sum(1 for at in range(n - 1) if at % 3) for n in cut_up.lengths]
    assert found[:, 1].tolist() == np.bincount(cut_up.windows.record, learnt).tolist()
    by_hand = float(mean_loss_by_hand(exactly(model, torch.device("cpu")), whole))
    assert validate(model, NextToken(), whole)["loss"] == pytest.approx(by_hand, rel=1e-6)


# records of several segments


@pytest.mark.parametrize("segments", [1, 2, 3])
def test_segments_stand_in_order_with_the_wrapper_between_them(segments):
    shown, lists = examples(7, segments, longest=30)
    ids, lengths = shown.flat(np.array([5, 2]))
    expected = []
    for record in (5, 2):
        parts = lists[record * segments : (record + 1) * segments]
        expected += [[2, *parts[0], *(token for part in parts[1:] for token in (3, *part)), 3]]
    assert ids.tolist() == [token for record in expected for token in record] and lengths.tolist() == [
        len(part) for part in expected
    ]
    assert shown.lengths_of(np.array([5, 2])).tolist() == lengths.tolist()
    assert shown.longest == max(shown.lengths)


def test_a_pair_is_spelt_and_typed_as_its_tokenizer_does(tmp_path):
    from small_models import small_tokenizer

    from dnalm.training.models.tokenization import in_memory

    tokenizer = small_tokenizer()
    specials = specials_of(tokenizer)
    pairs = [("ACGTACGTTG", "TTGA"), ("GGGATTACA", "ACGTACGTACGTT")]
    single = in_memory(tokenizer, [text for pair in pairs for text in pair])
    tokens = Tokens(single.ids, single.offsets, segments=2)
    shown = Examples(tokens, cut(tokens.lengths_of(0), room(tokens, 60), "window", []), specials)
    expected = tokenizer([a for a, _ in pairs], [b for _, b in pairs], padding=True, return_tensors="pt")
    batch = shown.padded(np.arange(2))
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    after_first = torch.tensor([[len(tokenizer(a)["input_ids"])] for a, _ in pairs])
    inside = batch["attention_mask"].bool()
    types = (torch.arange(inside.shape[1]) >= after_first) & inside
    assert torch.equal(batch["token_type_ids"].bool(), types)


@pytest.mark.parametrize("segments", [2, 3])
def test_pairs_and_prompts_are_packed_as_each_record_alone(segments):
    """With token types, which a BERT heeds."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(**BERT, vocab_size=VOCABULARY, num_labels=3, type_vocab_size=segments, pad_token_id=0)
    model = noisy(AutoModelForSequenceClassification.from_config(config))
    shown, _ = examples(9, segments, truth=np.arange(9) % 3, longest=54)
    alone = torch.cat([model(**shown.padded(np.array([i]))).logits for i in range(9)])
    untyped = torch.cat([model(input_ids=shown.padded(np.array([i]))["input_ids"]).logits for i in range(9)])
    assert not close(untyped, alone, 1e-2)
    feed = PackedFeed(shown, Classification({0: "a", 1: "b", 2: "c"}), 9, 4000)
    packed = PackedModel(model)
    found = packed(feed.collate(np.arange(9), np.ones(9)))[:9]
    packed.restore()
    assert close(found, alone)
    scored = score(model, Classification(), shown, batch_size=4)
    assert close(scored, torch.softmax(alone.double(), dim=1))


@pytest.mark.parametrize("overlong", ["window", "truncate"])
def test_only_one_segment_of_an_overlong_record_is_cut(overlong):
    """A prompt stays whole while its sequence is windowed; each window holds as much as is left."""
    shown, lists = examples(20, 3, size=40, segment=1, overlong=overlong, longest=60)
    for index in range(len(shown)):
        record = int(shown.windows.record[index])
        prompt, sequence, answer = lists[3 * record : 3 * record + 3]
        ids, _ = shown.flat(np.array([index]))
        inner = ids[1 + len(prompt) + 1 : len(ids) - 2 - len(answer)].tolist()
        assert ids.tolist() == [2, *prompt, 3, *inner, 3, *answer, 3]
        assert len(inner) <= 40 - len(prompt) - len(answer) and any(
            sequence[at : at + len(inner)] == inner for at in range(len(sequence))
        )
    if overlong == "window":
        assert len(shown) > 20 and set(shown.windows.record) == set(range(20))


def test_a_record_whose_other_segments_leave_no_room_is_named():
    with pytest.raises(UserError, match=r"record 'r\d+': its other segments use up all tokens .* raise max_tokens"):
        examples(20, 3, size=12, segment=1, longest=60)
    dropped, _ = examples(20, 3, size=12, segment=1, longest=60, overlong="drop")
    assert 0 < dropped.windows.dropped == 20 - len(dropped)


# a number to learn


def numbers(count, seed, unit=1.0, shift=0.0):
    """Records whose target is how many of their tokens are of the upper half of the vocabulary, in some unit."""
    shown, lists = examples(count, seed=seed, longest=20)
    targets = np.array([sum(token > 22 for token in ids) for ids in lists], dtype=np.float64)
    return Examples(shown._strands[0], shown.windows, SPECIALS, targets * unit + shift, seed=1)


def fitted(tmp_path, unit=1.0, shift=0.0):
    train, held_out = numbers(400, 1, unit, shift), numbers(100, 2, unit, shift)
    objective = Regression.of_targets(train.truth)
    model = build(BERT, objective.head, SPECIALS, VOCABULARY, seed=1)
    recipe = Recipe(objective="regression", learning_rate=3e-3, epochs=8, batch_size=32)
    with Checkpoints(tmp_path) as store, join_team("cpu") as team:
        progress, _ = fine_tune(model, objective, train, held_out, recipe, 1, Execution(team, store), lambda *_: None)
    return progress, model, objective, held_out


def test_a_number_is_learnt_in_any_unit_and_predicted_in_that_unit(tmp_path):
    progress, model, objective, held_out = fitted(tmp_path / "a")
    assert list(progress.log[0])[5:-1] == ["spearman", "pearson", "r2", "rmse"]
    assert max(row["spearman"] for row in progress.log) > 0.7
    found = score(model, objective, held_out)
    assert found.shape == (100, 1) and abs(found.mean() - held_out.truth.mean()) < held_out.truth.std()
    assert progress.log[-1]["rmse"] == pytest.approx(float(np.sqrt(((found[:, 0] - held_out.truth) ** 2).mean())))
    again, *_ = fitted(tmp_path / "b", unit=1000.0, shift=-5000.0)
    for one, other in zip(progress.log, again.log, strict=True):
        assert other["validation_loss"] == pytest.approx(one["validation_loss"], rel=1e-2)
        assert other["rmse"] == pytest.approx(1000 * one["rmse"], rel=1e-2)


def test_the_epoch_with_the_smallest_error_is_kept(tmp_path):
    train, objective = numbers(64, 1), Regression.of_targets(numbers(64, 1).truth)
    recipe = Recipe(objective="regression", learning_rate=3e-3, epochs=4, batch_size=32, best_metric="rmse")
    model = build(BERT, objective.head, SPECIALS, VOCABULARY, seed=1)
    with Checkpoints(tmp_path) as store, join_team("cpu") as team:
        progress, _ = fine_tune(model, objective, train, train, recipe, 1, Execution(team, store), lambda *_: None)
    assert progress.best_epoch == min(progress.log, key=lambda row: row["rmse"])["epoch"]


def test_a_finished_regression_model_says_its_unit_in_its_config():
    objective = Regression.of_targets(np.array([3.0, 5.0, 10.0]))
    model = build(BERT, objective.head, SPECIALS, VOCABULARY, seed=1)
    assert model.config.num_labels == 1 and model.config.problem_type == "regression"
    stated = type(model.config).from_dict(model.config.to_dict())
    assert getattr(stated, MEAN) == 6 and getattr(stated, SCALE) == pytest.approx(np.std([3, 5, 10]))
    logits = torch.tensor([[0.0], [1.0]])
    assert Regression.of_config(stated).scores(logits)[:, 0].tolist() == pytest.approx([6, 6 + np.std([3, 5, 10])])


def test_a_classifier_is_refused_where_numbers_are_to_be_predicted():
    config = build(BERT, Classification({0: "a", 1: "b"}).head, SPECIALS, VOCABULARY, seed=1).config
    assert Regression().misfit(np.array([0.5]), config) == (0, "has a target, a number, and the model 2 outputs")


def test_causal_models_of_transformers_are_what_the_packed_reader_takes_them_for():
    for kind in ("llama", "mistral", "qwen2"):
        torch.manual_seed(0)
        settings = {**LLAMA, "model_type": kind}
        model = noisy(AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings, vocab_size=VOCABULARY)))
        assert prove(model, examples(8)[0], torch.device("cpu"), None) is None, kind
