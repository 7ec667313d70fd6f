"""Choose the engine of a training, packed or padded, and the size of its micro-batches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from dnalm.errors import UserError
from dnalm.training.engine.feeds import Examples, Feed, Integers, PaddedFeed
from dnalm.training.engine.packing import PackedFeed, PackedModel, takes_types, unwrapped
from dnalm.training.engine.parity import prove
from dnalm.training.engine.steps import Micro, fitting_tokens
from dnalm.training.engine.team import Team
from dnalm.training.models.loading import position_limit
from dnalm.training.objectives.base import Objective

CPU_TOKENS = 16384
"""Limit of tokens in a micro-batch on the CPU, where more are not faster."""

TRIALS = (4096, 8192)
"""Tokens of the two micro-batches whose memory is measured."""

ADAMW_BYTES = 16
"""Bytes per trained parameter besides itself, in fp32: gradient, its sum over ranks, and two moments."""


@dataclass
class Engine:
    """A model with its feed.

    forward: micro-batch -> logits; packed: the packing wrapper, None if padded; facts: its entry in run.json.
    """

    model: Any
    feed: Feed
    forward: Callable[[Micro], torch.Tensor]
    packed: PackedModel | None
    facts: dict[str, Any]

    @contextmanager
    def padded(self) -> Iterator[Any]:
        """A context in which the model takes padded batches, uncompiled."""
        if self.packed is None:
            yield self.model
            return
        with self.packed.padded() as model, torch.compiler.set_stance("force_eager"):
            yield model


def choose(
    model: Any,
    objective: Objective,
    train: Examples,
    wanted: str,
    batch_size: int,
    team: Team,
    bf16: bool,
    sharded: bool,
    most_tokens: int | None = None,
) -> Engine:
    """The engine for `model`, the same for all ranks; wanted: the recipe's `engine` (auto, packed or padded).

    Packed is used only if `prove` shows that this model gives the same results packed. sharded: the model will be
    divided among the ranks. most_tokens: limit of a micro-batch; if None it is measured on a CUDA GPU. Raises
    `UserError` if the recipe requires packed and it is impossible. The choice is logged and goes into run.json.
    """
    device, ranks = team.device, team.world
    if wanted == "padded":
        reason: str | None = "as the recipe says"
    elif sharded:
        reason = "a model divided among processes is not packed"
    elif wanted == "auto" and not (device.type == "cuda" and bf16):
        reason = "packing pays on a CUDA GPU in bf16 alone"
    else:
        reasons = team.gather(prove(model, train, device, torch.bfloat16 if bf16 else None))
        reason = next((reason for reason in reasons if reason), None)
    if reason and wanted == "packed":
        raise UserError(f"recipe.engine: this model cannot be packed: {reason}; use auto or padded")
    packed = None if reason else PackedModel(model)
    facts: dict[str, Any] = {}
    if packed is None and device.type == "cuda" and _has_window(unwrapped(model).config):
        # padding beyond the window attends to nothing, for which the fused kernels' gradients are NaN
        unwrapped(model).set_attn_implementation("eager")
        facts["attention"] = "eager, because of the sliding window"
    because = reason or "shown to give the same results as padded"

    def feed(most: int) -> Feed:
        if packed is None:
            return PaddedFeed(train, objective, batch_size, most)
        return PackedFeed(train, objective, batch_size, most, ranks, position_limit(unwrapped(model)))

    if most_tokens is None:
        most_tokens = CPU_TOKENS
        if device.type == "cuda":
            longest = np.argsort(-train.lengths, kind="stable")[:batch_size]  # attention needs most memory there
            fits = _measured(model, packed or _padded(model), feed, longest, device, bf16, ranks if sharded else 1)
            most_tokens = min(team.gather(fits))
    chosen = feed(most_tokens)
    if packed is not None:
        packed.longest = chosen.longest  # type: ignore[attr-defined]
    facts |= {"kind": chosen.kind, "because": because, "most_tokens": most_tokens}
    if isinstance(chosen, PackedFeed):
        facts |= {"row_tokens": chosen.tokens, "row_slots": chosen.slots}
    print(f"engine: {chosen.kind} ({because})", file=sys.stderr)
    return Engine(model, chosen, packed or _padded(model), packed, facts)


def _has_window(config: Any) -> bool:
    """Whether some layer of a model has sliding-window attention."""
    config = config.get_text_config()
    return getattr(config, "sliding_window", None) is not None or "sliding_attention" in (
        getattr(config, "layer_types", None) or ()
    )


def _padded(model: Any) -> Callable[[Micro], torch.Tensor]:
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if takes_types(unwrapped(model)) else [])]

    def forward(micro: Micro) -> torch.Tensor:
        logits: torch.Tensor = model(**{name: micro[name] for name in inputs if name in micro}).logits
        return logits

    return forward


def _measured(
    model: Any,
    forward: Callable[[Micro], torch.Tensor],
    feed: Callable[[int], Feed],
    batch: Integers,
    device: torch.device,
    bf16: bool,
    shares: int,
) -> int:
    """Most tokens of a micro-batch that fit into memory beside gradients and optimizer state, tried on `batch`.

    shares: the number of processes that these two are divided among.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def run(size: int) -> int:
        trial = feed(size)
        indices = trial.divide(batch, 1)[0][0]
        micro = trial.collate(indices, torch.ones(len(indices)).numpy())
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            forward({name: tensor.to(device) for name, tensor in micro.items()}).float().square().mean().backward()
        for parameter in trained:
            parameter.grad = None
        return micro["input_ids"].numel()

    reserved = ADAMW_BYTES * sum(parameter.numel() for parameter in trained) // shares
    return fitting_tokens(run, TRIALS, device, reserved)
