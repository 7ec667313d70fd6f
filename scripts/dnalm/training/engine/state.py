"""The state of a training between two optimizer steps: reading it from a model and restoring it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class State:
    """A training between two optimizer steps.

    step: optimizer steps taken; epoch: epochs done, with the fraction of the current one; weights: from `weights_of`;
    optimizer, scheduler: their `state_dict()`; rng: `rng_state()` of each rank, in order; progress: everything else, of
    None, bool, int, float, str, tensors, and lists, tuples and dictionaries of these (no tensors in entries that the
    Trainer's state has too); best: the step of the best model so far, as given to `Store.keep_best`.
    """

    step: int
    epoch: float
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    scheduler: dict[str, Any]
    rng: list[dict[str, Any]]
    progress: dict[str, Any]
    best: int | None = None


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """The weights of a model to save, not copied; of a peft model only the adapters and `modules_to_save`.

    Names are those of `state_dict()`; of tied weights only the one that `save_pretrained` writes. (`save_pretrained`
    converts names for some architectures, such as ESM and Mixtral. `from_pretrained` and the Trainer both read the
    unconverted names; the Trainer cannot read the converted ones.)
    """
    if _is_adapted(model):
        from peft import get_peft_model_state_dict

        return dict(get_peft_model_state_dict(model, save_embedding_layers=False))
    from transformers.modeling_utils import remove_tied_weights_from_state_dict

    return dict(remove_tied_weights_from_state_dict(dict(model.state_dict()), model))


def load_weights(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy weights from `weights_of` or from the Trainer into a model, in place.

    Raises `ValueError` unless they are exactly the model's weights. May change the state of random generators.
    """
    if _is_adapted(model):
        from peft import set_peft_model_state_dict

        found: Any = set_peft_model_state_dict(model, dict(weights))
        missing, unexpected = set(weights_of(model)) - set(weights), found.unexpected_keys
    else:
        if set(weights) != (own := set(weights_of(model))):
            weights = _converted(model, weights)
        missing, unexpected = own - set(weights), model.load_state_dict(weights, strict=False).unexpected_keys
    if missing or unexpected:
        raise ValueError(f"the weights lack {sorted(missing)[:3]} and have {sorted(unexpected)[:3]} too many")


def config_writer(model: Any) -> Callable[[Path], None]:
    """A function that writes the configuration that belongs to `weights_of(model)` into a directory."""
    config = model.peft_config["default"] if _is_adapted(model) else model.config
    return lambda directory: config.save_pretrained(directory)


def rng_state() -> dict[str, Any]:
    """The states of this process's generators, in the Trainer's layout: Python's, numpy's, torch's on CPU and CUDA."""
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        several = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        state["cuda"] = torch.cuda.get_rng_state_all() if several else torch.cuda.get_rng_state()
    return state


def restore_rng(state: Mapping[str, Any]) -> None:
    """Restore the generators from an `rng_state`; states of GPUs that this machine does not have are ignored."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.random.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and "cuda" in state:
        if isinstance(state["cuda"], torch.Tensor):
            torch.cuda.set_rng_state(state["cuda"])
        else:
            for device, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
                torch.cuda.set_rng_state(one, device)


def _is_adapted(model: Any) -> bool:
    return hasattr(model, "peft_config")


def _converted(model: Any, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights under the model's own names, from those of `save_pretrained`, which differ for some architectures."""
    built = type(model).from_pretrained(
        None, config=model.config, state_dict=dict(weights), dtype=model.dtype, output_loading_info=True
    )
    other, info = built
    drawn = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    return {name: value for name, value in weights_of(other).items() if name not in drawn}
