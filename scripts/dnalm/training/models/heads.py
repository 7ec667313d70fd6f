"""How the heads of architectures work: which tokens' states they read, and how they compute logits from them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_layers import GenericForSequenceClassification

from dnalm.training.models.bodies import Body


@dataclass(frozen=True)
class Reader:
    """How an architecture's head computes logits.

    reads: the token's state that it reads: `first`; `last`, not counting padding; `mean`, of all tokens; `every`, one
    output for each token. logits: model, states (n, hidden) -> (n, outputs).
    """

    reads: str
    logits: Callable[[Any, torch.Tensor], torch.Tensor]


def reader_of(model: Any) -> Reader | None:
    """The reader of a model with a head for sequences or a language-model head; None for an unknown architecture.

    A body has no head: its outputs are its states.
    """
    if isinstance(model, Body):
        return Reader("every", lambda model, states: states)
    if isinstance(model, GenericForSequenceClassification):
        return Reader("last", lambda model, states: model.score(states))
    name = type(model).__name__
    if name.endswith("ForCausalLM") and getattr(model.config, "final_logit_softcapping", None) is None:
        return Reader("every", lambda model, states: model.get_output_embeddings()(states))
    if name in _HEADS_OF_MASKED and not getattr(model.config, "token_dropout", False):
        # ESM's token dropout scales a whole row by its number of masked tokens
        return Reader("every", _HEADS_OF_MASKED[name])
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
    # this head selects the first token of (n, tokens, hidden) itself
    return model.classifier(states[:, None])  # type: ignore[no-any-return]


_HEADS_OF_MASKED = {
    "BertForMaskedLM": lambda model, states: model.cls(states),
    "RobertaForMaskedLM": lambda model, states: model.lm_head(states),
    "XLMRobertaForMaskedLM": lambda model, states: model.lm_head(states),
    "ModernBertForMaskedLM": lambda model, states: model.decoder(model.head(states)),
    "EsmForMaskedLM": lambda model, states: model.lm_head(states),
}

_ENCODERS = {
    "BertForSequenceClassification": Reader("first", _bert),
    "AlbertForSequenceClassification": Reader("first", _albert),
    "RobertaForSequenceClassification": Reader("first", _roberta),
    "XLMRobertaForSequenceClassification": Reader("first", _roberta),
    "EsmForSequenceClassification": Reader("first", _roberta),
}
