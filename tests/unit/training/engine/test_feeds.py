import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import tokens_of

from dnalm.training.engine.feeds import Examples, LengthBatches, PaddedFeed
from dnalm.training.engine.windows import cut
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.classification import Classification

SPECIALS = Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4)
OBJECTIVE = Classification()


def examples(lists, size=4, reverse=None, seed=0, labels=None):
    tokens = tokens_of(lists)
    windows = cut(tokens.lengths, size, "window", [str(i) for i in range(len(lists))])
    labels = np.arange(len(lists)) if labels is None else labels
    return Examples(tokens, windows, SPECIALS, labels, None if reverse is None else tokens_of(reverse), seed)


def test_a_batch_is_padded_on_the_right_and_masked():
    data = examples([[5, 6], [7, 8, 9, 10, 11]])
    batch = data.padded(np.arange(3))
    assert batch["input_ids"].tolist() == [[2, 5, 6, 3, 0, 0], [2, 7, 8, 9, 10, 3], [2, 8, 9, 10, 11, 3]]
    assert batch["attention_mask"].sum(dim=1).tolist() == [4, 6, 6]
    assert len(data) == 3 and data.truth_of(np.arange(3)).tolist() == [0, 1, 1]
    assert data.lengths.tolist() == [4, 6, 6]


def test_each_epoch_shows_either_strand_and_the_same_again():
    data = examples([[5]] * 200, reverse=[[6]] * 200, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        data.start_epoch(epoch)
        epochs.append(data.padded(np.arange(200))["input_ids"][:, 1].tolist())
    assert epochs[0] == epochs[2] != epochs[1]
    assert 70 < epochs[0].count(6) < 130


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 3))
@settings(deadline=None)
def test_batches_hold_every_example_once(lengths, batch_size, epoch):
    data = examples([[5] * n for n in lengths], size=100)
    data.start_epoch(epoch)
    strata = np.arange(len(lengths)) % 3
    sampler = LengthBatches(data, strata, batch_size)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert sorted(len(batch) for batch in batches)[1:] == [batch_size] * (len(batches) - 1)
    assert batches == list(LengthBatches(data, strata, batch_size))


def test_batches_are_of_like_length_and_in_random_order():
    lengths = np.random.default_rng(0).integers(1, 100, size=400)
    data, strata = examples([[5] * n for n in lengths], size=100), np.arange(400) % 2
    batches = list(LengthBatches(data, strata, 20))
    spread = [np.ptp(lengths[batch]) for batch in batches]
    assert np.mean(spread) < 20 and np.ptp(lengths) > 90
    means = [lengths[batch].mean() for batch in batches]
    assert means != sorted(means) and means != sorted(means, reverse=True)
    data.start_epoch(1)
    assert list(LengthBatches(data, strata, 20)) != batches


def test_every_batch_has_every_class_in_its_share_even_if_length_tells_them_apart():
    labels = (np.arange(300) % 3 == 0).astype(int)
    lengths = np.where(labels == 1, 10, 50) + np.random.default_rng(0).integers(0, 10, size=300)
    data = examples([[5] * n for n in lengths], size=100, labels=labels)
    assert {int(labels[batch].sum()) for batch in LengthBatches(data, OBJECTIVE.strata(data), 30)} <= {9, 10, 11}


def test_lengths_are_of_the_strand_that_is_shown():
    data = examples([[5]] * 50, size=9, reverse=[[6, 7, 8]] * 50, seed=1)
    for epoch in (0, 1):
        data.start_epoch(epoch)
        shown = data.padded(np.arange(50))["attention_mask"].sum(dim=1).tolist()
        assert data.lengths.tolist() == shown and set(shown) == {3, 5}
    assert data.longest == 5


LISTS = st.lists(st.lists(st.integers(5, 60_000), min_size=1, max_size=12), min_size=1, max_size=20)


@given(LISTS, st.booleans(), st.data())
@settings(deadline=None)
def test_flat_rows_are_the_windows_one_after_the_other(lists, both, draw):
    data = examples(lists, size=5, reverse=[ids[::-1] + ids[:1] for ids in lists] if both else None, seed=2)
    indices = draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=30))
    ids, lengths = data.flat(np.array(indices, dtype=np.int64))
    expected = []
    for i in indices:
        tokens, record = lists[data.windows.record[i]], data.windows.record[i]
        if both and data._strand[i]:
            tokens = lists[record][::-1] + lists[record][:1]
        parts = data.windows.parts[i]
        size = min(5, len(tokens))
        start = int(data.windows.part[i]) * (len(tokens) - size) // max(int(parts) - 1, 1)
        expected.append([2, *tokens[start : start + size], 3])
    assert ids.tolist() == [token for row in expected for token in row] and ids.dtype == np.int64
    assert lengths.tolist() == [len(row) for row in expected]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 40), st.integers(1, 3), st.integers(1, 200)
)
@settings(deadline=None)
def test_micro_batches_hold_every_example_once_and_no_more_than_fits(lengths, batch_size, ranks, most_tokens):
    data = examples([[5] * n for n in lengths], size=100, labels=np.arange(len(lengths)) % 3, seed=3)
    feed = PaddedFeed(data, OBJECTIVE, batch_size, most_tokens)
    weights = np.random.default_rng(0).random(len(lengths)).astype(np.float32)
    batches = feed.batches(1)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        divided = feed.divide(batch, ranks)
        assert all(len(row) == ranks for row in divided)
        assert sorted(np.concatenate([part for row in divided for part in row])) == sorted(batch)
        for part in (part for row in divided for part in row):
            micro = feed.collate(part, weights[part])
            rows, width = micro["input_ids"].shape
            assert width % 8 == 0 and (rows == 1 or rows * width <= most_tokens)
            if len(part):
                assert micro["attention_mask"].sum(dim=1).tolist() == data.lengths[part].tolist()
                assert micro["targets"].tolist() == (part % 3).tolist()
                assert micro["weights"].tolist() == weights[part].tolist()
            assert micro["weights"].dtype == torch.float32 and micro["targets"].dtype == torch.int64


def test_ranks_get_a_fair_share():
    lengths = np.random.default_rng(0).integers(1, 100, size=64)
    data = examples([[5] * n for n in lengths], size=100, labels=np.zeros(64, dtype=int))
    divided = PaddedFeed(data, OBJECTIVE, 64).divide(np.arange(64), 3)
    assert [[len(part) for part in row] for row in divided] == [[22, 21, 21]]
    totals = [data.lengths[part].sum() for part in divided[0]]
    assert max(totals) - min(totals) <= data.lengths.max()


def test_an_empty_micro_batch_is_the_first_example_and_counts_nothing():
    data = examples([[5, 6]])
    (row,) = PaddedFeed(data, OBJECTIVE, 1).divide(np.array([0]), 2)
    assert [len(part) for part in row] == [1, 0]
    micro = PaddedFeed(data, OBJECTIVE, 1).collate(row[1], np.array([], dtype=np.float32))
    assert micro["input_ids"].tolist() == [[2, 5, 6, 3, 0, 0, 0, 0]]
    assert micro["attention_mask"].tolist() == [[1] * 4 + [0] * 4]
    assert micro["targets"].tolist() == [0] and micro["weights"].tolist() == [0]


def test_the_order_of_padded_batches_hangs_on_seed_and_epoch_alone():
    def order(seed, epoch, most_tokens=None):
        data = examples([[5] * (1 + i % 9) for i in range(100)], size=20, seed=seed)
        feed = PaddedFeed(data, OBJECTIVE, 8, most_tokens)
        feed.batches(5)
        return [batch.tolist() for batch in feed.batches(epoch)]

    assert order(0, 1) == order(0, 1, 64) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_examples_without_labels_are_not_trained_on():
    data = examples([[5]])
    data.truth = None
    with pytest.raises(ValueError, match="no labels"):
        PaddedFeed(data, OBJECTIVE, 1)
