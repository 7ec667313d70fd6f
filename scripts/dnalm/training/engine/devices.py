"""Where models run, and what makes their results repeatable there."""

import logging as std_logging

import torch

from dnalm.errors import UserError

CPU_THREADS = 2
"""Threads of CPU computation. Results differ between thread counts, so it is a constant and no setting."""


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` takes a CUDA GPU, else Apple's, else the CPU.

    Raises `UserError` if the one asked for is not there.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, there in present.items() if there)
    if name not in present:
        raise UserError(f"device: unknown device '{name}'; use auto, cuda, mps or cpu")
    if not present[name]:
        raise UserError(f"device: {name} was asked for and no GPU is visible; use auto or cpu")
    return torch.device(name)


def describe(device: torch.device) -> str:
    """A device in words: its type, and the GPU's name."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def make_repeatable() -> None:
    """Let two CPU runs of the same seed give the same bits.

    On a GPU the last bits still vary: PyTorch's deterministic algorithms were measured to cost a factor of 2.5 there
    without making attention repeatable.
    """
    torch.set_num_threads(CPU_THREADS)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train in bfloat16: on demand, or with `auto` on a CUDA GPU that has it."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("recipe.precision: this GPU has no bf16; use auto or fp32")
    return precision == "bf16"


def out_of_memory(error: BaseException) -> UserError | None:
    """A helpful error if `error` says that a device's memory ran out, else None."""
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error):
        return UserError("the GPU's memory ran out; lower the batch size or max_tokens, or use a larger GPU")
    return None


def quiet() -> None:
    """Silence transformers' advice and bars; this project says what matters itself."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    std_logging.getLogger("bitsandbytes").setLevel(std_logging.ERROR)  # loaded by peft, whether used or not
    logging.disable_progress_bar()
