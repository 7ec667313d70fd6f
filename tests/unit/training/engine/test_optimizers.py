"""Optimizers by name: their groups, the matrices that Muon steps and how, their state, what is refused."""

import io
import sys

import pytest
import torch
from closeness import close
from packed_models import classifier
from token_objective import LLAMA, SPECIALS, VOCABULARY, NextToken

from dnalm.errors import UserError
from dnalm.training.engine.optimizers import Muon, body_matrices, load_optimizer, make, optimizer_state, orthogonal
from dnalm.training.models.loading import build
from dnalm.training.models.methods import prepare

CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def test_biases_and_norms_do_not_decay_and_what_is_frozen_is_left_out():
    model = network()
    decaying, still = make("adamw", model, 1e-3, 0.1, CPU).param_groups
    assert [*map(id, decaying["params"])] == [id(model[2].weight)] and decaying["weight_decay"] == 0.1
    assert {*map(id, still["params"])} == {id(p) for p in (model[1].weight, model[1].bias, model[2].bias)}
    assert still["weight_decay"] == 0 and decaying["lr"] == still["lr"] == 1e-3 and decaying["fused"]
    model[2].weight.requires_grad_(False)
    assert len(make("adamw", model, 1e-3, 0.1, CPU).param_groups) == 1  # no empty group


def stepped(count, tensors=False):
    """A network and its optimizer after `count` steps; tensors: with learning rates as on a GPU."""
    model = network()
    if tensors:
        groups = [{"params": [p for p in model.parameters() if p.requires_grad], "lr": torch.tensor(1e-2)}]
        optimizer = torch.optim.AdamW(groups, capturable=False, foreach=False, fused=False)
    else:
        optimizer = make("adamw", model, 1e-2, 0.1, CPU)
    for step in range(count):
        step_once(model, optimizer, step)
    return model, optimizer


def step_once(model, optimizer, seed):
    torch.manual_seed(seed)
    model(torch.randint(5, (8,))).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_a_saved_optimizer_goes_on_as_it_would_have():
    model, optimizer = stepped(3)
    saved, weights = optimizer_state(optimizer), {name: value.clone() for name, value in model.state_dict().items()}
    assert all(type(group["lr"]) is float for group in saved["param_groups"])
    saved = torch.load(buffer_of(saved), weights_only=True)
    step_once(model, optimizer, 9)
    other, fresh = stepped(0)
    other.load_state_dict(weights)
    load_optimizer(fresh, saved)
    step_once(other, fresh, 9)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def buffer_of(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return stream


def test_a_state_is_loaded_into_the_tensors_that_are_there():
    """Captured graphs read these very tensors, and the modes are those they were captured with."""
    _, three = stepped(3, tensors=True)
    _, one = stepped(1, tensors=True)
    saved = optimizer_state(three)
    saved["param_groups"] = [{**group, "lr": 0.5, "foreach": True} for group in saved["param_groups"]]
    rates = [group["lr"] for group in one.param_groups]
    before = {p: dict(state) for p, state in one.state.items()}
    load_optimizer(one, saved)
    assert [group["lr"] for group in one.param_groups] == rates and rates[0] is one.param_groups[0]["lr"]
    assert float(rates[0]) == 0.5 and one.param_groups[0]["foreach"] is False
    for (parameter, tensors), (_, other) in zip(before.items(), three.state.items(), strict=True):
        for name, tensor in tensors.items():
            assert one.state[parameter][name] is tensor and torch.equal(tensor, other[name])


def drawn(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 8, 24), (2, 24, 8), (1, 16, 16)])
def test_a_matrix_is_made_orthogonal_with_its_singular_vectors(shape):
    matrices = drawn(*shape)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonal(matrices).float()
    values = left.mT @ found @ right.mT  # diagonal, if the singular vectors are the same
    diagonal = torch.diagonal(values, dim1=1, dim2=2)
    assert float(diagonal.min()) > 0.5 and float(diagonal.max()) < 1.5
    assert float((values - torch.diag_embed(diagonal)).abs().max()) < 0.06


class Body(torch.nn.Module):
    """Two matrices and a vector; `stack`: the matrices as one tensor."""

    base_model_prefix = "body"

    def __init__(self, *shapes):
        super().__init__()
        self.body = torch.nn.ParameterList(drawn(*shape, seed=number) for number, shape in enumerate(shapes))


def after(optimizer, parameters, count=3):
    for step in range(count):
        for number, p in enumerate(parameters):
            p.grad = drawn(*p.shape, seed=100 * step + number)
        optimizer.step()
    return [p.detach().clone() for p in parameters]


def test_muon_steps_matrices_as_torch_does():
    """torch's is the reference, with the rate that suits AdamW; in bf16 one operation's rounding is 4e-3."""
    shapes = [(16, 48), (48, 16), (16, 48), (16, 16)]
    ours, theirs = Body(*shapes), Body(*shapes)
    reference = torch.optim.Muon(theirs.body, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    began = [p.detach().clone() for p in ours.body]
    found, expected = (
        after(optimizer, list(model.body))
        for optimizer, model in ((make("muon", ours, 0.02, 0.1, CPU), ours), (reference, theirs))
    )
    for start, one, other in zip(began, found, expected, strict=True):
        assert close(one - start, other - start, 2e-2)


def test_a_step_of_muon_by_hand():
    """One step from rest: decayed, then moved by the orthogonal part of the gradient, scaled to AdamW's size."""
    model = Body((4, 9))
    start, gradient = model.body[0].detach().clone(), drawn(4, 9, seed=100)
    model.body[0].grad = gradient
    make("muon", model, 0.02, 0.1, CPU).step()
    moved = (start * (1 - 0.02 * 0.1) - model.body[0].detach()) / (0.02 * 0.2 * 9**0.5)
    left, values, right = torch.linalg.svd(moved, full_matrices=False)
    true_left, _, true_right = torch.linalg.svd(gradient, full_matrices=False)
    assert float(values.min()) > 0.5 and float(values.max()) < 1.5
    assert close(left @ right, true_left @ true_right, 0.06)


def test_a_stack_is_stepped_matrix_by_matrix(monkeypatch):
    stack, apart = Body((3, 8, 16)), Body((8, 16), (8, 16), (8, 16))
    with torch.no_grad():
        for p, one in zip(apart.body, stack.body[0], strict=True):
            p.copy_(one)
    optimizers = [make("muon", model, 0.02, 0.1, CPU) for model in (stack, apart)]
    for step in range(2):
        monkeypatch.setattr("dnalm.training.engine.optimizers.MOST", 2**24 if step else 200)  # in parts, and at once
        stack.body[0].grad = drawn(3, 8, 16, seed=step)
        for p, one in zip(apart.body, stack.body[0].grad, strict=True):
            p.grad = one.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert close(stack.body[0].detach(), torch.stack([p.detach() for p in apart.body]), 1e-3)


def names(model, parameters):
    mine = {id(p) for p in parameters}
    return {name for name, p in model.named_parameters() if id(p) in mine}


def test_muon_takes_the_matrices_of_the_body_and_adamw_the_rest():
    llama = build(LLAMA, NextToken.head, SPECIALS, VOCABULARY, seed=0)
    optimizer = make("muon", llama, 1e-3, 0.1, CPU)
    groups = [names(llama, group["params"]) for group in optimizer.param_groups]
    projections = {f"model.layers.{n}.{part}.weight" for n in (0, 1) for part in (
        *(f"self_attn.{side}_proj" for side in "qkvo"), *(f"mlp.{side}_proj" for side in ("gate", "up", "down")),
    )}  # fmt: skip
    assert groups[0] == projections and groups[1] == {"model.embed_tokens.weight", "lm_head.weight"}
    assert all("norm" in name for name in groups[2])
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.1, 0.0]
    assert set.union(*groups) == {name for name, _ in llama.named_parameters()}
    mixtral = classifier("mixtral", 0.0)
    taken = names(mixtral, body_matrices(mixtral))
    assert any(name.endswith("experts.gate_up_proj") for name in taken) and not any("score" in name for name in taken)
    bert = prepare(classifier("bert", 0.0), "lora", None, 1, CPU)
    adapters = names(bert, body_matrices(bert))
    assert all("lora_" in name or "pooler" in name for name in adapters) and len(adapters) > 2


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_an_optimizer_lowers_a_loss_and_goes_on_as_it_would_have(name):
    """Eight steps of a small mixture, against four, a state written and read, and four."""

    def model_of():
        model = classifier("mixtral", 0.0).train()
        return model, make(name, model, 3e-3, 0.01, CPU)

    def steps(model, optimizer, count):
        losses = []
        for _ in range(count):
            logits = model(input_ids=torch.arange(5, 37).reshape(4, 8)).logits
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    model, optimizer = model_of()
    losses = steps(model, optimizer, 4)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    saved = torch.load(buffer_of(optimizer_state(optimizer)), weights_only=True)
    losses += steps(model, optimizer, 4)
    assert losses[-1] < 0.7 * losses[0]
    other, fresh = model_of()
    other.load_state_dict(weights)
    load_optimizer(fresh, saved)
    assert steps(other, fresh, 4) == losses[4:]
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["adamw8bit", "lion"])
def test_optimizers_of_bitsandbytes_need_a_gpu_and_the_package(monkeypatch, name):
    model = network()
    with pytest.raises(
        UserError, match=rf"recipe\.optimizer: {name} needs a CUDA GPU, and the device is cpu; use adamw"
    ):
        make(name, model, 1e-3, 0.1, CPU)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=rf"recipe\.optimizer: {name} needs the package bitsandbytes; install it"):
        make(name, model, 1e-3, 0.1, torch.device("cuda"))


@pytest.mark.parametrize("sharding", ["fsdp", "zero2"])
@pytest.mark.parametrize("name", ["muon", "adamw8bit", "lion"])
def test_divided_tensors_are_for_adamw_alone(name, sharding):
    with pytest.raises(UserError, match=rf"{name} needs whole tensors, which sharding: {sharding} divides; use adamw"):
        make(name, network(), 1e-3, 0.1, CPU, sharding)


def test_muon_without_a_matrix_is_refused():
    model = Body((4, 9))
    model.body.requires_grad_(False)
    with pytest.raises(UserError, match="muon steps the body's matrices, and none is trained; use adamw"):
        Muon(model, 1e-3, 0.1, CPU)
