"""What a training takes of its GPU: the energy that the driver has counted."""

from functools import cache
from typing import Any

import torch


def joules(device: torch.device) -> float | None:
    """The energy in J that an NVIDIA GPU has used since its driver was loaded; None where nothing counts it.

    A difference of two calls is what the whole GPU used between them, other programs on it among that.
    """
    handle = _handle(device)
    if handle is None:
        return None
    import pynvml

    return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000


@cache
def _handle(device: torch.device) -> Any:
    """The driver's name for a GPU, if it counts its energy (since the Volta generation)."""
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
