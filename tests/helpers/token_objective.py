"""An objective of tokens as a later module would have it, records of one or more segments, and small models for them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from dnalm.tables.tokens import Tokens
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.windows import cut, room
from dnalm.training.models.loading import build
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.base import IGNORED, Head, Targets

SPECIALS = Specials(prefix=(2,), suffix=(3,), pad=0, unknown=1, mask=4, between=(3,))
VOCABULARY, LONGEST = 40, 60
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
SHAPE = {**SMALL, "max_position_embeddings": 72}
BERT = {"model_type": "bert", **SHAPE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LLAMA = {"model_type": "llama", **SHAPE, "num_key_value_heads": 2}


@dataclass(frozen=True)
class NextToken:
    """A language model's objective, as a later module would have it: each token's loss, one of three of them not learnt."""

    name: ClassVar[str] = "next-token"
    unit: ClassVar[str] = "token"
    metrics: ClassVar[tuple[str, ...]] = ("perplexity",)
    averages: ClassVar[bool] = False

    head = Head("AutoModelForCausalLM", "a causal language model", {})

    def strata(self, records):
        return np.zeros(len(records), dtype=np.int64)

    def weights(self, records):
        return np.array([len(self._learnt(length)) for length in records.lengths_of(np.arange(len(records)))], float)

    @staticmethod
    def _learnt(length):
        return [at for at in range(length - 1) if at % 3]

    def targets(self, records, indices, ids, lengths):
        values, start = np.full(len(ids), IGNORED, dtype=np.int64), 0
        for length in lengths:
            places = np.array(self._learnt(length), dtype=np.int64) + start
            values[places] = ids[places + 1]
            start += length
        return Targets(ids, values)

    def losses(self, logits, targets):
        losses = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, -2), targets.flatten(), reduction="none", ignore_index=IGNORED
        )
        return losses.view(targets.shape)

    def columns(self, config):
        return 2

    def tally(self, records, indices, ids, targets, losses):
        lengths = records.lengths_of(indices)
        starts = lengths.cumsum() - lengths
        return np.stack([np.add.reduceat(part, starts) for part in (losses, targets.values != IGNORED)], axis=1)

    def quality(self, scores, truth):
        loss = float(scores[:, 0].sum() / scores[:, 1].sum())
        return {"loss": loss, "perplexity": float(np.exp(loss))}


def token_lists(count, segments=1, seed=0, longest=LONGEST):
    random = np.random.default_rng(seed)
    return [
        random.integers(5, VOCABULARY, size=random.integers(2, longest // segments)).tolist()
        for _ in range(count * segments)
    ]


def examples(count, segments=1, seed=0, truth=None, segment=0, size=LONGEST, overlong="window", longest=LONGEST):
    lists = token_lists(count, segments, seed, longest)
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in lists], dtype=np.int64)])
    tokens = Tokens(np.concatenate(lists).astype(np.uint16), offsets, segments)
    names = [f"r{i}" for i in range(count)]
    windows = cut(tokens.lengths_of(segment), room(tokens, size, segment), overlong, names, segment=segment)
    return Examples(tokens, windows, SPECIALS, truth, seed=1), lists


def llama(seed=0):
    return build(LLAMA, NextToken.head, SPECIALS, VOCABULARY, seed)
