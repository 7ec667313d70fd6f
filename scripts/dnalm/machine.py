"""The machine of a measurement, and the time and memory that a process uses on it."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dnalm.errors import UserError


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, physical memory in GiB, and the names of all NVIDIA GPUs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {"processor": _processor(), "cores": cores, "memory_gib": round(memory, 1), "gpus": gpus()}


def gpus() -> list[str]:
    """Names of this machine's NVIDIA GPUs, from nvidia-smi: asking torch would initialise CUDA."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True)
    return answer.stdout.split("\n")[:-1] if answer.returncode == 0 else []


@dataclass(frozen=True)
class Used:
    """What a process used: wall-clock and processor seconds, and peak resident memory in bytes."""

    seconds: float
    processor_seconds: float
    memory: int


def measured(arguments: Sequence[str], spec: Any, environment: Mapping[str, str] | None = None, **options: Any) -> Used:
    """What a Python process with these `arguments` uses. `spec` goes to its stdin as JSON, `options` to `Popen`.

    Includes the children that it waited for, and pages of mapped files as memory. Raises `UserError` if it fails.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], stdin=subprocess.PIPE, text=True, env=environment, **options
    )
    if process.stdin is not None:
        process.stdin.write(json.dumps(spec))
        process.stdin.close()
    _, status, used = os.wait4(process.pid, 0)  # unlike Popen.wait, returns the resource usage of this child
    seconds = time.perf_counter() - began
    if status:
        name, code = Path(arguments[0]).name, os.waitstatus_to_exitcode(status)
        raise UserError(f"{name} ended with status {code}; see above")
    return Used(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def _processor() -> str:
    description = Path("/proc/cpuinfo")
    for line in description.read_text().splitlines() if description.is_file() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
