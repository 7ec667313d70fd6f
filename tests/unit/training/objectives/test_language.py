"""What the objectives of language models share: means over whole batches, windows, weights, memory, resume."""

import numpy as np
import pytest
import torch
from closeness import close
from language_models import BASES, MIXTRAL, MODERN, model_for, objective_for, random_records, shown
from token_objective import BERT, SPECIALS, VOCABULARY

from dnalm.config.recipes import Recipe
from dnalm.errors import UserError
from dnalm.training.engine.execution import Execution
from dnalm.training.engine.feeds import PaddedFeed
from dnalm.training.engine.loop import fine_tune
from dnalm.training.engine.packing import PackedFeed, PackedModel
from dnalm.training.engine.parity import prove
from dnalm.training.engine.scoring import score
from dnalm.training.models.loading import build, load, load_finished, save
from dnalm.training.objectives import language
from dnalm.training.objectives.base import IGNORED
from dnalm.training.runtime.checkpoints import Checkpoints, read
from dnalm.training.runtime.team import join_team

BOTH = pytest.mark.parametrize("name", ["causal", "masked"])


def gradients(model, objective, records, feed, ranks, most_tokens):
    """Of one optimizer batch of all records, summed over micro-batches and ranks, as `Stepper` and `_jobs` do; and its loss."""
    made = PackedFeed(records, objective, 12, most_tokens, ranks) if feed == "packed" else None
    made = made or PaddedFeed(records, objective, 12, most_tokens)
    packed = PackedModel(model) if feed == "packed" else None
    forward = packed or (lambda m: model(input_ids=m["input_ids"], attention_mask=m["attention_mask"]).logits)
    model.zero_grad()
    (batch,) = made.batches(0)
    weights, total, count = objective.weights(records), 0.0, 0
    for row in made.divide(batch, ranks):
        for part in row:
            micro = made.collate(part, (weights[part] / weights[batch].sum()).astype(np.float32))
            loss = (objective.losses(forward(micro), micro["targets"]) * micro["weights"]).sum()
            loss.backward()
            total, count = total + float(loss.detach()), count + 1
    if packed:
        packed.restore()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, total, count


def by_hand(model, objective, records):
    """The gradients of the weighted mean over all learnt tokens, each record by itself."""
    model.zero_grad()
    losses, weights = [], []
    for index in range(len(records)):
        one = np.array([index])
        ids, lengths = records.flat(one)
        targets = objective.targets(records, one, ids, lengths)
        logits = model(input_ids=torch.from_numpy(targets.ids)[None]).logits[0]
        learnt = targets.values != IGNORED
        losses.append(
            torch.nn.functional.cross_entropy(
                logits[learnt], torch.from_numpy(targets.values[learnt]), reduction="none"
            )
        )
        weights.append(np.ones(learnt.sum()) if targets.shares is None else targets.shares[learnt])
    weights = torch.from_numpy(np.concatenate(weights)).float()
    loss = (torch.cat(losses) * weights).sum() / weights.sum()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}, float(loss.detach())


@BOTH
@pytest.mark.parametrize("weight", [1.0, 0.2])
def test_gradients_do_not_depend_on_micro_batches_layout_or_ranks(name, weight):
    model, records, objective = model_for(name), random_records(12), objective_for(name, weight)
    expected, loss = by_hand(model, objective, records)
    sizes = set()
    for feed in ("padded", "packed"):
        for ranks, most_tokens in ((1, 4000), (1, 70), (2, 200)):
            found, total, count = gradients(model, objective, records, feed, ranks, most_tokens)
            assert total == pytest.approx(loss, rel=1e-5), (feed, ranks, most_tokens)
            assert close(found, expected, 2e-5, max(float(g.abs().max()) for g in expected.values()))
            sizes.add(count)
    assert len(sizes) > 2


def test_a_mean_of_means_would_be_another():
    """The test above can tell: records differ in their number of tokens."""
    model, records, objective = model_for("causal"), random_records(12), objective_for("causal")
    _, loss = by_hand(model, objective, records)
    means = []
    for index in range(len(records)):
        one = np.array([index])
        targets = objective.targets(records, one, *records.flat(one))
        logits = model(input_ids=torch.from_numpy(targets.ids)[None]).logits[0]
        losses = objective.losses(logits, torch.from_numpy(targets.values)).detach().numpy()
        means.append(losses[targets.values != IGNORED].mean())
    assert abs(np.mean(means) - loss) > 1e-3 * loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_cross_entropy_in_parts_is_that_of_torch(monkeypatch, dtype):
    torch.manual_seed(0)
    logits = (3 * torch.randn(50, 17)).to(dtype)
    targets = torch.where(torch.arange(50) % 7 == 0, IGNORED, torch.randint(17, (50,)))
    weights = torch.rand(50, dtype=torch.float64)
    found = []
    for size in (17, 17 * 8, 10**6):
        monkeypatch.setattr(language, "CHUNK", size)
        own = logits.clone().requires_grad_()
        losses = objective_for("causal").losses(own[None], targets[None])[0]
        (losses * weights).sum().backward()
        found.append((losses, own.grad))
    plain = logits.clone().requires_grad_()
    exact = plain if dtype == torch.float64 else plain.float()
    expected = torch.nn.functional.cross_entropy(exact, targets, reduction="none", ignore_index=IGNORED)
    (expected * weights).sum().backward()
    for losses, gradient in found:
        assert losses.dtype == exact.dtype and close(losses, expected, 1e-6)
        assert close(gradient, plain.grad, 1e-2 if dtype == torch.bfloat16 else 1e-5)


@BOTH
def test_each_base_of_an_overlong_record_is_scored_once(name):
    """Windows overlap; what the window before has is neither learnt nor scored again."""
    whole = random_records(10, unknown=0)
    cut_up = random_records(10, unknown=0, size=9)
    assert len(cut_up) > 2 * len(whole)
    objective, model = objective_for(name, fraction=0.999, masked=1, random=0), model_for(name)
    one, other = (score(model, objective, records) for records in (whole, cut_up))
    if name == "causal":
        assert one[:, 0].tolist() == other[:, 0].tolist() and one[:, 4].tolist() == other[:, 4].tolist()
    assert one[:, -1].tolist() == other[:, -1].tolist()
    assert (other[:, 2] <= other[:, 0]).all() and (other[:, 3] <= other[:, 1] * (1 + 1e-12)).all()
    learnt = np.zeros(len(cut_up._strands[0].ids), dtype=int)
    for index in range(len(cut_up)):
        fresh = cut_up.fresh_of(np.array([index]))[1:-1]
        start = cut_up._first[0, 0, index]
        learnt[start : start + len(fresh)] += fresh
    assert (learnt == 1).all()


@BOTH
def test_special_and_unknown_tokens_are_neither_learnt_nor_scored(name):
    records = random_records(20, unknown=0.4)
    ids, lengths = records.flat(np.arange(20))
    objective = objective_for(name, fraction=0.9)
    targets = objective.targets(records, np.arange(20), ids, lengths)
    assert not np.isin(targets.values, [0, 1, 2, 3, 4]).any() and (targets.values != IGNORED).sum() > 100
    found = score(model_for(name), objective, records)
    assert found[:, -1].sum() == BASES[ids].sum()
    special = np.isin(ids, [1, 2, 3])
    assert (targets.ids[special] == ids[special]).all()


@BOTH
def test_scores_do_not_depend_on_company_and_are_summed_over_records(name):
    from dnalm.training.engine.scoring import exactly

    model, records = exactly(model_for(name), torch.device("cpu")), random_records(17)
    found = [score(model, objective_for(name), records, size) for size in (1, 5, 64)]
    assert close(found[1], found[0], 1e-13) and close(found[2], found[0], 1e-13)
    quality = objective_for(name).quality(found[0], None)
    assert quality["loss"] == pytest.approx(found[0][:, 5].sum() / found[0][:, 4].sum())


@BOTH
def test_a_training_resumed_in_the_middle_of_an_epoch_ends_in_the_same_bytes(tmp_path, name):
    train, held_out = random_records(40), random_records(10, seed=2)
    recipe = Recipe(objective=name, learning_rate=1e-2, epochs=3, batch_size=8)

    class Stop(Exception):
        pass

    def run(folder, after=None):
        objective, model, calls = objective_for(name, 0.5), model_for(name), []
        plain = objective.losses

        def counted(logits, targets):
            calls.append(1)
            if after is not None and len(calls) == after:
                raise Stop
            return plain(logits, targets)

        object.__setattr__(objective, "losses", counted)
        with Checkpoints(folder) as store, join_team("cpu") as team:
            execution = Execution(team, store, read, minutes=0, most_tokens=300)
            progress, _ = fine_tune(model, objective, train, held_out, recipe, 1, execution, lambda *_: None)
        return progress, model.state_dict()

    whole, expected = run(tmp_path / "whole")
    assert recipe.chosen_by in whole.log[0] and whole.log[-1]["training_loss"] < whole.log[0]["training_loss"]
    with pytest.raises(Stop):
        run(tmp_path / "cut", after=25)
    resumed, weights = run(tmp_path / "cut")
    assert resumed.resumed[0] % 5 and all(torch.equal(weights[key], value) for key, value in expected.items())
    assert resumed.log == whole.log


@pytest.mark.parametrize(("name", "architecture"), [("causal", MIXTRAL), ("masked", BERT), ("masked", MODERN)])
def test_finished_models_say_what_they_are_and_tied_weights_stay_tied(tmp_path, name, architecture):
    from small_models import small_tokenizer

    from dnalm.training.models.tokenizers import specials_of
    from dnalm.training.objectives import objective_of_model

    tokenizer = small_tokenizer(VOCABULARY)
    specials = specials_of(tokenizer)
    tied = {**architecture, "tie_word_embeddings": True}
    objective = objective_for(name, fraction=0.3, span=2)
    model = build(tied, objective.head, specials, VOCABULARY, 1)
    save(model, tokenizer, tmp_path)
    again = load_finished(tmp_path, specials)
    assert again.get_input_embeddings().weight is again.get_output_embeddings().weight
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    found = objective_of_model(again, tokenizer)
    assert found.name == name and found.head.settings == objective.head.settings
    body = load(tmp_path, objective.head, specials, 1)
    assert not body.missing and not body.unexpected


def test_encoders_and_decoders_are_told_apart(tmp_path):
    from small_models import masked_lm_checkpoint, small_tokenizer

    cases = [("causal", BERT, "decoder, such as llama, .* 'bert' is an encoder.* use objective masked")]
    cases += [("causal", {**BERT, "model_type": "roberta"}, "'roberta' is an encoder")]
    cases += [
        ("masked", {"model_type": kind}, f"'{kind}' is a decoder.* use objective causal")
        for kind in ("llama", "mixtral", "gpt2")
    ]
    for name, architecture, message in cases:
        with pytest.raises(UserError, match=message):
            build(architecture, objective_for(name).head, SPECIALS, VOCABULARY, 1)
    masked_lm_checkpoint(tmp_path, small_tokenizer(), trained=True)
    with pytest.raises(UserError, match="'bert' is an encoder"):
        load(tmp_path, objective_for("causal").head, SPECIALS, 1)
    with pytest.raises(UserError, match="output_router_logits: a router's auxiliary loss is not learnt"):
        build({**MIXTRAL, "output_router_logits": True}, objective_for("causal").head, SPECIALS, VOCABULARY, 1)


@pytest.mark.parametrize("architecture", [BERT, {**BERT, "model_type": "roberta"}, MODERN])
def test_masked_models_are_packed(architecture):
    assert prove(model_for("masked", architecture), random_records(9, soft=False), torch.device("cpu"), None) is None


def test_records_without_a_base_to_score_are_an_error():
    records = shown([[1, 1, 1], [1]])
    found = score(model_for("causal"), objective_for("causal"), records)
    with pytest.raises(UserError, match="no token of these records can be scored"):
        objective_for("causal").quality(found, None)
