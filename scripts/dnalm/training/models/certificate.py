"""The weight gate: a checkpoint that loads without complaint may still hold random weights.

Three checks: nothing but the head is missing; two loads with different seeds agree (random weights would not); and
the checkpoint's own language-model head, where it has one, predicts real DNA better than a uniform guess.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnalm.errors import UserError
from dnalm.training.engine.feeds import Examples
from dnalm.training.models.loading import Loaded, load
from dnalm.training.models.remote_code import HINT, sources
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.base import Head

PROBES = 32
"""Sequences that the checks look at."""

MASKED_FRACTION = 0.15

MARGIN = 0.01
"""How far below a uniform guess a trained head must be, in parts of it; random weights scatter by some thousandths."""


def check_weights(
    loaded: Loaded,
    directory: Path | str,
    head: Head,
    probes: Examples,
    seed: int,
    trained_head: bool,
    trust: bool = False,
) -> dict[str, Any]:
    """Check the weights of a classifier that was loaded from `directory` with `seed`; return what was found.

    probes: windows of real sequences, of which the first `PROBES` are used. trained_head: the head must have come
    with the checkpoint too. trust: run the checkpoint's own code, as it was loaded. Raises `UserError` for weights
    that are missing or random.
    """
    specials = probes.specials
    if loaded.missing_body:
        hint = f"; it has code of its own, which is not run: {HINT}" if sources(directory) and not trust else ""
        raise UserError(
            f"{directory}: {len(loaded.missing_body)} weights of the model are not in the checkpoint"
            f" ({loaded.missing_body[0]} ...){hint}"
        )
    if trained_head and loaded.missing:
        raise UserError(
            f"{directory}: holds no trained classification head for {loaded.model.config.num_labels} classes"
            f" ({loaded.missing[0]} is missing or of another size); use a recipe that trains"
        )
    batch = probes.padded(np.arange(min(PROBES, len(probes))))
    difference = _reload_difference(loaded, load(directory, head, specials, seed + 1, trust), batch)
    if difference > 0:
        raise UserError(f"{directory}: two loads give different outputs (by {difference:.3g}): some weights are random")
    loss = _language_model_loss(directory, specials, batch, seed, trust)
    embeddings = loaded.model.get_input_embeddings().num_embeddings
    uniform = math.log(embeddings)
    if loss is not None and not loss < uniform * (1 - MARGIN):
        raise UserError(
            f"{directory}: its language-model loss on real sequences is {loss:.3f}, a uniform guess has {uniform:.3f}:"
            " the weights look random or belong to another tokenizer"
        )
    return {
        "missing": loaded.missing,
        "unexpected": loaded.unexpected,
        "reload_difference": difference,
        "language_model_loss": loss,
        "uniform_loss": uniform,
    }


def _reload_difference(first: Loaded, second: Loaded, batch: dict[str, torch.Tensor]) -> float:
    """Largest difference of last hidden states, and of logits where no head was drawn."""
    with torch.inference_mode():
        outputs = [loaded.model(**batch, output_hidden_states=True) for loaded in (first, second)]
    one, other = ([o.hidden_states[-1], *([] if first.missing else [o.logits])] for o in outputs)
    mask = batch["attention_mask"].bool()
    pairs = [(one[0][mask], other[0][mask]), *zip(one[1:], other[1:], strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs)


def _language_model_loss(
    directory: Path | str, specials: Specials, batch: dict[str, torch.Tensor], seed: int, trust: bool
) -> float | None:
    """Mean cross-entropy of the checkpoint's masked or causal head on `batch`; None if it has no such head."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    place = os.fspath(directory)
    config = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=trust)
    config.pad_token_id = specials.pad
    architecture = (getattr(config, "architectures", None) or [""])[0]
    factory: Any
    if architecture.endswith(("ForMaskedLM", "ForPreTraining")) and specials.mask is not None:
        factory, (shown, targets) = AutoModelForMaskedLM, _masked(batch, specials, specials.mask, seed)
    elif architecture.endswith(("ForCausalLM", "LMHeadModel")):
        factory, (shown, targets) = AutoModelForCausalLM, _shifted(batch)
    else:
        return None
    if trust and factory.__name__ not in (getattr(config, "auto_map", None) or {factory.__name__}):
        return None
    settings = {"dtype": torch.float32, "local_files_only": True, "use_safetensors": True, "output_loading_info": True}
    settings["trust_remote_code"] = trust
    model, info = factory.from_pretrained(place, config=config, **settings)
    if info["missing_keys"]:
        return None
    with torch.inference_mode():
        logits = model.eval()(input_ids=shown, attention_mask=batch["attention_mask"]).logits
    return float(torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets))


def _masked(
    batch: dict[str, torch.Tensor], specials: Specials, mask: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Input with some tokens of the sequences masked, and these tokens as targets (the rest -100)."""
    ids = batch["input_ids"]
    inner = batch["attention_mask"].bool() & ~torch.isin(ids, torch.tensor([*specials.prefix, *specials.suffix]))
    hidden = inner & torch.from_numpy(np.random.default_rng(seed).random(tuple(ids.shape)) < MASKED_FRACTION)
    if not hidden.any():
        hidden = inner
    return ids.masked_fill(hidden, mask), ids.masked_fill(~hidden, -100)


def _shifted(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The input as it is, and each position's next token as its target (-100 for padding and at the end)."""
    ids, padding = batch["input_ids"], ~batch["attention_mask"].bool()
    return ids, torch.nn.functional.pad(ids.masked_fill(padding, -100)[:, 1:], (0, 1), value=-100)
