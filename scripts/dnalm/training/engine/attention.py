"""Attention over sequences packed into one row, each of which attends only to itself.

Registered with transformers as `packed`. A model's body passes the sequences' boundaries on as the keyword arguments
`cu_seq_lens_q` etc., which transformers has for FlashAttention (`FlashAttentionKwargs`). transformers makes no mask for
an attention without a registered mask function, so only the boundaries separate the sequences, and it is an error if
they are missing.
"""

from typing import Any

import torch
from transformers import AttentionInterface

from dnalm.training.engine.kernels import available
from dnalm.training.engine.kernels import packed_attention as small_tiles

PACKED = "packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Self-attention of the sequences of one row.

    query: (1, heads, T, size); key, value: (1, key heads, T, size). cu_seq_lens_q: (n + 1,) int32, where each sequence
    ends, 0 first; max_length_q: length of the longest sequence, or more. sliding_window: a token attends to tokens less
    than this many positions away (w tokens in a causal model, else 2 w - 1). Returns (1, T, heads, size).

    On a CUDA GPU in 16 bits a kernel computes it, with no work between sequences: the one for short sequences if it is
    available, else FlashAttention. Elsewhere a mask is used.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        raise ValueError("packed attention needs the sequences' boundaries")
    if attention_mask is not None:
        raise ValueError("packed attention takes no mask")
    if unknown := [name for name in ("softcap", "s_aux", "position_bias") if others.get(name) is not None]:
        raise ValueError(f"packed attention has no {unknown[0]}")
    causal = is_causal if is_causal is not None else bool(getattr(module, "is_causal", True))
    reach = None if sliding_window is None else sliding_window - 1
    kernel = kernel_dtype(query)
    if kernel is not None:
        rows = query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1)
        query, key, value = (row.to(kernel) for row in rows)
        return by_kernel(query, key, value, cu_seq_lens_q, max_length_q, scaling, dropout, causal, reach)[None], None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    seen = block_mask(cu_seq_lens_q, query.shape[2], causal, reach)
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, dropout_p=dropout, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


def kernel_dtype(query: torch.Tensor) -> torch.dtype | None:
    """The 16-bit type in which a kernel can compute this attention; None if it can't."""
    if not query.is_cuda:
        return None
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else query.dtype
    return dtype if dtype in (torch.bfloat16, torch.float16) else None


def by_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float | None,
    dropout: float,
    causal: bool,
    reach: int | None,
) -> torch.Tensor:
    """Attention by the kernel for short sequences, or by FlashAttention; the arguments are those of `varlen`."""
    if available(query.device, query.dtype, query.shape[2]):
        window = (-1, -1) if reach is None else (reach, reach)
        return small_tiles(query, key, value, ends, dropout, causal, window, scaling)
    return varlen(query, key, value, ends, longest, scaling, dropout, causal, reach)


def varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scaling: float | None,
    dropout: float,
    causal: bool,
    reach: int | None,
) -> torch.Tensor:
    """FlashAttention over sequences of various lengths: query (T, heads, size), key and value (T, key heads, size).

    ends: where each sequence ends, 0 first; longest: length of the longest; reach: how many tokens to either side a
    token attends to, None for all. This is the operator inside `torch.nn.attention.varlen.varlen_attn`, which has no
    argument for dropout (and whose arguments for windows differ between versions).
    """
    out: torch.Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        ends,
        ends,
        longest,
        longest,
        dropout,
        causal,
        False,
        scale=scaling,
        window_size_left=-1 if reach is None else reach,
        window_size_right=0 if causal else -1 if reach is None else reach,
    )[0]
    return out


def block_mask(ends: torch.Tensor, tokens: int, causal: bool, reach: int | None) -> torch.Tensor:
    """Which token (row) attends to which (column), for sequences that end at `ends`; (tokens, tokens) bool.

    Each token attends at least to itself, so that no softmax is empty.
    """
    place = torch.arange(tokens, device=ends.device)
    sequence = segments(ends, tokens)
    seen = sequence[:, None] == sequence
    ahead = place - place[:, None]
    if causal:
        seen &= ahead <= 0
    if reach is not None:
        seen &= ahead.abs() <= reach
    return seen


def segments(ends: torch.Tensor, tokens: int) -> torch.Tensor:
    """The index of the sequence that each token of a row belongs to, (tokens,)."""
    place = torch.arange(tokens, device=ends.device, dtype=ends.dtype)
    return torch.searchsorted(ends[1:].contiguous(), place, right=True)


AttentionInterface.register(PACKED, packed_attention)
