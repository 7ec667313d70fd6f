"""Tests of the Triton programs, for a process in which Triton interprets them; `test_kernels` starts it."""

import pytest
import torch
from closeness import close
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.training.engine import kernels
from dnalm.training.engine.attention import block_mask

LENGTHS = [5, 0, 1, 16, 37, 0]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(kernels, "FORWARD", kernels.Tile(16, 1))
    monkeypatch.setattr(kernels, "BACKWARD", kernels.Tile(16, 1))


def row(lengths, heads, key_heads, size, seed=0):
    """Boundaries, and query, key and value as a model has them: heads first, then turned."""
    ends = torch.tensor([0, *lengths]).cumsum(0).int()
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1, count, int(ends[-1]), size) for count in (heads, key_heads, key_heads)]
    tensors = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
    return ends, tensors, [tensor[0].transpose(0, 1) for tensor in tensors]


def weights_of(query, key, ends, left, right):
    """The softmax, (heads, T, T), by a mask over the whole row."""
    tokens, groups = len(query), query.shape[1] // key.shape[1]
    ahead = torch.arange(tokens) - torch.arange(tokens)[:, None]
    mask = block_mask(ends, tokens, False, None)
    mask &= (ahead >= -(left if left >= 0 else tokens)) & (ahead <= (right if right >= 0 else tokens))
    scores = torch.einsum("ihd,jhd->hij", query, key.repeat_interleave(groups, 1)) / query.shape[2] ** 0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(-1)


def attend(weights, value):
    return torch.einsum("hij,jhd->ihd", weights, value.repeat_interleave(len(weights) // value.shape[1], 1))


@pytest.mark.parametrize(
    ("lengths", "heads", "key_heads", "causal", "window"),
    [
        (LENGTHS, 2, 2, False, (-1, -1)),
        (LENGTHS, 2, 1, True, (-1, -1)),
        ([37, 6], 1, 1, False, (3, 5)),
        ([60], 2, 1, True, (20, -1)),
        ([60], 1, 1, False, (40, 0)),
    ],
)
def test_outputs_and_gradients_are_those_of_masked_attention(lengths, heads, key_heads, causal, window):
    ends, leaves, turned = row(lengths, heads, key_heads, 16)
    out = kernels.packed_attention(*turned, ends, causal=causal, window=window)
    weights = weights_of(*turned[:2], ends, window[0], 0 if causal else window[1])
    expected = attend(weights, turned[2])
    factor = torch.randn_like(out)
    assert close(out, expected)
    assert close(torch.autograd.grad(out, leaves, factor), torch.autograd.grad(expected, leaves, factor))


def test_tiles_of_32_and_another_scale():
    ends, leaves, turned = row([40, 3], 1, 1, 32)
    kernels.FORWARD = kernels.BACKWARD = kernels.Tile(32, 1)
    out = kernels.packed_attention(*turned, ends, scale=0.5)
    expected = attend(weights_of(turned[0] * 0.5 * 32**0.5, turned[1], ends, -1, -1), turned[2])
    assert close(out, expected)
    assert close(torch.autograd.grad(out.sum(), leaves), torch.autograd.grad(expected.sum(), leaves))


@settings(max_examples=15)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any), st.integers(-1, 20), st.integers(-1, 20))
def test_any_lengths_and_windows(lengths, left, right):
    ends, _, turned = row(lengths, 1, 1, 16)
    with torch.no_grad():
        out = kernels.packed_attention(*turned, ends, window=(left, right))
        assert close(out, attend(weights_of(*turned[:2], ends, left, right), turned[2]))


def dropped(lengths, heads, dropout, seed):
    """What dropout multiplied each weight by, (heads, T, T): with the unit matrix as values, the output is the weights."""
    ends, _, (query, key, _) = row(lengths, heads, heads, 64)
    tokens = len(query)
    value = torch.eye(tokens, 64)[:, None].expand(tokens, heads, 64)
    out = kernels.forward(query, key, value, ends, torch.tensor([seed]), dropout, -1, -1, 0.125)[0]
    weights = weights_of(query, key, ends, -1, -1)
    return torch.where(weights > 0, out.transpose(0, 1)[:, :, :tokens] / weights, 0.0).detach(), weights > 0


def test_dropout_drops_its_share_and_scales_up_the_rest():
    factors, inside = dropped([30, 34], 2, 0.25, 2**40 + 7)
    drawn = factors[inside]
    assert close(drawn[drawn > 0], torch.full_like(drawn[drawn > 0], 1 / 0.75), 1e-4)
    share = (drawn == 0).float().mean().item()
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / len(drawn)) ** 0.5
    assert not factors[~inside].any()


def test_dropout_differs_between_seeds_heads_queries_and_keys():
    one = dropped([30], 2, 0.5, 3)[0] > 0
    assert torch.equal(one, dropped([30], 2, 0.5, 3)[0] > 0)
    pairs = [
        (one, dropped([30], 2, 0.5, 4)[0] > 0),
        (one, dropped([30], 2, 0.5, 3 + 2**32)[0] > 0),
        (one[0], one[1]),
        (one[:, 1:], one[:, :-1]),
        (one[:, :, 1:], one[:, :, :-1]),
        (one[:, 1:, 1:], one[:, :-1, :-1]),
    ]
    for mine, other in pairs:
        agree = (mine == other).float().mean().item()
        assert abs(agree - 0.5) < 4 * 0.5 / mine.numel() ** 0.5


def test_backward_drops_what_forward_dropped():
    lengths = [21, 36]
    factors = dropped(lengths, 2, 0.3, 11)[0]
    ends, leaves, turned = row(lengths, 2, 2, 64)
    out = kernels.forward(*turned, ends, torch.tensor([11]), 0.3, -1, -1, 0.125)[0]
    expected = attend(weights_of(*turned[:2], ends, -1, -1) * factors, turned[2])
    factor = torch.randn_like(out)
    assert close(out, expected)
    assert close(torch.autograd.grad(out, leaves, factor), torch.autograd.grad(expected, leaves, factor))


def test_the_default_generator_decides_the_mask():
    ends, _, turned = row([20], 1, 1, 16)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(kernels.packed_attention(*turned, ends, dropout=0.5).detach())
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_torch_takes_the_operators():
    ends, leaves, turned = row([9, 0, 20], 2, 1, 16)
    seed = torch.tensor([5])
    torch.library.opcheck(kernels.forward, (*turned, ends, seed, 0.1, -1, -1, 0.25))
    torch.library.opcheck(kernels.forward, (*turned, ends, None, 0.0, 4, 0, 0.25))

    def loss(query, key, value):
        return (
            kernels.packed_attention(*(tensor[0].transpose(0, 1) for tensor in (query, key, value)), ends)
            .square()
            .sum()
        )

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    assert close(torch.autograd.grad(compiled(*leaves), leaves), torch.autograd.grad(loss(*leaves), leaves))
