"""Models with an objective's head: build from an architecture, load from a checkpoint, save when finished."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from dnalm.errors import UserError
from dnalm.files import read_json
from dnalm.training.models.remote_code import brief, loading
from dnalm.training.models.tokenizers import Specials, length_limit
from dnalm.training.objectives.base import CAUSAL_CLASS, MASKED_CLASS, Head, head_of

_LEGACY_KEYS = frozenset({"rope_theta", "rope_scaling", "torch_dtype"})
"""Keys that transformers accepts but stores under another name."""


@dataclass(frozen=True)
class Loaded:
    """A model from a checkpoint, and how its weights match the architecture.

    missing: parameters of the model that the checkpoint lacks or has in another shape, now random; unexpected:
    parameters of the checkpoint that the model does not have. Both sorted.
    """

    model: Any
    missing: list[str]
    unexpected: list[str]

    @property
    def missing_body(self) -> list[str]:
        """Missing parameters that are not the head's (a pooler is counted with the head)."""
        prefix = f"{self.model.base_model_prefix}."
        return [name for name in self.missing if name.startswith(prefix) and not name.startswith(f"{prefix}pooler.")]


def build(architecture: Mapping[str, Any], head: Head, specials: Specials, vocabulary: int, seed: int) -> Any:
    """A model of an architecture with random weights drawn from `seed`; vocabulary: number of token embeddings."""
    from transformers import CONFIG_MAPPING, AutoConfig

    auto = _auto_class(head)
    settings = dict(architecture)
    kind = settings.pop("model_type")
    if kind not in CONFIG_MAPPING:
        raise UserError(f"architecture.model_type: unknown type '{kind}'{_nearest(kind, CONFIG_MAPPING)}")
    default = AutoConfig.for_model(kind)
    _check_direction(default, head)
    if type(default) not in auto._model_mapping:
        raise UserError(f"architecture.model_type: transformers has no '{kind}' that is {head.what}")
    known = {*default.to_dict(), *default.attribute_map, *_LEGACY_KEYS}
    for key in sorted(set(settings) - known):
        raise UserError(f"architecture.{key}: unknown key of {kind}{_nearest(key, known)}")
    if settings.get("output_router_logits"):
        raise UserError("architecture.output_router_logits: a router's auxiliary loss is not learnt; leave it out")
    settings |= {"vocab_size": vocabulary, "pad_token_id": specials.pad, **(head.settings or {})}
    if head.auto_class == CAUSAL_CLASS:
        # the architecture's own ids may be letters here, at which a generated sequence would end
        ends = {"bos_token_id": specials.prefix, "eos_token_id": specials.suffix}
        settings |= {key: next(iter(tokens), None) for key, tokens in ends.items()}
    torch.manual_seed(seed)
    try:
        return auto.from_config(AutoConfig.for_model(kind, **settings))
    except Exception as error:  # wrong sizes raise anything from TypeError to AssertionError
        raise UserError(f"architecture: transformers rejects it ({brief(error)})") from error


def with_random_weights(directory: Path | str, head: Head, specials: Specials, seed: int, trust: bool = False) -> Any:
    """A model of a checkpoint's architecture in fp32, all weights drawn from `seed`; the checkpoint's are not read.

    trust: run the code that comes with the checkpoint, if it needs that. Raises `UserError` if the directory has no
    config.json of a model with such a head.
    """
    from transformers import AutoConfig

    _check_config(Path(directory))
    torch.manual_seed(seed)
    with loading(directory, trust, f"no architecture of {head.what}"):
        config = AutoConfig.from_pretrained(os.fspath(directory), local_files_only=True, trust_remote_code=trust)
        _check_direction(config, head)
        config.pad_token_id = specials.pad
        for key, value in (head.settings or {}).items():
            setattr(config, key, value)
        return _auto_class(head).from_config(config, dtype=torch.float32, trust_remote_code=trust)


def load(directory: Path | str, head: Head, specials: Specials, seed: int, trust: bool = False) -> Loaded:
    """Load a checkpoint in fp32; a head that it lacks, or has in another size, is drawn from `seed`.

    Only safetensors are read, and code that comes with the checkpoint is run only if `trust`. Raises `UserError` if the
    directory has no such checkpoint.
    """
    from transformers import AutoConfig

    _check_files(Path(directory))
    place = os.fspath(directory)
    torch.manual_seed(seed)
    with loading(directory, trust, f"no checkpoint that loads as {head.what}"):
        config = AutoConfig.from_pretrained(place, local_files_only=True, trust_remote_code=trust)
        _check_direction(config, head)
        config.pad_token_id = specials.pad
        for key, value in (head.settings or {}).items():
            setattr(config, key, value)
        model, info = _auto_class(head).from_pretrained(
            place,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=trust,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    model.eval()
    missing = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    return Loaded(model, sorted(missing), sorted(info["unexpected_keys"]))


def load_finished(directory: Path | str, specials: Specials, trust: bool = False) -> Any:
    """Load a finished model: a language model if its config.json says so, else a sequence model.

    Raises `UserError` if any of its weights is missing.
    """
    _check_config(Path(directory))
    architectures = read_json(Path(directory) / "config.json").get("architectures") or [""]
    loaded = load(directory, head_of(architectures[0]), specials, seed=0, trust=trust)
    if loaded.missing:
        raise UserError(f"{directory}: not a finished model, it lacks {_some(loaded.missing)}; fine-tune it first")
    return loaded.model


def save(model: Any, tokenizer: Any, directory: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write a model and its tokenizer for `from_pretrained`; weights: to use instead of the model's own."""
    with written(directory):
        model.save_pretrained(directory, state_dict=weights)
        tokenizer.save_pretrained(directory)


@contextmanager
def written(directory: Path) -> Iterator[None]:
    """A context for writing safetensors: they get the mode of other files, and a failed write is an `OSError`."""
    try:
        yield
        mode = next(directory.glob("*config.json")).stat().st_mode
        for path in directory.glob("*.safetensors"):
            path.chmod(mode)  # safetensors creates private files
    except SafetensorError as error:
        if (code := re.search(r"os error (\d+)", str(error))) is None:
            raise
        # for example a full disk: raise it like any other operating-system error
        raise OSError(int(code[1]), os.strerror(int(code[1])), os.fspath(directory)) from error


def token_limit(model: Any, tokenizer: Any, max_tokens: int | None) -> int | None:
    """Maximal tokens of an input, special tokens included: the smallest limit of model, tokenizer and user."""
    limits = (position_limit(model), length_limit(tokenizer), max_tokens)
    return min((limit for limit in limits if limit is not None), default=None)


def window_size(limit: int | None, specials: Specials, segments: int = 1) -> int:
    """Tokens of a record that fit into an input of `limit` tokens; 2^40, more than any record has, without a limit."""
    if limit is None:
        return 2**40
    added = specials.added(segments)
    if limit <= added:
        raise UserError(f"max_tokens: {limit} leaves no room beside {added} special tokens")
    return limit - added


def position_limit(model: Any) -> int | None:
    """Number of positions of a model, None if it has no such limit.

    RoBERTa-like models count positions from the padding id + 1, so that many cannot be used.
    """
    for module in model.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None:
            return table.num_embeddings - table.padding_idx - 1
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def check_vocabulary(model: Any, tokenizer: Any, place: Path | str) -> None:
    """Raise `UserError` for a tokenizer with ids beyond the model's embeddings."""
    largest, embeddings = max(tokenizer.get_vocab().values()), model.get_input_embeddings().num_embeddings
    if largest >= embeddings:
        raise UserError(
            f"{place}: the tokenizer has ids up to {largest} and the model {embeddings} embeddings; they don't belong"
            " together"
        )


def label_names(model: Any) -> list[str]:
    """Names of a model's classes, in order."""
    return [str(model.config.id2label[i]) for i in range(model.config.num_labels)]


def _check_config(directory: Path) -> None:
    if not directory.is_dir():
        raise UserError(f"{directory}: no such directory; a model was expected there")
    if not (directory / "config.json").is_file():
        raise UserError(f"{directory}: has no model (no config.json)")


def _check_files(directory: Path) -> None:
    _check_config(directory)
    if not any(directory.glob("*.safetensors")):
        pickled = ", ".join(sorted(path.name for path in directory.glob("*.bin")))
        why = f"only {pickled}, a pickle, which may run code: convert it first" if pickled else "no *.safetensors"
        raise UserError(f"{directory}: has no weights ({why})")


def _check_direction(config: Any, head: Head) -> None:
    """Raise `UserError` for a causal head on an encoder, or a masked one on a decoder.

    transformers would put a causal head on a BERT, whose attention then sees the tokens that it is to predict.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    kind, own = config.model_type, getattr(config, "auto_map", None) or {}
    if head.auto_class in own:
        return
    if head.auto_class == CAUSAL_CLASS and type(config) in MODEL_FOR_MASKED_LM_MAPPING:
        raise UserError(
            f"recipe.objective: causal needs a decoder, such as llama, mixtral or gpt2; '{kind}' is an encoder, which"
            " sees the tokens that it is to predict; use objective masked"
        )
    decoder = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING
    if head.auto_class == MASKED_CLASS and decoder:
        raise UserError(
            f"recipe.objective: masked needs an encoder, such as bert, modernbert or esm; '{kind}' is a decoder, which"
            " sees only the tokens before one; use objective causal"
        )


def _auto_class(head: Head) -> Any:
    import transformers

    return getattr(transformers, head.auto_class)


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
