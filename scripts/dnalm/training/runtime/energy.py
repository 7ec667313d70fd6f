"""The energy that a training uses, as counted by the GPU's driver."""

from functools import cache
from typing import Any

import torch


def joules(device: torch.device) -> float | None:
    """The energy in J that an NVIDIA GPU has used since its driver was loaded; None if it is not measured.

    The difference of two calls covers the whole GPU, including other programs on it.
    """
    handle = _handle(device)
    if handle is None:
        return None
    import pynvml

    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000


@cache
def _handle(device: torch.device) -> Any:
    """The driver's handle of a GPU; None if the GPU does not count energy (before the Volta generation)."""
    if device.type != "cuda":
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return handle
