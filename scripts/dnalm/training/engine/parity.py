"""Check, before training, that a model gives the same results packed: with the model itself on real sequences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from dnalm.training.engine.attention import block_mask, by_kernel
from dnalm.training.engine.feeds import WIDTH, Examples, Integers, pad
from dnalm.training.engine.packing import UNIT, PackedModel, lay_out, unwrapped
from dnalm.training.models.heads import reader_of
from dnalm.training.models.remote_code import brief

PROBES = 16
"""Maximal number of windows that a model is tried on."""

MOST_TOKENS = 4096
"""Maximal number of tokens of these windows together; the mask between them has the square of it."""

TOLERANCE = 1e-4
"""Largest allowed difference of logits, relative to the largest logit; fp32 sums depend on their order."""

TOLERANCE_16 = 2e-2
"""The tolerance if weights or the attention kernel have 16 bits."""


def prove(model: Any, examples: Examples, device: torch.device, autocast_dtype: torch.dtype | None) -> str | None:
    """The reason why `model` can't be packed; None if its packed logits equal those of each sequence alone.

    model: on `device`, may be a peft model; it is not changed. autocast_dtype: the type it will be trained in, None for
    its own. Any exception becomes a reason.
    """
    try:
        if reader_of(unwrapped(model)) is None:
            return f"{type(unwrapped(model)).__name__} is not among the architectures that can be packed"
        with _exact(model):
            reason = _differs(model, examples, device)
        if reason is None and device.type == "cuda" and autocast_dtype is not None:
            reason = _kernel_differs(unwrapped(model).config, device, autocast_dtype)
        return reason
    except Exception as error:  # an architecture not made for this raises anything
        return f"it does not run packed ({type(error).__name__}: {brief(error)})"


@contextmanager
def _exact(model: Any) -> Iterator[None]:
    """A context without dropout, gradients, autocast and TF32."""
    training, precision = model.training, torch.get_float32_matmul_precision()
    model.eval()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.no_grad(), torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        model.train(training)
        torch.set_float32_matmul_precision(precision)


def _differs(model: Any, examples: Examples, device: torch.device) -> str | None:
    """How packed logits differ from those of each window alone, or depend on another window; None if they don't."""
    chosen = _probes(examples.lengths)
    ids, lengths = examples.flat(chosen)
    if len(ids) > 4 * MOST_TOKENS:
        return f"its shortest windows are too long to be tried together ({len(ids)} tokens)"
    rows = np.split(ids, lengths.cumsum()[:-1])
    filler = examples.specials.pad
    alone = torch.cat([_logits_alone(model, row, filler, device) for row in rows])
    by_token = len(alone) == len(ids)
    owner = np.repeat(np.arange(len(rows)), lengths) if by_token else np.arange(len(rows))
    packed = PackedModel(model)
    try:
        together, other = (
            packed(_row(tokens, lengths, filler, device))[: len(alone)].float()
            for tokens in (ids, _with_one_changed(ids, lengths, examples))
        )
    finally:
        packed.restore()
    if not torch.isfinite(together).all():
        return "its packed logits are not all numbers"
    exact = all(p.dtype == torch.float32 for p in model.parameters() if p.is_floating_point())
    allowed = (TOLERANCE if exact else TOLERANCE_16) * float(alone.abs().max())
    if float((alone.max(dim=0).values - alone.min(dim=0).values).max()) <= 2 * allowed:
        return "its logits hardly depend on the sequence, so nothing can be shown"
    error = float((together - alone).abs().max())
    if error > allowed:
        return f"its packed logits differ from those of each sequence alone by {error:.2g} (allowed: {allowed:.2g})"
    leak = float((together - other).abs().cpu().numpy()[owner != len(rows) // 2].max(initial=0))
    if leak > allowed:
        return f"packed, one sequence changes the logits of others by {leak:.2g} (allowed: {allowed:.2g})"
    return None


def _probes(lengths: Integers) -> Integers:
    """Indices of up to `PROBES` windows, from short to long, with at most `MOST_TOKENS` tokens together if possible."""
    order = np.argsort(lengths, kind="stable")
    # the longest may have half of the tokens, so that there is room for others
    order = order[: max(2, int(np.searchsorted(lengths[order], MOST_TOKENS // 2, side="right")))]
    for count in range(min(PROBES, len(order)), 2, -1):
        chosen = order[np.linspace(0, len(order) - 1, count).astype(np.int64)]
        if lengths[chosen].sum() <= MOST_TOKENS:
            return chosen
    return order[:2]


def _logits_alone(model: Any, ids: Integers, filler: int, device: torch.device) -> torch.Tensor:
    """Logits of one sequence, (1, outputs), or of each of its tokens, (tokens, outputs)."""
    batch = pad(ids, np.array([len(ids)]), filler, WIDTH)
    logits: torch.Tensor = model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits
    return (logits if logits.ndim == 2 else logits[0, : len(ids)]).float()


def _row(ids: Integers, lengths: Integers, filler: int, device: torch.device) -> dict[str, torch.Tensor]:
    longest = int(lengths.max())
    tokens = (len(ids) // UNIT + 1) * UNIT  # always leaves some filler
    row = lay_out(ids, lengths, tokens, len(lengths) + UNIT, longest, filler)
    return {name: tensor.to(device) for name, tensor in row.items()}


def _with_one_changed(ids: Integers, lengths: Integers, examples: Examples) -> Integers:
    """The ids with the tokens of the middle window replaced by random ones of the windows."""
    prefix, suffix = len(examples.wrapper[0]), len(examples.wrapper[-1])
    changed = len(lengths) // 2
    start = int(lengths[:changed].sum())
    inner = slice(start + prefix, start + int(lengths[changed]) - suffix)
    special = [token for part in examples.wrapper for token in part]
    others = ids.copy()
    others[inner] = np.random.default_rng(0).choice(ids[~np.isin(ids, special)], size=len(ids[inner]))
    return others


def _kernel_differs(config: Any, device: torch.device, dtype: torch.dtype) -> str | None:
    """How the kernel's attention and gradients differ from those by a mask, at the model's head size; None if not."""
    config = config.get_text_config()
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    shared = getattr(config, "num_key_value_heads", None) or heads
    random = torch.Generator(device).manual_seed(0)
    lengths = (1, 40, 130, 7, 0, 78)
    ends = torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32, device=device)
    tokens, longest = sum(lengths), max(lengths)

    def draw(heads: int) -> torch.Tensor:
        made = torch.randn(tokens, heads, size, generator=random, device=device)
        return made.to(dtype).requires_grad_()

    for causal in (False, True):
        for reach in (None, 16):
            with torch.enable_grad():
                inputs = [draw(heads), draw(shared), draw(shared)]
                weights = draw(heads).detach()
                query, key, value = inputs
                fast = by_kernel(query, key, value, ends, longest, None, 0.0, causal, reach)
                exact = _by_mask(query, key, value, block_mask(ends, tokens, causal, reach))
                found = [(fast, exact), *zip(*(_gradients(out, weights, inputs) for out in (fast, exact)), strict=True)]
            for one, other in found:
                one, other = one.detach(), other.detach()
                error, allowed = float((one - other).abs().max()), TOLERANCE_16 * float(other.abs().max())
                if not error <= allowed:
                    return f"the attention kernel is wrong by {error:.2g} at head size {size} (allowed: {allowed:.2g})"
    return None


def _by_mask(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    query, key, value = (tensor.float().transpose(0, 1) for tensor in (query, key, value))
    key, value = (tensor.repeat_interleave(len(query) // len(tensor), dim=0) for tensor in (key, value))
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(0, 1)


def _gradients(out: torch.Tensor, weights: torch.Tensor, inputs: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad((out.float() * weights).sum(), inputs)
