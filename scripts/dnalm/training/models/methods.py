"""Training methods: the head only, low-rank adapters (LoRA, QLoRA) and the head, or all weights."""

from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from dnalm.config.recipes import Lora
from dnalm.errors import UserError
from dnalm.files import write_json
from dnalm.training.models.loading import written
from dnalm.training.models.remote_code import brief
from dnalm.training.objectives.base import CAUSAL_CLASS, SEQUENCE_CLASS, head_of

ADAPTABLE = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv1d, Conv1D)
"""Kinds of layers that LoRA can adapt."""

ADAPTING = ("lora", "qlora")
"""Methods that train adapters; `merge` makes their finished model."""

ADAPTER = "adapter"
"""Folder of the adapter within a finished model."""

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of an adapter, as peft names them."""


def head(model: Any) -> list[str]:
    """Names of the modules of a model's head: all outside its body, and the body's pooler."""
    prefix = model.base_model_prefix
    outside = [name for name, module in model.named_children() if name != prefix and [*module.parameters()]]
    pooler = getattr(getattr(model, prefix), "pooler", None)
    return outside + ([f"{prefix}.pooler"] if isinstance(pooler, torch.nn.Module) else [])


def prepare(model: Any, method: str, lora: Lora | None, seed: int, device: torch.device | None = None) -> Any:
    """The model to train: `model` itself, or a peft model around it for the methods in `ADAPTING`.

    lora: None for the defaults. With `qlora` the linear layers of the body are quantised on `device`, which must be the
    GPU that will train; the rest of the model stays where it is.
    """
    if method == "qlora":
        return adapt(model, lora or Lora(), seed, quantise_on=_check_can_quantise(device))
    if method == "lora":
        return adapt(model, lora or Lora(), seed)
    return freeze_body(model) if method == "frozen" else model


def freeze_body(model: Any) -> Any:
    """Freeze all but the head."""
    model.requires_grad_(False)
    for name in head(model):
        model.get_submodule(name).requires_grad_(True)
    return model


def trainable_parameters(model: Any) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def quantised_parameters(model: Any) -> dict[str, Any] | None:
    """How many parameters of a model from `prepare` are stored in 4 bits, for its run.json; None if none are.

    `quantised`: their number; `not_quantised`: number of frozen parameters in full precision, by name.
    """
    if not hasattr(model, "get_base_model") or not _in_4_bits(model.get_base_model()):
        return None
    from dnalm.training.models.quantisation import Linear

    layers = [layer for layer in model.modules() if isinstance(layer, Linear)]
    left: Counter[str] = Counter()
    for name, parameter in model.get_base_model().named_parameters():
        # frozen parameters, without the untrained copies that peft keeps of trained modules
        if not parameter.requires_grad and parameter.is_floating_point() and ".original_module." not in name:
            plain = name.replace(".base_layer", "")
            left[_within_layer(plain) if parameter.ndim > 1 else "biases and norms"] += parameter.numel()
    return {
        "quantised": sum(x.in_features * x.out_features for x in layers),
        "not_quantised": dict(sorted(left.items())),
    }


def adapt(model: Any, lora: Lora, seed: int, quantise_on: torch.device | None = None) -> Any:
    """Add adapters drawn from `seed` to `model`; only they, the head and `modules_to_save` are trainable.

    A language model's head is not trained unless `modules_to_save` names it.

    quantise_on: device on which to quantise the linear layers that are not trained (QLoRA). Returns a peft model around
    `model`. Raises `UserError` for a target that the model does not have, naming those it has.
    """
    from peft import LoraConfig, get_peft_model

    # a language model's head comes with it, and may share its weights with the embeddings
    of_sequences = head_of(type(model).__name__).auto_class == SEQUENCE_CLASS
    also = _found("modules_to_save", lora.modules_to_save, dict(model.named_modules()))
    saved = _outermost([*(head(model) if of_sequences else []), *also])
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, ADAPTABLE)}
    layers = {name: layer for name, layer in layers.items() if not _inside(name, saved)}
    parameters = {name: p for name, p in model.named_parameters() if p.ndim in (2, 3) and not _inside(name, saved)}
    if quantise_on is not None:
        # no subclasses: they may use their weight in another way
        linear = [name for name, layer in layers.items() if type(layer) is torch.nn.Linear]
        linear = [name for name in linear if not _inside(name, head(model))]
        if not linear:
            raise UserError(f"recipe.method: qlora finds no linear layer in a '{model.config.model_type}'; use lora")
        parameters = {name: p for name, p in parameters.items() if name.removesuffix(".weight") not in linear}
    offer = _offer(layers, parameters)
    modules = lora.target_modules
    if modules is None:
        modules = [] if lora.target_parameters else _default_modules(model.config.model_type, offer)
    _check_are_layers(modules, layers, parameters)
    _found("target_modules", modules, layers, offer)
    _found("target_parameters", lora.target_parameters, parameters, offer)
    if quantise_on is not None:
        from dnalm.training.models.quantisation import quantise

        quantise(model, linear, quantise_on)
    settings = LoraConfig(
        task_type=_task(model),
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules,
        target_parameters=lora.target_parameters,
        modules_to_save=list(saved) or None,
    )
    torch.manual_seed(seed)
    try:
        return get_peft_model(model, settings)
    except (ValueError, NotImplementedError) as error:
        raise UserError(f"recipe.lora: peft rejects it ({brief(error)})") from error


def _task(model: Any) -> str | None:
    """peft's name of what a model is for, by which it forwards a call; None, a plain forward, for masked models."""
    return {SEQUENCE_CLASS: "SEQ_CLS", CAUSAL_CLASS: "CAUSAL_LM"}.get(head_of(type(model).__name__).auto_class)


def save_adapter(model: Any, base: str | None, directory: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write the adapters and other trained modules; base: the checkpoint's name for the adapter's config.

    weights: the whole model's `state_dict()`, to use instead of the model's own.

    Adapters trained with 4-bit weights give the finished model's scores only if the base is quantised in the same way.
    peft's own `save_pretrained` would write this machine's path of the checkpoint, and sets in random order.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    directory.mkdir(exist_ok=True)
    settings = model.peft_config["default"].to_dict()
    settings = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    settings |= {"base_model_name_or_path": base, "inference_mode": True}
    settings["modules_to_save"] = sorted(set(settings["modules_to_save"] or []))
    write_json(directory / CONFIG, settings)
    tensors = get_peft_model_state_dict(model, state_dict=weights, save_embedding_layers=False)
    with written(directory):
        save_file({name: t.contiguous().cpu() for name, t in tensors.items()}, directory / WEIGHTS, {"format": "pt"})


def merge(model: Any, directory: Path) -> Any:
    """The plain model, with the adapters saved in `directory` added to its weights; do not use `model` afterwards.

    4-bit weights are dequantised to fp32 and the adapters are added to these, not to the checkpoint's weights: the
    adapters were trained, and the model validated, with the rounded weights. The result does not need bitsandbytes.
    """
    from peft import get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    if _in_4_bits(model.get_base_model()):
        from dnalm.training.models.quantisation import dequantise

        settings = model.peft_config["default"]
        # peft would round the merged weights to 4 bits again
        model = get_peft_model(dequantise(model.unload()), settings)
    model.to("cpu")
    set_peft_model_state_dict(model, load_file(directory / WEIGHTS))
    return model.merge_and_unload()


def _in_4_bits(model: Any) -> bool:
    return bool(getattr(model, "is_loaded_in_4bit", False))


def _check_can_quantise(device: torch.device | None) -> torch.device:
    if device is None or device.type != "cuda":
        raise UserError("recipe.method: qlora needs a CUDA GPU; use lora")
    if find_spec("bitsandbytes") is None:
        raise UserError("recipe.method: qlora needs the package bitsandbytes; pip install bitsandbytes, or use lora")
    return device


def _check_are_layers(modules: Iterable[str], layers: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Raise `UserError` for a target module that is a tensor of several matrices, such as fused experts."""
    for module in modules:
        stacks = [name for name, p in parameters.items() if p.ndim == 3 and f".{name}".endswith(f".{module}")]
        if stacks and not any(f".{name}".endswith(f".{module}") for name in layers):
            raise UserError(
                f"recipe.lora.target_modules: '{module}' is not a layer but a tensor of several matrices; use"
                f" target_parameters: [{_within_layer(stacks[0])}]"
            )


def _default_modules(kind: str, offer: str) -> list[str]:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS

    # given explicitly, because peft does not find its own default in a Mixtral
    modules = DEFAULTS.get(kind)
    if not isinstance(modules, list):
        raise UserError(f"recipe.lora.target_modules: there is no default for '{kind}'; set it; {offer}")
    return modules


def _found(key: str, wanted: Iterable[str] | None, known: Mapping[str, Any], offer: str = "") -> list[str]:
    """The full names in `known` that equal or end with a name in `wanted`; `UserError` if one matches nothing."""
    names: list[str] = []
    for name in wanted or []:
        matches = [full for full in known if full == name or full.endswith(f".{name}")]
        if not matches:
            raise UserError(f"recipe.lora.{key}: the model has no '{name}' to train" + (f"; {offer}" if offer else ""))
        names += matches
    return names


def _inside(name: str, modules: Iterable[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _outermost(names: list[str]) -> list[str]:
    return sorted({name for name in names if not _inside(name, (other for other in names if other != name))})


def _offer(layers: Mapping[str, Any], parameters: Mapping[str, torch.nn.Parameter]) -> str:
    """What LoRA can adapt, in words: layers, and tensors of several matrices (fused experts)."""
    names = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in layers}))
    stacks = sorted({_within_layer(name) for name, parameter in parameters.items() if parameter.ndim == 3})
    fused = f"; target_parameters reaches {', '.join(stacks)} (several matrices in one tensor)" if stacks else ""
    return f"target_modules can be {names}{fused}"


def _within_layer(name: str) -> str:
    """A parameter's name without its layer's: `model.layers.0.mlp.experts.w` -> `mlp.experts.w`."""
    parts = name.split(".")
    return ".".join(parts[max((at + 1 for at, part in enumerate(parts) if part.isdigit()), default=0) :])
