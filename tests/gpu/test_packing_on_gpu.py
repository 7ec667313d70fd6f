"""Packing on a CUDA GPU: the attention kernel in 16 bits, with dropout, captured and compiled.

Run with: python -m pytest -m gpu tests/gpu/test_packing_on_gpu.py
"""

import numpy as np
import pytest
import torch
from capture import captured
from closeness import close
from needed import needs
from packed_models import FAMILIES, OBJECTIVE, classifier, sequences

from dnalm.training.engine.attention import block_mask, varlen
from dnalm.training.engine.feeds import PaddedFeed
from dnalm.training.engine.optimizers import make
from dnalm.training.engine.packing import PackedFeed, PackedModel
from dnalm.training.engine.parity import prove
from dnalm.training.engine.steps import Stepper, compile_layers
from dnalm.training.engine.team import Team
from dnalm.training.models.experts import autocast_experts

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]

BF16 = torch.bfloat16
SIZES = {"hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 256}
"""Heads of 32: the kernel wants a multiple of 8."""


@pytest.fixture(autouse=True, scope="module")
def experts():
    autocast_experts()


def model_of(family, dropout=0.0):
    # all experts are used, because the choice between two that are nearly equal hangs on the last bit
    experts = {"num_experts_per_tok": 4} if family == "mixtral" else {}
    return classifier(family, dropout, noise=0.05, **SIZES, **experts).cuda()


COMPILED = ("bert", "modernbert-mean", "mistral")


def on_gpu(micro):
    return {name: tensor.cuda() for name, tensor in micro.items()}


def made(family, dropout=0.0, count=40):
    examples = sequences(count)
    feed = PackedFeed(examples, OBJECTIVE, count, 4096, position_limit=64)
    model = model_of(family, dropout)
    return examples, feed, model, PackedModel(model, feed.longest)


def whole_row(feed):
    (batch,) = feed.batches(0)
    ((row,),) = feed.divide(batch, 1)
    return row, on_gpu(feed.collate(row, np.full(len(row), 1 / len(row), dtype=np.float32)))


def loss_of(logits, micro):
    each = torch.nn.functional.cross_entropy(logits.float(), micro["targets"], reduction="none")
    return (each * micro["weights"]).sum()


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_in_16_bits_is_padded_in_16_bits(family):
    examples, feed, model, packed = made(family)
    row, micro = whole_row(feed)
    padded = on_gpu(PaddedFeed(examples, OBJECTIVE, 40).collate(row, np.full(len(row), 1 / len(row))))
    with packed.padded() as plain, torch.autocast("cuda", BF16):
        plain.set_attn_implementation("eager")  # with a window, sdpa's gradients of padding are not numbers
        expected = plain(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"]).logits
        expected_loss = loss_of(expected, padded)
    expected_loss.backward()
    wanted = gradients(model)
    model.zero_grad()
    with torch.autocast("cuda", BF16):
        found = packed(micro)
        loss = loss_of(found, micro)
    loss.backward()
    agreement = close(found[: len(row)], expected, 2e-2)
    print(family, agreement)
    assert agreement
    assert close(loss, expected_loss, 2e-2)
    got = gradients(model)
    assert got.keys() >= wanted.keys() and all(torch.isfinite(gradient).all() for gradient in got.values())
    one, other = (torch.cat([found[name].flatten() for name in wanted]) for found in (wanted, got))
    assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_the_proof_holds_on_the_gpu(family):
    examples, _, model, packed = made(family)
    packed.restore()
    assert prove(model, examples, torch.device("cuda"), BF16) is None


def test_a_head_size_the_kernel_lacks_is_a_reason():
    examples = sequences(20)
    model = classifier("bert", hidden_size=48, num_attention_heads=4).cuda()  # heads of 12
    reason = prove(model, examples, torch.device("cuda"), BF16)
    assert reason is not None
    print(reason)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("reach", [None, 20])
def test_dropout_keeps_the_mean_and_the_boundaries(causal, reach):
    ends = torch.tensor([0, 100, 100, 164, 170, 256], dtype=torch.int32, device="cuda")
    torch.manual_seed(0)
    query, key, value = (torch.randn(256, 4, 64, device="cuda", dtype=BF16) for _ in range(3))
    exact = torch.nn.functional.scaled_dot_product_attention(
        *(t.float().transpose(0, 1) for t in (query, key, value)), attn_mask=block_mask(ends, 256, causal, reach)
    ).transpose(0, 1)
    draws = [varlen(query, key, value, ends, 100, None, 0.2, causal, reach).float() for _ in range(400)]
    assert not torch.equal(draws[0], draws[1])
    assert (torch.stack(draws).mean(dim=0) - exact).abs().mean() < 0.02
    other = value.clone()
    other[100:164] = 50.0
    torch.manual_seed(1)
    one = varlen(query, key, value, ends, 100, None, 0.2, causal, reach)
    torch.manual_seed(1)
    two = varlen(query, key, other, ends, 100, None, 0.2, causal, reach)
    assert torch.equal(one[:100], two[:100]) and torch.equal(one[164:], two[164:])
    assert not torch.equal(one[100:164], two[100:164])


def test_a_model_trains_with_dropout():
    _, feed, model, packed = made("bert", dropout=0.1, count=64)
    packed.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    _, micro = whole_row(feed)
    losses = []
    for _ in range(60):
        with torch.autocast("cuda", BF16):
            loss = loss_of(packed(micro), micro)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all() and np.mean(losses[-5:]) < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("family", "compiled"), [*((family, False) for family in FAMILIES), *((family, True) for family in COMPILED)]
)
def test_one_captured_graph_serves_every_row(family, compiled):
    examples = sequences(60)
    feed = PackedFeed(examples, OBJECTIVE, 20, 1024, position_limit=64)
    model = model_of(family)
    packed = PackedModel(model, feed.longest)
    rows = [row for batch in feed.batches(0) for (row,) in feed.divide(batch, 1)]
    micros = [on_gpu(feed.collate(row, np.full(len(row), 1 / len(row)))) for row in rows]
    static = {name: tensor.clone() for name, tensor in micros[0].items()}
    torch._dynamo.reset()
    if compiled:
        compile_layers(packed.plain)

    def step():
        model.zero_grad(set_to_none=False)
        with torch.autocast("cuda", BF16, cache_enabled=False):
            loss = loss_of(packed(static), static)
        loss.backward()
        return loss

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    graph, loss = captured(step)
    assert len(micros) > 1
    for micro in micros:
        for name, tensor in micro.items():
            static[name].copy_(tensor)
        graph.replay()
        replayed, got = loss.item(), gradients(model)
        model.zero_grad(set_to_none=False)
        with torch.autocast("cuda", BF16), torch.compiler.set_stance("force_eager"):
            expected = loss_of(packed(micro), micro)
        expected.backward()
        assert close(replayed, expected, 2e-2)
        one, other = (torch.cat([g.flatten() for g in grads.values()]) for grads in (got, gradients(model)))
        assert torch.nn.functional.cosine_similarity(one, other, dim=0) > 0.99


def test_dropout_differs_between_replays_of_a_graph():
    _, feed, _, packed = made("bert", dropout=0.3)
    packed.train()
    _, micro = whole_row(feed)

    def step():
        with torch.autocast("cuda", BF16, cache_enabled=False):
            return packed(micro)

    with torch.no_grad():
        graph, logits = captured(step)
    graph.replay()
    first = logits.clone()
    graph.replay()
    assert not torch.equal(first, logits)


def test_a_capture_that_fails_leaves_training_as_it_was():
    _, feed, model, packed = made("bert", dropout=0.3)
    packed.train()
    _, micro = whole_row(feed)
    device = torch.device("cuda")

    def forward(batch):
        logits = packed(batch)
        logits.sum().item()  # waits for the GPU, which no graph can
        return logits

    stepper = Stepper(
        forward, model, make("adamw", model, 1e-3, 0.0, device), OBJECTIVE, Team(0, 1, 0, device), 1.0, True
    )
    reason = stepper.capture(micro)
    assert reason is not None and not stepper.captured
    print(reason)
    torch.manual_seed(0)
    first = torch.rand(1000, device=device)
    torch.manual_seed(0)
    assert torch.equal(first, torch.rand(1000, device=device))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    losses = []
    for _ in range(3):
        stepper.micro(micro, True, True)
        stepper.update()
        losses.append(stepper.total.item())
    assert len(set(losses)) == 3 and np.isfinite(losses).all()
    assert any(not torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
