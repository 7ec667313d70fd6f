"""Small classifiers of every family that packing knows, and sequences for them."""

import numpy as np
import torch
from small_models import tokens_of
from transformers import AutoConfig, AutoModelForSequenceClassification

from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.windows import cut
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.classification import Classification

SPECIALS = Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4)
OBJECTIVE = Classification()
VOCABULARY = 40
LONGEST = 60

_BASE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 72,
}
_DECODER = {**_BASE, "num_key_value_heads": 2}
_MODERN = {**_BASE, "num_hidden_layers": 3, "global_attn_every_n_layers": 3, "local_attention": 16}
FAMILIES = {
    "bert": ("bert", _BASE),
    "roberta": ("roberta", _BASE),
    "esm-absolute": (
        "esm",
        {**_BASE, "position_embedding_type": "absolute", "token_dropout": True, "mask_token_id": 4},
    ),
    "esm-rotary": ("esm", {**_BASE, "position_embedding_type": "rotary", "token_dropout": True, "mask_token_id": 4}),
    "albert": ("albert", {**_BASE, "embedding_size": 16}),
    "modernbert-cls": ("modernbert", {**_MODERN, "classifier_pooling": "cls"}),
    "modernbert-mean": ("modernbert", {**_MODERN, "classifier_pooling": "mean"}),
    "mistral": ("mistral", {**_DECODER, "sliding_window": 9}),
    "mixtral": ("mixtral", {**_DECODER, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "llama": ("llama", _DECODER),
    "qwen2": ("qwen2", _DECODER),
}
DROPOUTS = (
    "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout_prob", "classifier_dropout",
    "attention_dropout", "embedding_dropout", "mlp_dropout",
)  # fmt: skip


def classifier(family, dropout=0.0, seed=0, noise=0.15, **changes):
    """A random classifier of three classes, whose logits depend on its whole input."""
    kind, settings = FAMILIES[family]
    known = AutoConfig.for_model(kind).to_dict()
    settings = {**settings, **{key: dropout for key in DROPOUTS if key in known}, **changes}
    ids = {"pad_token_id": SPECIALS.pad, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = AutoConfig.for_model(kind, vocab_size=VOCABULARY, num_labels=3, **{**ids, **settings})
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # larger than at a training's start, so that an error in attention is one in the logits too
            parameter.add_(noise * torch.randn_like(parameter))
    return model.eval()


def sequences(count, seed=0, longest=LONGEST, specials=SPECIALS):
    """Examples of random tokens and labels, 1 to `longest` tokens each."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, longest + 1, size=count)
    tokens = tokens_of([random.integers(5, VOCABULARY, size=n).tolist() for n in lengths])
    windows = cut(tokens.lengths, longest, "window", [str(i) for i in range(count)])
    return Examples(tokens, windows, specials, random.integers(3, size=count))
