"""The tests' own comparison can fail, and judges by size."""

import math

import numpy as np
import pytest
import torch
from closeness import close


@pytest.mark.parametrize(
    ("found", "expected", "parts", "agree"),
    [
        (3.00001, 3.0, 1e-5, True),
        (3.0001, 3.0, 1e-5, False),
        (3e-9, 2e-9, 1e-5, False),  # small numbers are no excuse
        ([1e-6, 3.0], [0.0, 3.0], 1e-5, True),  # of the largest one's size
        (0.0, 0.0, 0.0, True),
        (1e-300, 0.0, 1e-5, False),
        (math.nan, 1.0, 1.0, False),
        (1.0, math.nan, 1.0, False),
        (math.inf, math.inf, 1e-5, True),
        ([math.inf, 1.0], [math.inf, 2.0], 1e-5, False),
        (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), torch.tensor([1.0, 2.01]), 1e-2, True),
        ({"a": [1.0], "b": 1e6}, {"a": [2.0], "b": 1e6}, 1e-5, False),  # each member by its own size
        ([torch.ones(2), torch.ones(3) * 1e6], [torch.ones(2) * 2, torch.ones(3) * 1e6], 1e-5, False),
        (np.zeros((0, 2)), np.zeros((0, 2)), 1e-5, True),
    ],
)
def test_agreement(found, expected, parts, agree):
    assert bool(close(found, expected, parts)) is agree


def test_a_failure_shows_the_sizes():
    assert repr(close({"a": 1.0, "b": 2.2}, {"a": 1.0, "b": 2.0})) == (
        "<a difference at ['b'] of 0.1 parts of 2; 1e-05 allowed>"
    )
    assert close(1e-9, 0.0, 1e-8, scale=1) and not close(1e-7, 0.0, 1e-8, scale=1)


@pytest.mark.parametrize(
    ("found", "expected"), [(np.ones(3), np.ones(2)), ({"a": 1.0}, {"b": 1.0}), ([np.ones(1)], [np.ones(1)] * 2)]
)
def test_different_shapes_are_not_compared(found, expected):
    with pytest.raises(AssertionError):
        close(found, expected)
