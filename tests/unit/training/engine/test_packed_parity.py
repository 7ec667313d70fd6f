"""A packed model does what it does on each sequence alone: logits, loss and gradients."""

import copy

import numpy as np
import pytest
import torch
from closeness import close
from packed_models import FAMILIES, LONGEST, OBJECTIVE, SPECIALS, classifier, sequences

from dnalm.config.recipes import Lora
from dnalm.training.engine.feeds import PaddedFeed
from dnalm.training.engine.packing import PackedFeed, PackedModel
from dnalm.training.models.heads import reader_of
from dnalm.training.models.tokenizers import Specials

LIMIT = LONGEST + 2
INPUTS = ("input_ids", "attention_mask")


def packed_feed(examples, most_tokens=256, batch_size=20):
    return PackedFeed(examples, OBJECTIVE, batch_size, most_tokens, position_limit=LIMIT)


def alone(model, examples):
    """Logits of each example, each by itself, padded."""
    feed = PaddedFeed(examples, OBJECTIVE, 20)
    batches = [feed.collate(np.array([i]), np.ones(1)) for i in range(len(examples))]
    with torch.inference_mode():
        return torch.cat([model(input_ids=b["input_ids"], attention_mask=b["attention_mask"]).logits for b in batches])


def together(packed, feed):
    """Logits of each example, all packed into rows."""
    found = torch.full((len(feed.examples), 3), torch.nan)
    with torch.inference_mode():
        for batch in feed.batches(0):
            for (row,) in feed.divide(batch, 1):
                logits = packed(feed.collate(row, np.ones(len(row))))
                assert logits.shape == (feed.slots, 3) and torch.isfinite(logits).all()
                found[row] = logits[: len(row)]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_each_sequence_alone(family):
    examples, model = sequences(30), classifier(family)
    expected, feed = alone(model, examples), packed_feed(examples)
    assert expected.std(dim=0).max() > 0.05  # they tell the sequences apart
    assert close(together(PackedModel(model, feed.longest), feed), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_and_gradients_of_a_batch_are_those_of_the_padded_batch(family):
    examples, model = sequences(24, seed=1), classifier(family).train()
    other = copy.deepcopy(model)
    weights = np.random.default_rng(0).random(24).astype(np.float32)
    weights /= weights.sum()
    feeds = {"padded": PaddedFeed(examples, OBJECTIVE, 24, 512), "packed": packed_feed(examples, 192, 24)}
    packed = PackedModel(other, feeds["packed"].longest)
    losses = {}
    for name, feed in feeds.items():
        (batch,) = feed.batches(0)
        micros = [part for row in feed.divide(batch, 2) for part in row]
        assert len(micros) > 3
        losses[name] = 0.0
        for part in micros:
            micro = feed.collate(part, weights[part])
            logits = packed(micro) if name == "packed" else model(**{k: micro[k] for k in INPUTS}).logits
            each = torch.nn.functional.cross_entropy(logits, micro["targets"], reduction="none")
            loss = (each * micro["weights"]).sum()
            loss.backward()
            losses[name] += loss.item()
    assert close(losses["packed"], losses["padded"])
    scale = max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None)
    for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        gradients = [torch.zeros_like(one) if p.grad is None else p.grad for p in (one, two)]
        assert torch.isfinite(gradients[1]).all(), name
        assert close(*gradients, scale=scale), name


def test_a_decoder_reads_the_last_token_that_is_not_padding():
    # many tokenizers pad with the very token that ends a sequence
    specials = Specials(prefix=(2,), suffix=(0,), pad=0, unknown=1, mask=None)
    examples, model = sequences(20, specials=specials), classifier("llama")
    expected, feed = alone(model, examples), packed_feed(examples)
    assert close(together(PackedModel(model), feed), expected)


def test_a_decoder_without_padding_reads_the_very_last_token():
    examples, model = sequences(20), classifier("llama", pad_token_id=None)
    feed = packed_feed(examples)
    rows = [torch.from_numpy(examples.flat(np.array([i]))[0])[None] for i in range(20)]
    with torch.inference_mode():
        expected = torch.cat([model(input_ids=row).logits for row in rows])
    assert close(together(PackedModel(model), feed), expected)


@pytest.mark.parametrize("family", ["bert", "modernbert-cls", "mixtral"])
def test_a_model_with_adapters_is_packed_too(family):
    from dnalm.training.models.methods import prepare

    targets = {"bert": ["query"], "modernbert-cls": ["Wqkv"], "mixtral": ["q_proj"]}[family]
    examples, model = sequences(16), classifier(family)
    model = prepare(model, "lora", Lora(rank=2, target_modules=targets), seed=0).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    expected, feed = alone(model, examples), packed_feed(examples)
    packed = PackedModel(model, feed.longest)
    assert close(together(packed, feed), expected)
    assert len(list(packed.parameters())) == len(list(model.parameters()))


@pytest.mark.parametrize("family", ["bert", "modernbert-mean", "mistral"])
def test_one_graph_holds_the_whole_forward(family):
    examples, model = sequences(16), classifier(family)
    feed = packed_feed(examples)
    packed = PackedModel(model, feed.longest)
    expected = together(packed, feed)
    torch._dynamo.reset()
    compiled = torch.compile(packed, fullgraph=True, dynamic=False, backend="eager")
    assert close(together(compiled, feed), expected)


def test_padded_batches_in_between_are_as_ever(tmp_path):
    examples, model = sequences(16), classifier("modernbert-cls")
    expected, feed = alone(model, examples), packed_feed(examples)
    packed = PackedModel(model, feed.longest)
    first = together(packed, feed)
    with packed.padded() as plain:
        assert torch.equal(alone(plain, examples), expected)
    assert torch.equal(together(packed, feed), first)
    with pytest.raises(ValueError, match="needs the sequences' boundaries"):
        alone(model, examples)
    model.save_pretrained(tmp_path)
    assert "packed" not in (tmp_path / "config.json").read_text()
    packed.restore()
    assert torch.equal(alone(model, examples), expected)


def test_an_unknown_head_is_refused():
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=40, dim=8, n_layers=1, n_heads=2, hidden_dim=8, pad_token_id=SPECIALS.pad)
    model = DistilBertForSequenceClassification(config)
    assert reader_of(model) is None
    with pytest.raises(ValueError, match="DistilBertForSequenceClassification"):
        PackedModel(model)
