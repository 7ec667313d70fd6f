"""Devices, and reproducible results on them."""

import logging as std_logging

import torch

from dnalm.errors import UserError

CPU_THREADS = 2
"""Threads of CPU computation. Results differ between thread counts, so it is a constant, not a setting."""


def choose_device(name: str) -> torch.device:
    """The device called `name`; `auto` selects a CUDA GPU, else Apple's, else the CPU.

    Raises `UserError` for an unknown device, or one that this machine does not have.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, available in present.items() if available)
    if name not in present:
        raise UserError(f"device: unknown device '{name}'; use auto, cuda, mps or cpu")
    if not present[name]:
        raise UserError(f"device: {name} was requested and no GPU is visible; use auto or cpu")
    return torch.device(name)


def describe(device: torch.device) -> str:
    """The device's type, with the GPU's name."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def make_repeatable() -> None:
    """Make two CPU runs of the same seed bitwise equal.

    On a GPU the last bits still vary: there PyTorch's deterministic algorithms were 2.5 times slower and did not make
    attention deterministic.
    """
    torch.set_num_threads(CPU_THREADS)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train in bfloat16: if precision is `bf16`, or `auto` on a CUDA GPU that supports it."""
    if precision == "auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("recipe.precision: this GPU does not support bf16; use auto or fp32")
    return precision == "bf16"


def out_of_memory(error: BaseException) -> UserError | None:
    """A `UserError` if `error` says that a device's memory ran out, else None."""
    if isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error):
        return UserError("the GPU's memory ran out; lower the batch size or max_tokens, or use a larger GPU")
    return None


def quiet() -> None:
    """Silence the warnings and progress bars of transformers; this project reports what matters itself."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    std_logging.getLogger("bitsandbytes").setLevel(std_logging.ERROR)  # loaded by peft, whether used or not
    logging.disable_progress_bar()
