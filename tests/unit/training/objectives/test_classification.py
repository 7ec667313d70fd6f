"""Losses against PyTorch's own and the papers' formulas; weights of examples against scikit-learn's."""

import math

import numpy as np
import pytest
import torch
from closeness import close, size
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_sample_weight

from dnalm.errors import UserError
from dnalm.training.objectives.classification import Classification, class_weights, example_weights


def batch(count=12, classes=3, seed=1):
    random = np.random.default_rng(seed)
    logits = torch.tensor(random.normal(scale=3, size=(count, classes)), dtype=torch.float32, requires_grad=True)
    return logits, torch.from_numpy(random.integers(classes, size=count))


def weighted(objective, logits, labels, weights):
    """What a training sums over its micro-batches: weights of a whole batch add up to 1."""
    return (torch.from_numpy(weights / weights.sum()).float() * objective.losses(logits, labels)).sum()


def test_without_focus_it_is_cross_entropy():
    logits, labels = batch()
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert torch.equal(Classification().losses(logits, labels), expected)


def test_focal_loss_by_hand():
    """p = 3/4 and 1/4: -ln(3/4) (1/4)^2 and -ln(1/4) (3/4)^2."""
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    found = Classification(focal_gamma=2).losses(logits, torch.tensor([0, 1]))
    assert found.tolist() == pytest.approx([-math.log(0.75) / 16, -math.log(0.25) * 9 / 16], rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1, 2, 5])
def test_focal_loss_and_its_gradient_agree_with_the_formula_in_fp64(gamma):
    logits, labels = batch()
    p = torch.softmax(logits.double(), dim=1).gather(1, labels[:, None])[:, 0]
    expected = -((1 - p) ** gamma) * torch.log(p)
    found = Classification(focal_gamma=gamma).losses(logits, labels)
    assert close(found, expected)
    wanted = torch.autograd.grad(expected.sum(), logits)[0]
    assert close(torch.autograd.grad(found.sum(), logits)[0], wanted)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=4), st.floats(0, 8), st.sampled_from(["float32", "bfloat16"])
)
def test_no_logits_give_a_loss_or_gradient_that_is_no_number(row, gamma, dtype):
    logits = torch.tensor([row] * len(row), dtype=getattr(torch, dtype), requires_grad=True)
    losses = Classification(focal_gamma=gamma).losses(logits, torch.arange(len(row)))
    assert losses.dtype == torch.float32 and bool(torch.isfinite(losses).all()) and bool((losses >= 0).all())
    losses.sum().backward()
    assert bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 1.0], [0.2, 3.0, 1.5]])
def test_a_batch_in_parts_has_the_loss_and_gradient_of_pytorchs_weighted_mean(weights):
    logits, labels = batch()
    each = example_weights(labels.numpy(), weights)
    whole = torch.nn.CrossEntropyLoss(weight=None if weights is None else torch.tensor(weights))(logits, labels)
    expected = torch.autograd.grad(whole, logits)[0]
    each = each / each.sum()
    parts = [slice(0, 1), slice(1, 8), slice(8, 12)]
    losses = [
        (torch.from_numpy(each[part]).float() * Classification().losses(logits[part], labels[part])).sum()
        for part in parts
    ]
    assert close(sum(losses), whole)
    assert close(torch.autograd.grad(sum(losses), logits)[0], expected)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_balanced_weights_are_scikit_learns(labels):
    labels = np.array(labels)
    found = example_weights(labels, "balanced")
    assert close(found, compute_sample_weight("balanced", labels), 1e-12)
    totals = [found[labels == label].sum() for label in np.unique(labels)]
    assert close(totals, [totals[0]] * len(totals), 1e-12)


def test_balancing_undoes_a_skew():
    """Nine examples of one class and one of the other, all alike: as if there were as many of each."""
    labels = torch.tensor([0] * 9 + [1])
    logits = torch.zeros(10, 2, requires_grad=True)
    weights = example_weights(labels.numpy(), "balanced")
    assert weights.tolist() == pytest.approx([10 / 18] * 9 + [5])
    weighted(Classification(), logits, labels, weights).backward()
    assert close(logits.grad.sum(dim=0), torch.zeros(2), scale=size(logits.grad))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("none", None),
        ("balanced", "balanced"),
        ({"yes": 3}, [1.0, 3.0]),
        ({"0": 0.5, "yes": 3}, [0.5, 3.0]),
    ],
)
def test_class_weights_go_by_name_or_number(setting, expected):
    assert class_weights(setting, ["no", "yes"]) == expected


def test_a_name_that_is_another_classs_number_means_the_name():
    assert class_weights({"1": 2.0}, ["1", "0"]) == [2.0, 1.0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"maybe": 1.0}, "recipe.class_weights: no label 'maybe'; labels: no, yes"),
        ({"2": 1.0}, "recipe.class_weights: no label '2'; labels: no, yes"),
        ({"1": 1.0, "yes": 2.0}, "recipe.class_weights: label 'yes' is given by its name and its number"),
    ],
)
def test_a_label_that_is_not_there_is_named(setting, message):
    with pytest.raises(UserError, match=message):
        class_weights(setting, ["no", "yes"])
