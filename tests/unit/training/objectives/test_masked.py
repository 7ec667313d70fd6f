"""Masked language modelling: which tokens are masked, and exact losses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from closeness import close
from language_models import BASES, LETTERS, MODERN, model_for, objective_for, random_records, shown
from token_objective import BERT, VOCABULARY

from dnalm.config.stages.training import FinetuneSettings
from dnalm.errors import UserError
from dnalm.training.engine.feeds import PaddedFeed
from dnalm.training.engine.packing import PackedFeed
from dnalm.training.engine.scoring import exactly, score
from dnalm.training.objectives import objective_of
from dnalm.training.objectives.base import IGNORED


def many(count=2000, length=50, seed=1):
    random = np.random.default_rng(0)
    return shown([random.integers(5, VOCABULARY, length) for _ in range(count)], seed=seed)


def drawn(records, objective, indices=None):
    indices = np.arange(len(records)) if indices is None else np.asarray(indices)
    ids, lengths = records.flat(indices)
    return ids, objective.targets(records, indices, ids, lengths)


def test_shares_of_masked_random_and_unchanged_tokens():
    """15 % of 100,000 tokens; four standard deviations."""
    records = many()
    ids, targets = drawn(records, objective_for("masked"))
    letters, chosen = BASES[ids] > 0, targets.values != IGNORED

    def near(share, expected, n):
        return abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n)

    assert letters.sum() == 100_000 and near(chosen[letters].mean(), 0.15, 100_000)
    n, shown_ = chosen.sum(), targets.ids[chosen]
    other = (shown_ != LETTERS.mask) & (shown_ != ids[chosen])
    assert near((shown_ == LETTERS.mask).mean(), 0.8, n)
    assert near(other.mean(), 0.1 * 34 / 35, n)  # a random token may be the token itself
    assert BASES[shown_[other]].min() > 0 and len(np.unique(shown_[other])) == VOCABULARY - 5
    assert (targets.ids[~chosen] == ids[~chosen]).all() and (targets.values[chosen] == ids[chosen]).all()
    by_place = chosen.reshape(2000, 52)[:, 1:-1].mean(axis=0)
    assert np.abs(by_place - 0.15).max() < 4.5 * np.sqrt(0.15 * 0.85 / 2000)


@pytest.mark.parametrize("span", [3, 10])
def test_spans_have_their_share_and_length(span):
    """A run of chosen tokens ends with probability (1 - q) / span, where q is that a span begins at a token."""
    records = many()
    _, targets = drawn(records, objective_for("masked", span=span))
    chosen = (targets.values != IGNORED).reshape(2000, 52)[:, 1:-1]
    assert chosen.mean() == pytest.approx(0.15, rel=0.05)
    assert np.abs(chosen.mean(axis=0) - 0.15).max() < 5 * np.sqrt(0.15 * 0.85 / 2000)
    ends = chosen[:, :-1] & ~chosen[:, 1:]
    go_on = 1 - 1 / span
    begins = 0.15 * (1 - go_on) / (1 - go_on * 0.15)
    assert ends.sum() / chosen[:, :-1].sum() == pytest.approx((1 - begins) / span, rel=0.06)


def test_masks_depend_on_seed_epoch_and_record_alone():
    records, objective = many(60), objective_for("masked", span=2)
    _, all_at_once = drawn(records, objective)
    backwards = [drawn(records, objective, [index])[1] for index in range(59, -1, -1)][::-1]
    assert np.array_equal(all_at_once.values, np.concatenate([one.values for one in backwards]))
    assert np.array_equal(all_at_once.ids, np.concatenate([one.ids for one in backwards]))
    found = {}
    for seed, epoch in ((1, 0), (1, 1), (2, 0)):
        again = many(60, seed=seed)
        again.start_epoch(epoch)
        found[seed, epoch] = drawn(again, objective)[1].values
    assert np.array_equal(found[1, 0], all_at_once.values)
    learnt = [values != IGNORED for values in found.values()]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = (learnt[one] & learnt[other]).sum() / len(learnt[0])
        assert both == pytest.approx((0.15 * 50 / 52) ** 2 * 52 / 50, rel=0.5)  # as of independent draws


@pytest.mark.parametrize("feed", [PaddedFeed, PackedFeed])
def test_batches_hold_the_masked_input(feed):
    records, objective = random_records(30), objective_for("masked")
    made = feed(records, objective, 10, 4000)
    for batch in made.batches(3):
        assert records.epoch == 3
        micro = made.collate(batch, np.ones(len(batch)))
        ids, targets = drawn(records, objective, batch)
        flat = (
            micro["input_ids"].flatten().numpy()
            if feed is PackedFeed
            else micro["input_ids"][micro["attention_mask"] == 1]
        )
        assert np.array_equal(np.asarray(flat)[: len(ids)], targets.ids)
        assert sorted(micro["targets"][micro["targets"] != IGNORED].tolist()) == sorted(
            targets.values[targets.values != IGNORED]
        )
        assert ((micro["weights"] > 0) == (micro["targets"] != IGNORED)).all()


@pytest.mark.parametrize("architecture", [BERT, MODERN], ids=lambda one: one["model_type"])
def test_the_loss_is_that_of_transformers(architecture):
    model, records, objective = (
        exactly(model_for("masked", architecture), torch.device("cpu")),
        random_records(9),
        objective_for("masked", fraction=0.4),
    )
    found = score(model, objective, records, batch_size=4)
    for index in range(9):
        ids, targets = drawn(records, objective, [index])
        learnt = (targets.values != IGNORED).sum()
        assert found[index, 4] == learnt and found[index, 0] == BASES[ids[targets.values != IGNORED]].sum()
        if learnt:
            with torch.no_grad():
                expected = model(
                    input_ids=torch.from_numpy(targets.ids)[None], labels=torch.from_numpy(targets.values)[None]
                ).loss
            assert found[index, 5] / learnt == pytest.approx(float(expected), rel=1e-6)
            assert found[index, 1] == pytest.approx(float(expected) * learnt / np.log(2), rel=1e-6)
    assert close(objective.predictions(np.arange(9).astype(object), None, found).counts, found[:, :4])


def test_a_tokenizer_without_a_mask_token_is_refused():
    from small_models import settings, small_tokenizer

    tokenizer = small_tokenizer()
    tokenizer.mask_token = None
    spec = FinetuneSettings.model_validate(settings(objective="masked"))
    with pytest.raises(
        UserError, match="masked needs a mask token, and the model's tokenizer has none; use objective causal"
    ):
        objective_of(spec, {}, tokenizer)
    assert objective_of(spec, {}, small_tokenizer()).name == "masked"


def test_random_numbers_are_uniform_and_independent():
    from dnalm.training.objectives.masked import _keys, uniform

    records = SimpleNamespace(seed=3, epoch=5, origin_of=lambda indices: (indices, np.zeros_like(indices)))
    keys = _keys(records, np.arange(5000), np.full(5000, 40))
    one, other = uniform(keys, 1), uniform(keys, 2)
    assert len(np.unique(keys)) == 200_000
    for numbers in (one, other):
        counts = np.bincount((numbers * 100).astype(int), minlength=100)
        assert ((counts - 2000) ** 2 / 2000).sum() < 160  # chi-square with 99 degrees of freedom: p < 1e-4
    for a, b in ((one, other), (one[:-1], one[1:]), (one[:-40], one[40:])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(200_000)
