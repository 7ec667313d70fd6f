"""The certificate of a checkpoint: a checkpoint that loads without an error may still have random weights.

Checked once for each model, before any training: no weights but the head's are missing; two loads with different seeds
agree (random weights would not); the checkpoint's own language-model head, if it has one, predicts real DNA better than
a uniform guess; and its tokenizer decodes what it has encoded.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dnalm.errors import UserError
from dnalm.sequence.markov import ORDER, bits_per_base
from dnalm.training.engine.feeds import Examples
from dnalm.training.engine.windows import cut
from dnalm.training.models.loading import Loaded, check_vocabulary, load, token_limit, window_size
from dnalm.training.models.remote_code import HINT, sources
from dnalm.training.models.tokenization import in_memory
from dnalm.training.models.tokenizers import Specials, kmer_of, load_tokenizer, specials_of
from dnalm.training.objectives.base import SEQUENCE_CLASS, SEQUENCE_MODEL, Head, Objective

PROBES = 32
"""Number of sequences that the checks use."""

FITTED = 1000
"""Maximal number of sequences that the Markov chain is fitted on; they do not include the probes."""

MASKED_FRACTION = 0.15

MARGIN = 0.01
"""How far below a uniform guess's loss a trained head's must be, relatively; random weights scatter by about 0.005."""

SEEDS = (1, 2)
"""Seeds of missing weights in the two loads; the first also draws the probes and the masked tokens."""


def certify(
    directory: Path | str, sequences: Sequence[str], max_tokens: int | None = None, trust: bool = False
) -> dict[str, Any]:
    """Check a checkpoint and its tokenizer on real sequences; return the content of its certificate.json.

    sequences: at least one; `PROBES` of them (half, if there are few), drawn at random, are the probes of the model,
    each cut to one input; of the others, at most `FITTED` are used to fit a Markov chain. trust: run the code that
    comes with the checkpoint. Raises `UserError` for weights that are missing or random, and for a tokenizer with ids
    beyond the model's embeddings.

    `language_model` has `objective`, `masked` or `causal`; `loss`, the mean cross-entropy of masked or next tokens in
    nats; `uniform_loss`, ln(embeddings); `bits_per_base`, loss / ln 2 * tokens per base of the probes; and
    `markov_bits_per_base`, of a chain of order `markov_order` on the same probes. A masked model should beat the chain:
    it sees both sides of a token, the chain only one.
    """
    tokenizer = load_tokenizer(directory, trust)
    specials = specials_of(tokenizer)
    head = Head(SEQUENCE_CLASS, SEQUENCE_MODEL, None)
    loaded = load(directory, head, specials, SEEDS[0], trust)
    if loaded.missing_body:
        hint = f"; it comes with code, which was not run: {HINT}" if sources(directory) and not trust else ""
        raise UserError(
            f"{directory}: {len(loaded.missing_body)} weights of the model are not in the checkpoint"
            f" ({loaded.missing_body[0]} ...){hint}"
        )
    check_vocabulary(loaded.model, tokenizer, directory)
    probes, fitted = _draw_probes(sequences)
    tokens = in_memory(tokenizer, probes)
    size = window_size(token_limit(loaded.model, tokenizer, max_tokens), specials)
    windows = cut(tokens.lengths, size, "truncate", [""] * len(probes))
    batch = Examples(tokens, windows, specials).padded(np.arange(len(probes)))
    difference = _reload_difference(loaded, load(directory, head, specials, SEEDS[1], trust), batch)
    if difference > 0:
        raise UserError(f"{directory}: two loads give different outputs (by {difference:.3g}): some weights are random")
    bases = sum(map(len, probes))
    found = _language_model(directory, specials, batch, trust)
    if found is not None:
        objective, loss = found
        uniform = math.log(loaded.model.get_input_embeddings().num_embeddings)
        if not loss < uniform * (1 - MARGIN):
            raise UserError(
                f"{directory}: its language-model loss on real sequences is {loss:.3f}, a uniform guess has"
                f" {uniform:.3f}: the weights look random or belong to another tokenizer"
            )
        language_model = {
            "objective": objective,
            "loss": loss,
            "uniform_loss": uniform,
            "bits_per_base": loss / math.log(2) * len(tokens.ids) / bases,
            "markov_order": ORDER,
            "markov_bits_per_base": bits_per_base(fitted, probes) if fitted else None,
        }
    unknown = specials.unknown
    return {
        "missing": loaded.missing,
        "unexpected": loaded.unexpected,
        "reload_difference": difference,
        "language_model": language_model if found is not None else None,
        "tokenizer": {
            "tokens": len(tokens.ids),
            "unknown_tokens": 0 if unknown is None else tokens.count(unknown),
            "changed_by_round_trip": _changed_by_round_trip(tokenizer, probes, tokens),
        },
        "probes": {"sequences": len(probes), "bases": bases, "fitted": len(fitted)},
    }


def check_head(loaded: Loaded, objective: Objective, directory: Path | str) -> None:
    """Raise `UserError` if a model that is to be used without training has a head that is not from the checkpoint."""
    if loaded.missing:
        classes = loaded.model.config.num_labels
        size = f" for {classes} classes" if objective.name == "classification" else ""
        raise UserError(
            f"{directory}: has no trained {objective.name} head{size} ({loaded.missing[0]} is missing or of another"
            " size); use a recipe that trains"
        )


def _draw_probes(sequences: Sequence[str]) -> tuple[list[str], list[str]]:
    """The probes, and the other sequences that the Markov chain is fitted on."""
    # random: in some tables every second record is the negative of the one before it
    order = np.random.default_rng(SEEDS[0]).permutation(len(sequences))
    number = min(PROBES, -(-len(order) // 2))
    return [sequences[i] for i in order[:number]], [sequences[i] for i in order[number : number + FITTED]]


def _changed_by_round_trip(tokenizer: Any, probes: Sequence[str], tokens: Any) -> int | None:
    """Number of probes that change when encoded and decoded; None for overlapping tokens, which cannot be decoded."""
    if kmer_of(tokenizer) is not None:
        return None
    changed = 0
    for number, sequence in enumerate(probes):
        ids = tokens.ids[tokens.offsets[number] : tokens.offsets[number + 1]].tolist()
        text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        changed += "".join(text.split()) != sequence
    return changed


def _reload_difference(first: Loaded, second: Loaded, batch: dict[str, torch.Tensor]) -> float:
    """Largest difference of last hidden states, and of logits if the head was not random."""
    with torch.inference_mode():
        outputs = [loaded.model(**batch, output_hidden_states=True) for loaded in (first, second)]
    one, other = ([o.hidden_states[-1], *([] if first.missing else [o.logits])] for o in outputs)
    mask = batch["attention_mask"].bool()
    pairs = [(one[0][mask], other[0][mask]), *zip(one[1:], other[1:], strict=True)]
    return max(float((a - b).abs().max()) for a, b in pairs)


def _language_model(
    directory: Path | str, specials: Specials, batch: dict[str, torch.Tensor], trust: bool
) -> tuple[str, float] | None:
    """The objective of the checkpoint's own head, `masked` or `causal`, and its mean cross-entropy on `batch`, in nats.

    None if it has no language-model head.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

    place = os.fspath(directory)
    config = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=trust)
    config.pad_token_id = specials.pad
    architecture = (getattr(config, "architectures", None) or [""])[0]
    factory: Any
    if architecture.endswith(("ForMaskedLM", "ForPreTraining")) and specials.mask is not None:
        objective, factory = "masked", AutoModelForMaskedLM
        shown, targets = _masked(batch, specials, specials.mask, SEEDS[0])
    elif architecture.endswith(("ForCausalLM", "LMHeadModel")):
        objective, factory = "causal", AutoModelForCausalLM
        shown, targets = _shifted(batch)
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
    return objective, float(torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets))


def _masked(
    batch: dict[str, torch.Tensor], specials: Specials, mask: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The input with some tokens masked, and these tokens as targets (the rest -100)."""
    ids = batch["input_ids"]
    inner = batch["attention_mask"].bool() & ~torch.isin(ids, torch.tensor([*specials.prefix, *specials.suffix]))
    hidden = inner & torch.from_numpy(np.random.default_rng(seed).random(tuple(ids.shape)) < MASKED_FRACTION)
    if not hidden.any():
        hidden = inner
    return ids.masked_fill(hidden, mask), ids.masked_fill(~hidden, -100)


def _shifted(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The input unchanged, and each position's next token as its target (-100 for padding and at the end)."""
    ids, padding = batch["input_ids"], ~batch["attention_mask"].bool()
    return ids, torch.nn.functional.pad(ids.masked_fill(padding, -100)[:, 1:], (0, 1), value=-100)
