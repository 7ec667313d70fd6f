"""What an optimizer step is made of: its micro-batches, the memory for them."""

import itertools
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from dnalm.training.engine import steps
from dnalm.training.engine.steps import ahead, fitting_tokens


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
