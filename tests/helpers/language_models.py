"""Tiny language models, their objectives, and records for them."""

import numpy as np
import torch
from token_objective import BERT, LLAMA, SPECIALS, VOCABULARY, token_lists

from dnalm.config.recipes import Masking
from dnalm.tables.tokens import Tokens
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.windows import cut
from dnalm.training.models.loading import build
from dnalm.training.objectives.causal import Causal
from dnalm.training.objectives.language import Letters
from dnalm.training.objectives.masked import Masked

MIXTRAL = {**LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 72, "resid_pdrop": 0.0,
        "embd_pdrop": 0.0, "attn_pdrop": 0.0}  # fmt: skip
MODERN = {**{k: v for k, v in BERT.items() if "dropout" not in k}, "model_type": "modernbert"}

BASES = np.array([0] * 5 + [1 + number % 4 for number in range(VOCABULARY - 5)])
"""Each token's, of a vocabulary with five special tokens."""

LETTERS = Letters(BASES, start=1, mask=SPECIALS.mask)


def objective_for(name, weight=1.0, letters=LETTERS, **masking):
    return Causal(letters, weight) if name == "causal" else Masked(letters, weight, Masking(**masking))


def model_for(name, architecture=None, seed=0):
    """Weights larger than at a training's start, so that an error in attention is one in the logits."""
    model = build(
        architecture or (LLAMA if name == "causal" else BERT), objective_for(name).head, SPECIALS, VOCABULARY, seed
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


def shown(lists, size=60, specials=SPECIALS, soft=None, overlong="window", seed=1):
    """Examples of token lists; soft: soft-masked bases of each token in a row."""
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in lists], dtype=np.int64)])
    tokens = Tokens(np.concatenate(lists).astype(np.uint16), offsets, soft_masked=soft)
    windows = cut(tokens.lengths, size, overlong, [f"r{i}" for i in range(len(lists))])
    return Examples(tokens, windows, specials, seed=seed)


def random_records(count, seed=0, unknown=0.1, soft=True, **more):
    """Records with unknown tokens and, partly, soft-masked bases."""
    random = np.random.default_rng(seed)
    lists = [np.where(random.random(len(ids)) < unknown, 1, ids) for ids in token_lists(count, seed=seed)]
    every = np.concatenate(lists)
    return shown(
        lists, soft=(random.integers(0, 5, len(every)) % (BASES[every] + 1)).astype(np.uint8) if soft else None, **more
    )
