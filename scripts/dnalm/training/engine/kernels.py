"""Attention for rows of short sequences: a torch operator around the Triton kernels in `tiles`.

It works with torch.compile and CUDA graphs: its control flow does not depend on the data, and it never synchronises.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch

HEAD_SIZES = (16, 32, 64, 128)


@dataclass(frozen=True)
class Tile:
    """Launch parameters of a kernel: tokens in a tile (a power of two, at least 16), warps, pipeline stages."""

    block: int
    warps: int
    stages: int = 1


FORWARD = Tile(64, 4)
BACKWARD = Tile(64, 4)
"""The fastest of nine on an H100, for rows of 16 to 1,024 sequences of 33 tokens on average."""


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def available(device: torch.device, dtype: torch.dtype, head_size: int) -> bool:
    """Whether this attention runs on this device, for tensors of this type and heads of this size."""
    return (
        device.type == "cuda"
        and importlib.util.find_spec("triton") is not None
        and torch.cuda.get_device_capability(device) >= (8, 0)
        and dtype in (torch.bfloat16, torch.float16, torch.float32)
        and head_size in HEAD_SIZES
    )


def packed_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: torch.Tensor,
    dropout: float = 0.0,
    causal: bool = False,
    window: tuple[int, int] = (-1, -1),
    scale: float | None = None,
) -> torch.Tensor:
    """Attention within each sequence of a row, (T, heads, size).

    query: (T, heads, size); key, value: (T, key heads, size), where heads is a multiple of key heads. boundaries:
    (n + 1,) int32, where each sequence ends, 0 first and T last; a sequence may be empty. window: how many tokens
    before and after itself a token attends to, -1 for all; causal: none after itself. scale: of the scores,
    1 / sqrt(size) by default.

    dropout: the fraction of weights dropped. Its seed is drawn from the device's default generator, so a captured graph
    has new masks at each replay.
    """
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be at least 0 and less than 1, not {dropout}")
    if query.shape[1] % key.shape[1]:
        raise ValueError(f"{key.shape[1]} key heads do not divide {query.shape[1]} heads")
    left, right = window
    seed = torch.randint(2**63 - 1, (1,), dtype=torch.int64, device=query.device) if dropout else None
    scale = query.shape[2] ** -0.5 if scale is None else scale
    right = 0 if causal else right
    out: torch.Tensor = forward(query, key, value, boundaries, seed, dropout, left, right, scale)[0]
    return out


@torch.library.custom_op("dnalm::packed_attention", mutates_args=())
def forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: torch.Tensor,
    seed: torch.Tensor | None,
    dropout: float,
    left: int,
    right: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The attention, (T, heads, size), and the base-2 logarithm of the softmax's sums, (heads, T) float32.

    seed: (1,) int64, which determines the dropout mask; None without dropout.
    """
    from dnalm.training.engine import tiles

    query, key, value = (rows_together(tensor) for tensor in (query, key, value))
    out, sums = _like_forward(query)
    tensors = (query, key, value, out, sums, boundaries, seed)
    _launch(tiles.forward_program, FORWARD, query.shape[1], tensors, query, key, value, dropout, left, right, scale)
    return out, sums


@torch.library.custom_op("dnalm::packed_attention_backward", mutates_args=())
def backward(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    out: torch.Tensor,
    sums: torch.Tensor,
    boundaries: torch.Tensor,
    seed: torch.Tensor | None,
    dropout: float,
    left: int,
    right: int,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of query, key and value, from that of `out`, (T, heads, size)."""
    from dnalm.training.engine import tiles

    query, key, value = (rows_together(tensor) for tensor in (query, key, value))
    grads = _like_backward(query, key, value)
    tensors = (query, key, value, out, sums, grad.contiguous(), *grads, boundaries, seed)
    _launch(tiles.backward_program, BACKWARD, key.shape[1], tensors, query, key, value, dropout, left, right, scale)
    return grads


def _launch(
    program: Any,
    tile: Tile,
    heads: int,
    tensors: tuple[torch.Tensor | None, ...],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    left: int,
    right: int,
    scale: float,
) -> None:
    """Start a program for each possible tile of the sequences, and each of `heads`."""
    count, threshold = len(tensors[-2]) - 1, int(dropout * 2**32)  # type: ignore[arg-type]
    with torch.cuda.device_of(query):
        program[((len(query) // tile.block + count) * heads,)](
            *tensors,
            count,
            len(query),
            scale,
            *(stride for tensor in (query, key, value) for stride in tensor.stride()[:2]),
            HEADS=query.shape[1],
            GROUP=query.shape[1] // key.shape[1],
            D=query.shape[2],
            LEFT=left,
            RIGHT=right,
            THRESHOLD=threshold,
            KEEP=1 - threshold / 2**32,
            BLOCK=tile.block,
            num_warps=tile.warps,
            num_stages=tile.stages,
        )


def rows_together(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, copied if its last dimension is not contiguous."""
    return tensor if tensor.stride(2) == 1 else tensor.contiguous()


def _like_forward(query: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[1::-1], dtype=torch.float32)


def _like_backward(*tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    query, key, value = (tensor.new_empty(tensor.shape) for tensor in tensors)
    return query, key, value


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    query, key, value, boundaries, seed, *ctx.constants = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # otherwise a gradient of zeros is allocated for the sums
    ctx.save_for_backward(query, key, value, *output, boundaries, seed)


def _differentiate(ctx: Any, grad: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    return *backward(grad, *ctx.saved_tensors, *ctx.constants), *(None,) * 6


forward.register_fake(lambda query, *_: _like_forward(query))
backward.register_fake(lambda grad, query, key, value, *_: _like_backward(query, key, value))
forward.register_autograd(_differentiate, setup_context=_remember)
