"""No orphans: a process ends when the one that it works for does, however that one ends.

A job that outlived its Snakemake would write the files that the next run writes, and hold what it needs. Linux only;
elsewhere nothing happens.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

SNAKEMAKE = "DNALM_SNAKEMAKE"
"""In a job's environment: the Snakemake that runs it, as `process:start time`."""

INTERVAL = 1.0
"""Seconds between two looks at whether Snakemake still runs."""

_PR_SET_PDEATHSIG = 1
_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
"""Loaded here, as no library is safely loaded between a fork of threads and the new program."""


def announce() -> None:
    """Let the jobs that this process starts know whose they are."""
    if (started := _started(os.getpid())) is not None:
        os.environ[SNAKEMAKE] = f"{os.getpid()}:{started}"


def end_with_snakemake() -> None:
    """Have this process asked to stop when its shell ends or the Snakemake above it does, if it is a job's script.

    Its children are not asked. The kernel watches the shell, which is this process's parent; Snakemake is not, and a
    thread looks for it once in `INTERVAL`.
    """
    if (snakemake := os.environ.pop(SNAKEMAKE, None)) is None or _LIBRARY is None:
        return
    end_with(os.getppid(), signal.SIGTERM)
    process, _, started = snakemake.partition(":")
    if _started(int(process)) != started:
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=_watch, args=(int(process), started), name="snakemake", daemon=True).start()


def _watch(process: int, started: str) -> None:
    while _started(process) == started:
        time.sleep(INTERVAL)
    os.kill(os.getpid(), signal.SIGTERM)


def end_with(parent: int, number: signal.Signals) -> None:
    """Have this process sent `number` when its parent ends, and now if process `parent` has ended already.

    A program that this process turns into keeps this; a process that it forks does not have it.
    """
    if _LIBRARY is not None:
        _LIBRARY.prctl(_PR_SET_PDEATHSIG, number)
        if _started(parent) is None:
            os.kill(os.getpid(), number)


def _started(process: int) -> str | None:
    """When a process started, in clock ticks since the machine did; None if it has ended, or on another system."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
