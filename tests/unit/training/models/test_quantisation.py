"""Adapters upon 4-bit weights, on the CPU: bitsandbytes computes there what it does on a GPU."""

import re

import pytest
import torch
from closeness import close
from needed import require
from small_classifiers import CPU, EXPERTS, MIXTRAL, changed, classifier, frozen, logits, train
from small_models import TINY

from dnalm.config.recipes import Lora
from dnalm.errors import UserError
from dnalm.training.engine.devices import make_repeatable
from dnalm.training.models.methods import adapt, head, merge, quantised_parameters, save_adapter

require("bitsandbytes")


@pytest.fixture(autouse=True)
def _repeatable():
    make_repeatable()


def quantised(architecture=TINY, lora=None):
    return adapt(classifier(architecture), lora or Lora(), seed=1, quantise_on=CPU)


@pytest.mark.parametrize(
    ("architecture", "lora", "linear", "left"),
    [
        (TINY, None, 4 * 32 * 32 + 2 * 32 * 64, ["bert.embeddings.word_embeddings.weight", "biases and norms"]),
        (TINY, Lora(modules_to_save=["key"]), 3 * 32 * 32 + 2 * 32 * 64, ["bert.embeddings.word_embeddings.weight"]),
        (MIXTRAL, None, 4 * 32 * 32, [*EXPERTS, "mlp.gate.weight", "model.embed_tokens.weight", "biases and norms"]),
        (MIXTRAL, Lora(target_parameters=EXPERTS), 4 * 32 * 32, EXPERTS),
    ],
)
def test_it_is_told_what_is_in_4_bits_and_what_is_not(architecture, lora, linear, left):
    plain = classifier(architecture)
    adapted = quantised(architecture, lora)
    found = quantised_parameters(adapted)
    assert found["quantised"] == linear
    assert set(left) <= set(found["not_quantised"])
    trained = {name.split(".")[-1] for name in head(plain)} | set((lora and lora.modules_to_save) or [])
    rest = sum(p.numel() for name, p in plain.named_parameters() if not trained & set(name.split(".")))
    assert linear + sum(found["not_quantised"].values()) == rest
    codes = [p for p in adapted.parameters() if p.dtype == torch.uint8]
    assert 2 * sum(p.numel() for p in codes) == linear
    assert all(p.dtype == torch.float32 for p in adapted.parameters() if p.dtype != torch.uint8)


def test_a_4_bit_layer_computes_what_its_dequantised_layer_does():
    """In its input's format or autocast's, whatever came before, and without touching its bias."""
    from dnalm.training.models.quantisation import Linear

    torch.manual_seed(1)
    layer = torch.nn.Linear(128, 96)
    original, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    four = Linear(layer, CPU)
    plain = four.dequantised()
    scale = original.reshape(-1, 64).abs().amax(dim=1, keepdim=True)
    error = (plain.weight - original).reshape(-1, 64).abs() / scale
    # the widest gap between two of the 16 values is .304, and the scales themselves are rounded to 8 bits
    assert 0 < error.max() < 0.304 / 2 + 0.02
    for _ in range(2):
        x = torch.randn(5, 128, requires_grad=True)
        assert close(four(x), plain(x))
        assert close(torch.autograd.grad(four(x).sum(), x)[0], plain.weight.sum(0).expand(5, -1))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert four(x).dtype == plain(x).dtype == torch.bfloat16
            assert close(four(x), plain(x), 2e-2)
        assert torch.equal(four.bias, bias) and four.bias.dtype == torch.float32


@pytest.mark.parametrize(
    ("architecture", "lora"),
    [
        (TINY, Lora()),
        (TINY, Lora(rank=4, dropout=0.1, target_modules=["query", "output.dense"], modules_to_save=["key"])),
        ({**TINY, "model_type": "albert", "embedding_size": 16}, Lora(target_modules=["ffn"])),
        ({**TINY, "model_type": "modernbert"}, Lora(target_modules=["Wqkv"])),
        (MIXTRAL, Lora()),
        (MIXTRAL, Lora(target_modules=["q_proj"], target_parameters=EXPERTS)),
    ],
)
def test_qlora_learns_upon_rounded_weights_and_the_finished_model_scores_as_the_validated_one(
    tmp_path, architecture, lora
):
    adapted = quantised(architecture, lora)
    before, start = frozen(adapted), logits(adapted)
    assert not close(start, logits(classifier(architecture)), 1e-4)
    train(adapted)
    found = logits(adapted)
    assert not close(found, start, 1e-2)
    assert changed(before, frozen(adapted)) == set()
    save_adapter(adapted, None, tmp_path / "adapter")
    merged = merge(adapted, tmp_path / "adapter")
    assert close(logits(merged), found)
    plain = classifier(architecture)
    assert type(merged) is type(plain)
    assert {name: value.shape for name, value in merged.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }
    assert all(value.dtype == torch.float32 for value in merged.state_dict().values() if value.is_floating_point())
    assert not getattr(merged.config, "quantization_config", None)


def test_quantising_is_repeatable():
    first, second = quantised(), quantised()
    assert changed(frozen(first), frozen(second)) == set()
    assert torch.equal(logits(first), logits(second))


@pytest.mark.parametrize(
    ("architecture", "lora", "message"),
    [
        (
            {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2},
            Lora(target_modules=["c_attn"]),
            "recipe.method: qlora finds no linear layer in a 'gpt2'; use lora",
        ),
        (
            TINY,
            Lora(target_parameters=["query.weight"]),
            "recipe.lora.target_parameters: the model has no 'query.weight' to train",
        ),
        (MIXTRAL, Lora(target_modules=["gate_up_proj"]), "use target_parameters: [mlp.experts.gate_up_proj]"),
    ],
)
def test_what_qlora_cannot_adapt_is_told(architecture, lora, message):
    with pytest.raises(UserError, match=re.escape(message)):
        quantised(architecture, lora)
