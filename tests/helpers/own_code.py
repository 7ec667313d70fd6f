"""A checkpoint that brings its own code, as DNABERT-2, HyenaDNA and Caduceus do: architecture and tokenizer."""

import json
import os

CONFIGURATION = """
from pathlib import Path

from transformers import PreTrainedConfig


class BagConfig(PreTrainedConfig):
    model_type = "bag-of-bases"

    def __init__(self, vocab_size=9, hidden_size=8, ran=None, **kwargs):
        if ran:
            Path(ran).touch()
        self.vocab_size, self.hidden_size, self.ran = vocab_size, hidden_size, ran
        super().__init__(**kwargs)
"""

MODELING = """
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from .configuration_bag import BagConfig


class BagModel(PreTrainedModel):
    config_class = BagConfig
    base_model_prefix = "bag"

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.mix = torch.nn.Conv1d(config.hidden_size, config.hidden_size, 5, padding=2)
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings

    def forward(self, input_ids, attention_mask):
        mask = attention_mask[..., None].to(self.embeddings.weight.dtype)
        return torch.relu(self.mix((self.embeddings(input_ids) * mask).transpose(1, 2)).transpose(1, 2)) * mask


class BagForSequenceClassification(PreTrainedModel):
    config_class = BagConfig
    base_model_prefix = "bag"

    def __init__(self, config):
        super().__init__(config)
        self.bag = BagModel(config)
        self.classifier = torch.nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def get_input_embeddings(self):
        return self.bag.embeddings

    def forward(self, input_ids=None, attention_mask=None, labels=None, output_hidden_states=None, **kwargs):
        hidden = self.bag(input_ids, attention_mask)
        logits = self.classifier(hidden.sum(1) / attention_mask.sum(1, keepdim=True))
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=(hidden,))
"""

TOKENIZATION = """
from transformers import PythonBackend

LETTERS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "A", "C", "G", "T", "N"]


class BaseTokenizer(PythonBackend):
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, **kwargs):
        self._ids = {letter: number for number, letter in enumerate(LETTERS)}
        kwargs = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", **kwargs}
        super().__init__(**kwargs)

    @property
    def vocab_size(self):
        return len(LETTERS)

    def get_vocab(self):
        return dict(self._ids)

    def _tokenize(self, text, **kwargs):
        return list(text)

    def _convert_token_to_id(self, token):
        return self._ids.get(token, 1)

    def _convert_id_to_token(self, index):
        return LETTERS[index]

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        return [2, *token_ids_0, 3]

    def save_vocabulary(self, save_directory, filename_prefix=None):
        return ()
"""


def checkpoint(directory, ran=None):
    """Write such a checkpoint, with random weights for all but the head; a file `ran` appears when its code runs."""
    import numpy as np
    from safetensors.numpy import save_file

    directory.mkdir(parents=True)
    for name, text in (("configuration", CONFIGURATION), ("modeling", MODELING)):
        (directory / f"{name}_bag.py").write_text(text.lstrip())
    (directory / "tokenization_bases.py").write_text(TOKENIZATION.lstrip())
    config = {
        "model_type": "bag-of-bases", "vocab_size": 9, "hidden_size": 8, "ran": ran and os.fspath(ran),
        "architectures": ["BagForSequenceClassification"],
        "auto_map": {
            "AutoConfig": "configuration_bag.BagConfig",
            "AutoModelForSequenceClassification": "modeling_bag.BagForSequenceClassification",
        },
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    tokenizer = {
        "tokenizer_class": "BaseTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_bases.BaseTokenizer", None]},
        "model_max_length": 128,
    }  # fmt: skip
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    random = np.random.default_rng(1)
    shapes = {"bag.embeddings.weight": (9, 8), "bag.mix.weight": (8, 8, 5), "bag.mix.bias": (8,)}
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    return directory
