import numpy as np
import pytest
import torch
from closeness import close
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_models import OBJECTIVE, SPECIALS, sequences
from small_models import tokens_of
from torch.nn.functional import scaled_dot_product_attention

from dnalm.training.engine.attention import block_mask, packed_attention, segments
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.packing import PackedFeed, lay_out, row_size, share
from dnalm.training.engine.windows import cut


def examples_of(lengths, labels=None, seed=0, reverse=None):
    """Examples of the given tokens each (two special ones among them)."""
    random = np.random.default_rng(0)

    def draw(lengths):
        return tokens_of([random.integers(5, 40, size=n - 2).tolist() for n in lengths])

    tokens = draw(lengths)
    windows = cut(tokens.lengths, 10_000, "window", [str(i) for i in range(len(lengths))])
    labels = random.integers(3, size=len(lengths)) if labels is None else labels
    return Examples(tokens, windows, SPECIALS, labels, None if reverse is None else draw(reverse), seed)


def test_a_row_by_hand():
    row = lay_out(np.array([2, 7, 3, 2, 3]), np.array([3, 2]), tokens=12, slots=5, longest=3, filler=0)
    assert row["input_ids"].tolist() == [[2, 7, 3, 2, 3, 0, 0, 0, 0, 0, 0, 0]]
    assert row["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2, 0]]
    assert row["boundaries"].tolist() == [0, 3, 5, 8, 11, 12, 12]
    assert [row[name].dtype for name in ("input_ids", "position_ids", "boundaries")] == [torch.int64] * 2 + [
        torch.int32
    ]


def test_a_row_that_is_full_or_empty():
    ids = np.arange(6)
    assert lay_out(ids, np.array([2, 4]), 6, 2, 4, 0)["boundaries"].tolist() == [0, 2, 6, 6]
    empty = lay_out(ids[:0], np.array([], dtype=np.int64), 6, 2, 4, 9)
    assert empty["boundaries"].tolist() == [0, 4, 6, 6] and set(empty["input_ids"][0].tolist()) == {9}


@pytest.mark.parametrize(("tokens", "slots"), [(5, 3), (6, 1), (15, 3)])
def test_a_row_too_small_is_an_error(tokens, slots):
    with pytest.raises(ValueError, match="2 sequences of 6 tokens don't fit"):
        lay_out(np.arange(6), np.array([2, 4]), tokens, slots, 4, 0)


LENGTHS = st.lists(st.integers(3, 60), min_size=1, max_size=80)


@given(LENGTHS, st.integers(1, 30), st.integers(1, 3), st.integers(1, 400), st.integers(0, 3), st.integers(60, 600))
@settings(deadline=None, max_examples=60)
def test_each_example_is_in_one_row_of_one_batch(lengths, batch_size, ranks, most_tokens, epoch, limit):
    examples = examples_of(lengths, seed=4)
    feed = PackedFeed(examples, OBJECTIVE, batch_size, most_tokens, ranks, limit)
    assert feed.tokens % 64 == 0 and feed.tokens >= max(lengths)
    assert feed.tokens <= max(most_tokens, max(lengths) + 63)
    batches = feed.batches(epoch)
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (
        len(lengths) // batch_size - (len(lengths) % batch_size == 0)
    )
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        weights = np.random.default_rng(0).random(len(lengths)).astype(np.float32)
        divided = feed.divide(batch, ranks)
        assert {len(row) for row in divided} == {ranks}
        parts = [part for row in divided for part in row]
        assert sorted(np.concatenate(parts)) == sorted(batch)
        for part in parts:
            check_row(feed, examples, part, weights[part], limit)


def check_row(feed, examples, part, weights, limit):
    micro = feed.collate(part, weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in micro.items()}
    row, slots = (1, feed.tokens), (feed.slots,)
    assert shapes == {
        "input_ids": row, "position_ids": row, "boundaries": (feed.slots + 2,), "targets": slots, "weights": slots
    }  # fmt: skip
    ends, count = micro["boundaries"].numpy(), len(part)
    assert ends[0] == 0 and ends[-1] == feed.tokens and (np.diff(ends) >= 0).all()
    assert np.diff(ends).max() <= feed.longest and micro["position_ids"].max() < max(limit, feed.longest)
    for slot, index in enumerate(part):
        shown = micro["input_ids"][0, ends[slot] : ends[slot + 1]].numpy()
        assert shown.tolist() == examples.flat(np.array([index]))[0].tolist()
        assert micro["position_ids"][0, ends[slot] : ends[slot + 1]].tolist() == list(range(len(shown)))
    assert (micro["input_ids"][0, ends[count] :] == SPECIALS.pad).all()
    assert micro["targets"][:count].tolist() == examples.truth_of(part).tolist()
    assert micro["weights"][:count].tolist() == weights.tolist()
    assert not micro["weights"][count:].any() and micro["weights"].dtype == torch.float32


def test_filler_stays_below_the_models_positions():
    feed = PackedFeed(examples_of([5] * 100), OBJECTIVE, 100, 10_000, position_limit=16)
    micro = feed.collate(np.arange(10), np.ones(10))
    assert feed.tokens == 512 and micro["position_ids"].max() == 15


def test_the_order_hangs_on_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(3, 60, size=500)

    def order(seed, epoch):
        return [
            batch.tolist() for batch in PackedFeed(examples_of(lengths, seed=seed), OBJECTIVE, 16, 4096).batches(epoch)
        ]

    again = PackedFeed(examples_of(lengths, seed=1), OBJECTIVE, 16, 512, ranks=2)
    again.batches(7)
    assert [batch.tolist() for batch in again.batches(3)] == order(1, 3)
    assert order(1, 3) != order(1, 4) and order(1, 3) != order(2, 3)


def test_batches_have_near_equal_tokens_but_all_lengths_and_labels():
    random = np.random.default_rng(0)
    lengths = np.clip(np.exp(random.normal(np.log(24), 0.8, 6000)).astype(int), 6, 510)
    labels = (lengths > 24).astype(np.int64)  # length tells the classes apart
    batches = PackedFeed(examples_of(lengths, labels), OBJECTIVE, 64, 16_384).batches(0)[:-1]
    totals = np.array([lengths[batch].sum() for batch in batches])
    chance = np.sqrt(64) * lengths.std()
    assert totals.std() < chance / 4
    assert np.mean([lengths[batch].std() for batch in batches]) > 0.8 * lengths.std()
    assert all(20 < labels[batch].sum() < 44 for batch in batches)


def test_each_epoch_packs_the_strand_that_it_shows():
    lengths, others = [10] * 50, [30] * 50
    examples = examples_of(lengths, reverse=others, seed=3)
    feed = PackedFeed(examples, OBJECTIVE, 50, 4096)
    (batch,) = feed.batches(1)
    shown = examples.lengths
    assert sorted(set(shown.tolist())) == [10, 30]
    for (part,) in feed.divide(batch, 1):
        micro = feed.collate(part, np.ones(len(part)))
        assert np.diff(micro["boundaries"].numpy())[: len(part)].tolist() == shown[part].tolist()


def test_a_batch_of_more_sequences_than_slots_takes_another_row():
    feed = PackedFeed(examples_of([10, 100] * 200), OBJECTIVE, 40, 1200)
    short = np.arange(0, 80, 2)
    assert 10 * len(short) < feed.tokens and len(short) > feed.slots
    rows = [row for (row,) in feed.divide(short, 1)]
    assert len(rows) == 2
    for row in rows:
        feed.collate(row, np.ones(len(row)))


def test_rows_are_well_filled():
    random = np.random.default_rng(0)
    lengths = np.clip(np.exp(random.normal(np.log(24), 0.8, 20_000)).astype(int), 6, 510)
    examples = examples_of(lengths)
    for batch_size, most_tokens, ranks, least in (
        (1024, 65_536, 1, 0.94),
        (1024, 8192, 1, 0.97),
        (256, 65_536, 2, 0.94),
    ):
        feed = PackedFeed(examples, OBJECTIVE, batch_size, most_tokens, ranks)
        assert feed.tokens <= most_tokens
        batches = feed.batches(1)[:-1]
        rows = [part for batch in batches for row in feed.divide(batch, ranks) for part in row]
        filled = sum(int(lengths[part].sum()) for part in rows) / (len(rows) * feed.tokens)
        assert filled > least, (batch_size, filled)


def test_the_row_holds_the_longest_sequence_and_no_more_than_is_useful():
    totals = np.array([900, 1000])
    assert row_size(totals, 1, longest=300, usual=10, most_tokens=10_000) == 1024
    assert row_size(totals, 1, longest=300, usual=10, most_tokens=100) == 320
    assert row_size(totals, 2, longest=300, usual=10, most_tokens=10_000) == 512
    assert row_size(totals, 1, longest=300, usual=10, most_tokens=700) in (512, 576)
    # one batch in a hundred is not worth a longer row for all
    assert row_size(np.array([1000] * 99 + [1900]), 1, 300, 10, 10_000) == 1024


@given(LENGTHS, st.integers(1, 7))
@settings(deadline=None)
def test_shares_are_whole_and_even(lengths, parts):
    lengths = np.array(lengths)
    shares = share(lengths, parts)
    assert sorted(np.concatenate(shares)) == list(range(len(lengths)))
    totals = [int(lengths[part].sum()) for part in shares]
    assert max(totals) - min(totals) <= lengths.max()


ENDS = torch.tensor([0, 3, 3, 10, 16, 16], dtype=torch.int32)


def test_segments_skip_empty_sequences():
    assert segments(ENDS, 16).tolist() == [0] * 3 + [2] * 7 + [3] * 6


@pytest.mark.parametrize(("causal", "window"), [(False, None), (True, None), (True, 3), (False, 3), (True, 1)])
def test_the_mask_means_what_transformers_windows_mean(causal, window):
    from transformers import masking_utils as hf

    if causal:
        rule = hf.causal_mask_function if window is None else hf.sliding_window_causal_mask_function(window)
    elif window is None:
        rule = hf.bidirectional_mask_function
    else:  # a bidirectional layer is given one more than the window of its mask
        rule = hf.sliding_window_bidirectional_mask_function(window - 1)
    seen = block_mask(ENDS, 16, causal, None if window is None else window - 1)
    sequence, place = segments(ENDS, 16), torch.arange(16)
    for q in range(16):
        for k in range(16):
            assert bool(seen[q, k]) == (bool(rule(0, 0, place[q], place[k])) and bool(sequence[q] == sequence[k]))


def test_attention_is_each_sequences_own():
    random = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 16, 8, generator=random)
    key, value = torch.randn(2, 1, 2, 16, 8, generator=random)
    module = torch.nn.Module()
    module.is_causal = True
    out, _ = packed_attention(module, query, key, value, None, 0.5, cu_seq_lens_q=ENDS, max_length_q=7)
    for start, stop in ((0, 3), (3, 10), (10, 16)):
        q, k, v = (t[:, :, start:stop] for t in (query, key, value))
        alone = scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5, enable_gqa=True)
        assert close(out[:, start:stop], alone.transpose(1, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cu_seq_lens_q": None}, "needs the sequences' boundaries"),
        ({"max_length_q": None}, "needs the sequences' boundaries"),
        ({"attention_mask": torch.ones(1, 1, 16, 16)}, "no mask"),
        ({"softcap": 5.0}, "no softcap"),
    ],
)
def test_what_attention_cannot_do_is_an_error(changes, message):
    inputs = torch.randn(1, 2, 16, 8)
    settings = {"attention_mask": None, "cu_seq_lens_q": ENDS, "max_length_q": 7, **changes}
    with pytest.raises(ValueError, match=message):
        packed_attention(torch.nn.Module(), inputs, inputs, inputs, **settings)


def test_an_empty_share_is_a_row_of_filler():
    feed = PackedFeed(sequences(20), OBJECTIVE, 20, 512, position_limit=64)
    micro = feed.collate(np.array([], dtype=np.int64), np.array([], dtype=np.float32))
    assert not micro["weights"].any() and micro["boundaries"][-1] == feed.tokens
