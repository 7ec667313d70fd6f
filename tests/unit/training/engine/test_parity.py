import numpy as np
import pytest
import torch
from packed_models import FAMILIES, classifier, sequences

from dnalm.config.recipes import Lora
from dnalm.training.engine import parity
from dnalm.training.engine.attention import block_mask, segments
from dnalm.training.engine.packing import PackedModel
from dnalm.training.engine.parity import prove
from dnalm.training.models.heads import Reader

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_packs_is_proven_and_left_as_it_was(family):
    model = classifier(family).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    precision = torch.get_float32_matmul_precision()
    assert prove(model, sequences(40), CPU, None) is None
    assert model.training and model.config._attn_implementation == "sdpa"
    assert torch.get_float32_matmul_precision() == precision
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_with_adapters_is_proven():
    from dnalm.training.models.methods import prepare

    model = prepare(classifier("bert"), "lora", Lora(rank=2), seed=0)
    assert prove(model, sequences(20), CPU, None) is None


def test_an_architecture_outside_the_table_is_not():
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    model = DistilBertForSequenceClassification(DistilBertConfig(vocab_size=40, dim=8, n_layers=1, n_heads=2))
    assert prove(model, sequences(9), CPU, None) == (
        "DistilBertForSequenceClassification is not among the architectures that can be packed"
    )


def test_attention_across_boundaries_is_found(monkeypatch):
    def leaky(ends, tokens, causal, reach):
        return torch.ones(tokens, tokens, dtype=torch.bool) if not causal else block_mask(ends, tokens, causal, reach)

    monkeypatch.setattr("dnalm.training.engine.attention.block_mask", leaky)
    reason = prove(classifier("bert"), sequences(20), CPU, None)
    assert reason is not None and "differ from those of each sequence alone by" in reason
    assert prove(classifier("llama"), sequences(20), CPU, None) is None


def test_a_leak_too_small_for_parity_to_tell_is_found(monkeypatch):
    # a constant is added to every row's logits, which only the second check can see to depend on the others
    forward = PackedModel.forward

    def leaky(self, micro):
        logits = forward(self, micro)
        return logits + (0.9 if micro["input_ids"].sum() % 2 else -0.9) * 1e-4 * logits.abs().max()

    monkeypatch.setattr(PackedModel, "forward", leaky)
    reasons = [prove(classifier("bert"), sequences(20, seed=seed), CPU, None) for seed in range(8)]
    assert any(reason and "one sequence changes the logits of others" in reason for reason in reasons)


def test_wrong_positions_are_found(monkeypatch):
    monkeypatch.setattr("dnalm.training.engine.packing.first_position", lambda model: 0)
    reason = prove(classifier("roberta"), sequences(20), CPU, None)
    assert reason is not None and "differ" in reason


def test_the_wrong_token_is_found(monkeypatch):
    monkeypatch.setattr(
        "dnalm.training.engine.packing.reader_of", lambda model: Reader("mean", lambda m, s: m.score(s))
    )
    model = classifier("mistral")
    reason = prove(model, sequences(20), CPU, None)
    assert reason is not None and "differ" in reason
    assert model.config._attn_implementation == "sdpa"


def test_whatever_goes_wrong_is_a_reason(monkeypatch):
    model = classifier("bert")

    def broken(*_, **__):
        raise IndexError("no such\nthing")

    monkeypatch.setattr(model.bert.encoder, "forward", broken)
    assert prove(model, sequences(9), CPU, None) == "it does not run packed (IndexError: no such thing)"
    assert model.config._attn_implementation == "sdpa" and not model.training


def test_logits_that_say_nothing_prove_nothing():
    model = classifier("llama")
    torch.nn.init.zeros_(model.score.weight)
    assert prove(model, sequences(9), CPU, None) == "its logits hardly depend on the sequence, so nothing can be shown"


def test_softcapping_is_beyond_the_packed_attention():
    from transformers import Gemma2Config, Gemma2ForSequenceClassification

    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = Gemma2Config(vocab_size=40, intermediate_size=16, head_dim=8, pad_token_id=0, **settings)
    reason = prove(Gemma2ForSequenceClassification(config).eval(), sequences(9), CPU, None)
    assert reason == "it does not run packed (ValueError: packed attention has no softcap)"


@pytest.mark.parametrize(("lengths", "count"), [([5] * 3, 3), ([5], 1), ([9, 3000, 5], 2), ([9000, 8000], 2)])
def test_probes_are_few_tokens(lengths, count):
    chosen = parity._probes(np.array(lengths))
    assert len(chosen) == count == len(set(chosen.tolist()))


def test_windows_too_long_for_a_mask_are_not_tried(monkeypatch):
    monkeypatch.setattr(parity, "MOST_TOKENS", 2)
    reason = prove(classifier("bert"), sequences(9, seed=1), CPU, None)
    assert reason is not None and "too long to be tried together" in reason


def test_probes_reach_from_the_shortest_to_the_longest():
    lengths = np.random.default_rng(0).integers(5, 500, size=1000)
    chosen = lengths[parity._probes(lengths)]
    assert len(chosen) >= 10 and chosen.sum() <= parity.MOST_TOKENS
    assert chosen.min() == lengths.min() and chosen.max() == lengths.max()


def test_one_window_is_enough_to_run():
    assert prove(classifier("bert"), sequences(1), CPU, None) == (
        "its logits hardly depend on the sequence, so nothing can be shown"
    )
    assert segments(torch.tensor([0, 1], dtype=torch.int32), 1).tolist() == [0]
