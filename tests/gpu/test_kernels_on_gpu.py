"""Packed attention's Triton programs, compiled: against masked attention, in graphs, and under torch.compile."""

import pytest
import torch
from closeness import close
from needed import needs

from dnalm.training.engine import kernels
from dnalm.training.engine.attention import block_mask

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]

LENGTHS = [24, 0, 1, 33, 64, 300, 7, 0, 65, 18]
TILES = [kernels.Tile(16, 1), kernels.Tile(32, 2), kernels.Tile(64, 4)]


def row(lengths, heads, key_heads, size, dtype):
    """Boundaries; query, key and value as a model has them, heads first; and turned."""
    ends = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
    shapes = [(1, count, int(ends[-1]), size) for count in (heads, key_heads, key_heads)]
    torch.manual_seed(0)
    leaves = [torch.randn(shape, device="cuda", dtype=dtype, requires_grad=True) for shape in shapes]
    return ends, leaves, [leaf[0].transpose(0, 1) for leaf in leaves]


def expected_of(query, key, value, ends, left, right, factors=1.0):
    """In float32 and with a mask over the whole row; factors: what dropout multiplies the weights by."""
    query, key, value = (tensor.float() for tensor in (query, key, value))
    tokens, groups = len(query), query.shape[1] // key.shape[1]
    ahead = torch.arange(tokens, device="cuda") - torch.arange(tokens, device="cuda")[:, None]
    mask = block_mask(ends, tokens, False, None)
    mask &= (ahead >= -(left if left >= 0 else tokens)) & (ahead <= (right if right >= 0 else tokens))
    scores = torch.einsum("ihd,jhd->hij", query, key.repeat_interleave(groups, 1)) / query.shape[2] ** 0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1) * factors
    return torch.einsum("hij,jhd->ihd", weights, value.repeat_interleave(groups, 1))


@pytest.fixture(params=TILES, ids=lambda tile: f"{tile.block}x{tile.warps}")
def tile(request, monkeypatch):
    monkeypatch.setattr(kernels, "FORWARD", request.param)
    monkeypatch.setattr(kernels, "BACKWARD", request.param)


@pytest.fixture(autouse=True)
def exact_reference(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


@pytest.mark.usefixtures("tile")
@pytest.mark.parametrize(
    ("heads", "key_heads", "causal", "window"),
    [(3, 3, False, (-1, -1)), (6, 2, True, (-1, -1)), (2, 2, False, (40, 70)), (4, 1, True, (31, -1))],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2e-2), (torch.float16, 3e-3), (torch.float32, 1e-5)])
def test_outputs_and_gradients_are_those_of_masked_attention(heads, key_heads, causal, window, dtype, tolerance):
    ends, leaves, turned = row(LENGTHS, heads, key_heads, 64, dtype)
    out = kernels.packed_attention(*turned, ends, causal=causal, window=window)
    expected = expected_of(*turned, ends, window[0], 0 if causal else window[1])
    factor = torch.randn_like(out)
    assert out.dtype == dtype
    assert close(out, expected, tolerance)
    ours, theirs = (torch.autograd.grad(result, leaves, factor.to(result.dtype)) for result in (out, expected))
    assert close(ours, theirs, tolerance)


@pytest.mark.parametrize("size", kernels.HEAD_SIZES)
def test_head_sizes(size):
    ends, leaves, turned = row(LENGTHS, 2, 2, size, torch.bfloat16)
    out, expected = kernels.packed_attention(*turned, ends), expected_of(*turned, ends, -1, -1)
    factor = torch.randn_like(out)
    assert kernels.available(out.device, out.dtype, size)
    assert close(out, expected, 2e-2)
    assert close(torch.autograd.grad(out, leaves, factor), torch.autograd.grad(expected, leaves, factor.float()), 2e-2)


def test_the_same_gradients_each_time():
    ends, leaves, turned = row(LENGTHS, 4, 2, 64, torch.bfloat16)
    runs = []
    for _ in range(3):
        torch.manual_seed(1)
        out = kernels.packed_attention(*turned, ends, dropout=0.1)
        runs.append([out, *torch.autograd.grad(out, leaves, torch.ones_like(out))])
    assert all(torch.equal(one, other) for run in runs[1:] for one, other in zip(runs[0], run, strict=True))


def factors_of(lengths, heads, dropout, seed):
    """What dropout multiplied each weight by, (heads, T, T): with equal weights and the unit matrix as values."""
    ends = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
    tokens = int(ends[-1])
    flat = torch.zeros(tokens, heads, 128, device="cuda")
    value = torch.eye(tokens, 128, device="cuda")[:, None].expand(tokens, heads, 128)
    out = kernels.forward(flat, flat, value, ends, torch.tensor([seed], device="cuda"), dropout, -1, -1, 1.0)[0]
    sizes = (ends[1:] - ends[:-1]).repeat_interleave((ends[1:] - ends[:-1]).long())
    return out.transpose(0, 1)[:, :, :tokens] * sizes[:, None]


def test_dropout_drops_its_share_at_random():
    for seed in (0, 1, 2**33 + 5, 2**62):
        kept = factors_of([128], 64, 0.1, seed) > 0
        assert abs((~kept).double().mean() - 0.1) < 4 * (0.09 / kept.numel()) ** 0.5
        # neighbours of every kind are independent: both dropped in a hundredth
        gone = ~kept
        for both in (gone[1:] & gone[:-1], gone[:, 1:] & gone[:, :-1], gone[:, :, 1:] & gone[:, :, :-1]):
            assert abs(both.double().mean() - 0.01) < 5 * (0.0099 / both.numel()) ** 0.5
        # and so are rows and columns as wholes
        for axis in (1, 2):
            spread = gone.double().mean(axis).var() * gone.shape[axis] / 0.09
            assert abs(spread - 1) < 0.1


@pytest.mark.usefixtures("tile")
def test_backward_drops_what_forward_dropped():
    lengths = [21, 70, 37]
    factors = factors_of(lengths, 2, 0.3, 11)
    ends, leaves, turned = row(lengths, 2, 2, 64, torch.float32)
    out = kernels.forward(*turned, ends, torch.tensor([11], device="cuda"), 0.3, -1, -1, 0.125)[0]
    expected = expected_of(*turned, ends, -1, -1, factors)
    factor = torch.randn_like(out)
    assert close(out, expected, 1e-5)
    assert close(torch.autograd.grad(out, leaves, factor), torch.autograd.grad(expected, leaves, factor), 1e-5)


def test_replays_of_a_graph_take_new_boundaries_and_draw_new_masks():
    ends, leaves, turned = row([24, 40, 0, 0], 2, 2, 64, torch.bfloat16)
    out, plain, gradient = None, None, None

    def step():
        nonlocal out, plain, gradient
        out = kernels.packed_attention(*turned, ends, dropout=0.2)
        plain = kernels.packed_attention(*turned, ends)
        gradient = torch.autograd.grad(out, leaves, torch.ones_like(out))[0]

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    seen = []
    for lengths in ([24, 40, 0, 0], [24, 40, 0, 0], [10, 5, 48, 1]):
        ends.copy_(torch.tensor([0, *lengths]).cumsum(0))
        graph.replay()
        assert close(plain, expected_of(*turned, ends, -1, -1), 2e-2)
        seen.append((out.clone(), gradient.clone()))
    assert not torch.equal(seen[0][0], seen[1][0])
    assert not torch.equal(seen[0][1], seen[1][1])
    assert all(torch.isfinite(tensor).all() for pair in seen for tensor in pair)


def test_compiled_whole():
    ends, leaves, _ = row(LENGTHS, 4, 2, 64, torch.bfloat16)

    def loss(query, key, value, dropout):
        turned = (tensor[0].transpose(0, 1) for tensor in (query * 2, key, value))
        return kernels.packed_attention(*turned, ends, dropout=dropout).float().square().sum()

    compiled = torch.compile(loss, fullgraph=True, dynamic=False)
    ours, theirs = (torch.autograd.grad(function(*leaves, 0.0), leaves) for function in (compiled, loss))
    assert close(ours, theirs, 2e-2)
    assert compiled(*leaves, 0.5) != compiled(*leaves, 0.5)
