"""What a classifier reads of a sequence: which of its tokens' states, and the head that makes logits of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_layers import GenericForSequenceClassification


@dataclass(frozen=True)
class Head:
    """How an architecture classifies a sequence.

    reads: the state it takes: `first`, the first token's; `last`, that of the last that is not padding; `mean`, the
    mean of all. logits: classifier, states (n, hidden) -> (n, classes).
    """

    reads: str
    logits: Callable[[Any, torch.Tensor], torch.Tensor]


def head_of(model: Any) -> Head | None:
    """The head of a `*ForSequenceClassification`; None for an architecture that is not known here."""
    if isinstance(model, GenericForSequenceClassification):
        return Head("last", lambda model, states: model.score(states))
    name = type(model).__name__
    if name == "ModernBertForSequenceClassification":
        reads = {"cls": "first", "mean": "mean"}.get(model.config.classifier_pooling)
        return Head(reads, _modernbert) if reads else None
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
    "BertForSequenceClassification": Head("first", _bert),
    "AlbertForSequenceClassification": Head("first", _albert),
    "RobertaForSequenceClassification": Head("first", _roberta),
    "XLMRobertaForSequenceClassification": Head("first", _roberta),
    "EsmForSequenceClassification": Head("first", _roberta),
}
