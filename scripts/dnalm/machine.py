"""The machine and the versions that a measurement was made with."""

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from dnalm.provenance import record


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, memory in GiB as the system states it, and the names of all NVIDIA GPUs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {"processor": _processor(), "cores": cores, "memory_gib": round(memory, 1), "gpus": gpus()}


def gpus() -> list[str]:
    """Names of this machine's NVIDIA GPUs; asking their driver's program leaves the GPUs alone, asking torch would not."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True)
    return answer.stdout.split("\n")[:-1] if answer.returncode == 0 else []


def versions() -> dict[str, str]:
    """Versions of Python and of the packages at work."""
    found: dict[str, str] = record({})["versions"]
    return found


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    for line in description.read_text().splitlines() if description.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
