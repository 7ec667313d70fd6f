"""Mixtures of experts under autocast: 16 bits like other layers, or as they were where no kernel takes them."""

import pytest
import torch
from closeness import close
from packed_models import classifier
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS

from dnalm.training.models.experts import autocast_experts


@pytest.fixture(autouse=True)
def as_before():
    ALL_EXPERTS_FUNCTIONS._local_mapping.pop("grouped_mm", None)
    yield
    ALL_EXPERTS_FUNCTIONS._local_mapping.pop("grouped_mm", None)


def mixture(intermediate_size=64):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": intermediate_size}
    return classifier("mixtral", 0.0, noise=0.05, num_experts_per_tok=4, **sizes)


def passed(model, autocast=True):
    """Logits, the gradients of the experts' matrices, and the formats in which their products were taken."""
    formats = []
    experts = [module for module in model.modules() if hasattr(module, "gate_up_proj")]
    hooks = [m.act_fn.register_forward_hook(lambda *call: formats.append(call[1][0].dtype)) for m in experts]
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(input_ids=torch.arange(5, 21).reshape(2, 8)).logits
    logits.float().square().sum().backward()
    for hook in hooks:
        hook.remove()
    return logits.detach(), [module.gate_up_proj.grad.clone() for module in experts], set(formats)


def test_experts_run_in_the_format_of_autocast():
    model = mixture()
    exact, gradients, formats = passed(model, autocast=False)
    assert formats == {torch.float32}
    assert passed(model)[2] == {torch.float32}, (
        "transformers heeds autocast itself: dnalm.training.models.experts can go"
    )
    autocast_experts()
    logits, found, formats = passed(model)
    assert formats == {torch.bfloat16}
    assert close(logits, exact, 2e-2)
    for one, other in zip(found, gradients, strict=True):
        assert one.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.99


def test_without_autocast_nothing_changes():
    model = mixture()
    expected, gradients, _ = passed(model, autocast=False)
    autocast_experts()
    found, others, formats = passed(model, autocast=False)
    assert formats == {torch.float32} and torch.equal(found, expected)
    assert all(torch.equal(one, other) for one, other in zip(gradients, others, strict=True))


def test_sizes_that_the_kernel_lacks_stay_as_they_are():
    autocast_experts()
    assert passed(mixture(intermediate_size=60))[2] == {torch.float32}
