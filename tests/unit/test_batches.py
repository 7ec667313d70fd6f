import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import tokens_of

from dnalm.training.batches import Examples, LengthBatches
from dnalm.training.vocabulary import Specials
from dnalm.training.windows import cut

SPECIALS = Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4)


def examples(lists, size=4, reverse=None, seed=0, labels=None):
    tokens = tokens_of(lists)
    windows = cut(tokens.lengths, size, "window", [str(i) for i in range(len(lists))])
    labels = np.arange(len(lists)) if labels is None else labels
    return Examples(tokens, windows, SPECIALS, labels, None if reverse is None else tokens_of(reverse), seed)


def test_a_batch_is_padded_on_the_right_and_masked():
    data = examples([[5, 6], [7, 8, 9, 10, 11]])
    batch = data.collate([data[i] for i in range(len(data))])
    assert batch["input_ids"].tolist() == [[2, 5, 6, 3, 0, 0], [2, 7, 8, 9, 10, 3], [2, 8, 9, 10, 11, 3]]
    assert batch["attention_mask"].sum(dim=1).tolist() == [4, 6, 6]
    assert batch["labels"].tolist() == [0, 1, 1]
    assert data.lengths.tolist() == [4, 6, 6]


def test_each_epoch_shows_either_strand_and_the_same_again():
    data = examples([[5]] * 200, reverse=[[6]] * 200, seed=1)
    epochs = []
    for epoch in (0, 1, 0):
        data.start_epoch(epoch)
        epochs.append([int(data[i]["input_ids"][1]) for i in range(200)])
    assert epochs[0] == epochs[2] != epochs[1]
    assert 70 < epochs[0].count(6) < 130


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 3))
@settings(deadline=None)
def test_batches_hold_every_example_once(lengths, batch_size, epoch):
    data = examples([[5] * n for n in lengths], size=100, labels=np.arange(len(lengths)) % 3)
    data.start_epoch(epoch)
    sampler = LengthBatches(data, batch_size)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert sorted(len(batch) for batch in batches)[1:] == [batch_size] * (len(batches) - 1)
    assert batches == list(LengthBatches(data, batch_size))


def test_batches_are_of_like_length_and_in_random_order():
    lengths = np.random.default_rng(0).integers(1, 100, size=400)
    data = examples([[5] * n for n in lengths], size=100, labels=np.arange(400) % 2)
    batches = list(LengthBatches(data, 20))
    spread = [np.ptp(lengths[batch]) for batch in batches]
    assert np.mean(spread) < 20 and np.ptp(lengths) > 90
    means = [lengths[batch].mean() for batch in batches]
    assert means != sorted(means) and means != sorted(means, reverse=True)
    data.start_epoch(1)
    assert list(LengthBatches(data, 20)) != batches


def test_every_batch_has_every_class_in_its_share_even_if_length_tells_them_apart():
    labels = (np.arange(300) % 3 == 0).astype(int)
    lengths = np.where(labels == 1, 10, 50) + np.random.default_rng(0).integers(0, 10, size=300)
    data = examples([[5] * n for n in lengths], size=100, labels=labels)
    assert {int(labels[batch].sum()) for batch in LengthBatches(data, 30)} <= {9, 10, 11}
