"""What a head reads of a sequence: which of its tokens' states, and how it makes logits of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_layers import GenericForSequenceClassification


@dataclass(frozen=True)
class Reader:
    """How an architecture makes logits of a sequence.

    reads: the state it takes: `first`, the first token's; `last`, that of the last that is not padding; `mean`, the
    mean of all; `every`, each token's own. logits: model, states (n, hidden) -> (n, outputs).
    """

    reads: str
    logits: Callable[[Any, torch.Tensor], torch.Tensor]


def reader_of(model: Any) -> Reader | None:
    """How a model with a sequence's or a language model's head reads; None for an architecture not known here."""
    if isinstance(model, GenericForSequenceClassification):
        return Reader("last", lambda model, states: model.score(states))
    name = type(model).__name__
    if name.endswith("ForCausalLM") and getattr(model.config, "final_logit_softcapping", None) is None:
        return Reader("every", lambda model, states: model.get_output_embeddings()(states))
    if name == "ModernBertForSequenceClassification":
        reads = {"cls": "first", "mean": "mean"}.get(model.config.classifier_pooling)
        return Reader(reads, _modernbert) if reads else None
    return _ENCODERS.get(name)


def _bert(model: Any, states: torch.Tensor) -> torch.Tensor:
    pooled = model.bert.pooler(states[:, None])
    return model.classifier(model.dropout(pooled))  # type: ignore[no-any-return]


def _albert(model: Any, states: torch.Tensor) -> torch.Tensor:
    pooled = model.albert.pooler_activation(model.albert.pooler(states))
    return model.classifier(model.dropout(pooled))  # type: ignore[no-any-return]


def _modernbert(model: Any, states: torch.Tensor) -> torch.Tensor:
    return model.classifier(model.drop(model.head(states)))  # type: ignore[no-any-return]


def _roberta(model: Any, states: torch.Tensor) -> torch.Tensor:
    # this head itself takes the first token of (n, tokens, hidden)
    return model.classifier(states[:, None])  # type: ignore[no-any-return]


_ENCODERS = {
    "BertForSequenceClassification": Reader("first", _bert),
    "AlbertForSequenceClassification": Reader("first", _albert),
    "RobertaForSequenceClassification": Reader("first", _roberta),
    "XLMRobertaForSequenceClassification": Reader("first", _roberta),
    "EsmForSequenceClassification": Reader("first", _roberta),
}
