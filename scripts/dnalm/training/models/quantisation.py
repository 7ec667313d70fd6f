"""4-bit weights for QLoRA (Dettmers et al., 2023, arXiv:2305.14314); needs bitsandbytes."""

from collections.abc import Iterable
from typing import Any

import bitsandbytes as bnb
import torch


class Linear(bnb.nn.Linear4bit):  # type: ignore[misc]
    """A frozen linear layer whose weight is in 4-bit normal floats (NF4) with double quantisation.

    It computes in its input's format, or autocast's, as `torch.nn.Linear` does. (bitsandbytes fixes the format at the
    first call and rounds the bias to it, so that the saved model would differ from the validated one.)
    """

    def __init__(self, layer: torch.nn.Linear, device: torch.device) -> None:
        """Quantise the weights of `layer` on `device`."""
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        weight = bnb.nn.Params4bit(
            layer.weight.detach(), requires_grad=False, compress_statistics=True, quant_type="nf4"
        )
        self.weight = weight.to(device)  # quantises
        if layer.bias is not None:
            self.bias = torch.nn.Parameter(layer.bias.detach().to(device), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (..., out) of inputs (..., in)."""
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        output: torch.Tensor = bnb.matmul_4bit(x.to(dtype), self.weight, self.weight.quant_state, bias=bias)
        return output

    def dequantised(self) -> torch.nn.Linear:
        """A plain layer with the rounded weights of this one."""
        plain = torch.nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta")
        plain.weight = torch.nn.Parameter(
            bnb.functional.dequantize_4bit(self.weight.data, self.weight.quant_state), requires_grad=False
        )
        plain.bias = self.bias
        return plain


def quantise(model: Any, names: Iterable[str], device: torch.device) -> None:
    """Replace a model's linear layers `names` by 4-bit layers on `device`."""
    for name in names:
        model.set_submodule(name, Linear(model.get_submodule(name), device))
    model.is_loaded_in_4bit = True  # peft and transformers check this


def dequantise(model: Any) -> Any:
    """Replace a model's 4-bit layers by plain ones with the rounded weights, in place; return the model."""
    for name, layer in [*model.named_modules()]:
        if isinstance(layer, Linear):
            model.set_submodule(name, layer.dequantised())
    del model.is_loaded_in_4bit
    return model
