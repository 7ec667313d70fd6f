"""Autocast for mixtures of experts, whose grouped matrix products torch's autocast does not cover."""

from typing import Any

import torch
from transformers.integrations.moe import ALL_EXPERTS_FUNCTIONS, grouped_mm_experts_forward

ALIGNED = 8
"""The 16-bit kernel needs matrices whose sides are multiples of this."""


class _Cast:
    """A view of an experts module whose tensors are converted to another number format."""

    def __init__(self, experts: Any, dtype: torch.dtype) -> None:
        self._experts, self._dtype = experts, dtype

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._experts, name)
        return value.to(self._dtype) if isinstance(value, torch.Tensor) else value


def _autocast_experts(experts: Any, states: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """transformers' grouped matrix products, in autocast's format if there is a kernel for it."""
    kind = states.device.type
    matrices = [p for p in experts.parameters() if p.ndim == 3]
    if torch.is_autocast_enabled(kind) and all(side % ALIGNED == 0 for p in matrices for side in p.shape[1:]):
        experts = _Cast(experts, torch.get_autocast_dtype(kind))
    output: torch.Tensor = grouped_mm_experts_forward(experts, states, index, weights)
    return output


def autocast_experts() -> None:
    """Make the experts of every model in this process respect autocast.

    By default they compute in the format of their weights; in fp32 that is a loop over the experts, which synchronises
    with the GPU, is slower, and can't be captured in a CUDA graph.
    """
    ALL_EXPERTS_FUNCTIONS["grouped_mm"] = _autocast_experts
