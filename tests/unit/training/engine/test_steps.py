"""What an optimizer step is made of: its groups, its state, its micro-batches, the memory for them."""

import itertools
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from dnalm.training.engine import steps
from dnalm.training.engine.steps import adamw, ahead, fitting_tokens, load_optimizer, optimizer_state

CPU = torch.device("cpu")


def makers():
    """The threads at work for `ahead`."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_things_made_ahead_come_in_order_and_in_another_thread():
    def make(item):
        time.sleep(0.002 * (item % 3))
        return item, threading.current_thread()

    found = list(ahead(make, range(20)))
    assert [item for item, _ in found] == list(range(20))
    assert {thread for _, thread in found}.isdisjoint({threading.current_thread()}) and not makers()
    assert list(ahead(make, [])) == []


def test_only_a_few_are_made_before_they_are_asked_for():
    taken = []
    made = ahead(lambda item: item, (taken.append(item) or item for item in itertools.count()))
    assert next(made) == 0 and len(taken) == steps.AHEAD + 1
    assert next(made) == 1 and len(taken) == steps.AHEAD + 2
    made.close()
    assert not makers()


def test_what_fails_ahead_fails_where_it_is_asked_for():
    def make(item):
        if item == 3:
            raise ValueError("the third")
        return item

    made = ahead(make, range(9))
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the third"):
        next(made)
    assert not makers()


def test_what_is_no_longer_wanted_is_not_made():
    going, seen = threading.Event(), []

    def make(item):
        seen.append(item)
        if item:
            going.wait(10)
        return item

    made = ahead(make, range(9))
    assert next(made) == 0
    threading.Timer(0.1, going.set).start()
    made.close()
    assert seen in ([0], [0, 1]) and not makers()


def network():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(5, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    model[0].requires_grad_(False)
    return model


def test_biases_and_norms_do_not_decay_and_what_is_frozen_is_left_out():
    model = network()
    decaying, still = adamw(model, 1e-3, 0.1, CPU).param_groups
    assert [*map(id, decaying["params"])] == [id(model[2].weight)] and decaying["weight_decay"] == 0.1
    assert {*map(id, still["params"])} == {id(p) for p in (model[1].weight, model[1].bias, model[2].bias)}
    assert still["weight_decay"] == 0 and decaying["lr"] == still["lr"] == 1e-3 and decaying["fused"]
    model[2].weight.requires_grad_(False)
    assert len(adamw(model, 1e-3, 0.1, CPU).param_groups) == 1  # no empty group


def stepped(count, tensors=False):
    """A network and its optimizer after `count` steps; tensors: with learning rates as on a GPU."""
    model = network()
    if tensors:
        groups = [{"params": [p for p in model.parameters() if p.requires_grad], "lr": torch.tensor(1e-2)}]
        optimizer = torch.optim.AdamW(groups, capturable=False, foreach=False, fused=False)
    else:
        optimizer = adamw(model, 1e-2, 0.1, CPU)
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
    import io

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


class Memory:
    """A GPU in which `fixed` bytes are taken, and so many a token while `run` is at work."""

    def __init__(self, free, fixed, a_token, least=0, most=10**9):
        self.free, self.fixed, self.a_token, self.least, self.most = free, fixed, a_token, least, most
        self.peak = 0

    def run(self, size):
        tokens = min(max(size, self.least), self.most)
        self.peak = 1000 + self.fixed + self.a_token * tokens
        return tokens

    def put(self, monkeypatch):
        cuda = SimpleNamespace(
            empty_cache=lambda: None,
            reset_peak_memory_stats=lambda device: None,
            synchronize=lambda device: None,
            memory_allocated=lambda device: 1000,
            max_memory_allocated=lambda device: self.peak,
            mem_get_info=lambda device: (self.free, 2 * self.free),
        )
        monkeypatch.setattr(steps.torch, "cuda", cuda)
        return self


@pytest.mark.parametrize(
    ("memory", "reserved", "expected"),
    [
        (Memory(10**9, fixed=5_000_000, a_token=1000), 0, 850_000),  # what is fixed is no token's
        (Memory(10**9, fixed=5_000_000, a_token=1000), 600_000_000, 340_000),
        (Memory(10**9, fixed=0, a_token=1000, most=3000), 0, 850_000),  # the batch is smaller than both trials
        (Memory(10**9, fixed=0, a_token=1000, least=9000), 0, 850_000),  # one row is larger than both
        (Memory(10**9, fixed=0, a_token=0), 0, 850_000_000),
        (Memory(10**6, fixed=0, a_token=1000), 10**9, 1),  # there is always a micro-batch, if of one row
    ],
)
def test_tokens_are_as_many_as_memory_holds(monkeypatch, memory, reserved, expected):
    assert fitting_tokens(memory.put(monkeypatch).run, (4096, 8192), torch.device("cuda"), reserved) == expected
