"""Bodies of models: everything but a head, whose hidden states are embeddings."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from dnalm.errors import UserError
from dnalm.training.models.loading import build, load, with_random_weights
from dnalm.training.models.remote_code import brief
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.base import Head


class Body(torch.nn.Module):
    """A model without a head, in the form in which the engine packs and proves models: its outputs are its states."""

    base_model_prefix = "body"

    def __init__(self, body: Any) -> None:
        """body: what `AutoModel` makes."""
        super().__init__()
        self.body, self.config = body, body.config

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = self.body.device
        return device

    def get_input_embeddings(self) -> Any:
        """The embedding of tokens."""
        return self.body.get_input_embeddings()

    def set_attn_implementation(self, kind: str) -> None:
        """Choose the attention, as transformers' models do."""
        self.body.set_attn_implementation(kind)

    def set_experts_implementation(self, kind: str) -> None:
        """Choose how a mixture of experts is computed, as transformers' models do."""
        self.body.set_experts_implementation(kind)

    def forward(self, **inputs: torch.Tensor) -> Any:
        """`logits`: the last layer's states, (b, width, hidden)."""
        return SimpleNamespace(logits=self.body(**inputs).last_hidden_state)


def open_body(
    checkpoint: Path | None,
    architecture: Mapping[str, Any] | None,
    random: bool,
    specials: Specials,
    vocabulary: int,
    seed: int,
    trust: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Body:
    """The body of a checkpoint, or of an architecture with random weights, in fp32 and ready for inference.

    random: leave the checkpoint's weights out. seed: of random weights. settings: more entries of the model's config.
    Raises `UserError` if there is no such model, or its weights are not all in the checkpoint (the pooler, which some
    heads have, is not used).
    """
    head = Head("AutoModel", "a model with hidden states", settings)
    if checkpoint is None:
        model = build(architecture or {}, head, specials, vocabulary, seed)
    elif random:
        model = with_random_weights(checkpoint, head, specials, seed, trust)
    else:
        loaded = load(checkpoint, head, specials, seed, trust)
        missing = [name for name in loaded.missing if not name.startswith("pooler.")]
        if missing:
            raise UserError(f"{checkpoint}: its weights lack {missing[0]} and {len(missing) - 1} more of the body")
        model = loaded.model
    if model.config.is_encoder_decoder:
        raise UserError(
            f"{checkpoint or 'architecture'}: it has an encoder and a decoder, and its states depend on what it is to"
            " write; embed with an encoder or a decoder"
        )
    return Body(model.requires_grad_(False)).eval()


def count_layers(body: Body, specials: Specials) -> int:
    """Number of a body's hidden states, the embedding of tokens included; found by running it on one token.

    1 for a model that returns none but the last. Raises `UserError` if it does not run on tokens alone.
    """
    ids = torch.tensor([[*specials.prefix, specials.pad, *specials.suffix]], device=body.device)
    try:
        with torch.no_grad():
            found = body.body(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        states = getattr(found, "hidden_states", None)
        width = found.last_hidden_state.shape[-1]
    except Exception as error:  # an architecture not made for this raises anything
        raise UserError(f"this model does not give hidden states ({type(error).__name__}: {brief(error)})") from error
    if not states or any(state.shape[-1] != width for state in states):
        return 1
    return len(states)
