"""No orphaned processes: a job ends when its Snakemake does, however Snakemake ends.

A job that outlived its Snakemake would write the same files as the next run, and keep its GPU and locks. Linux only;
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
"""Seconds between two checks whether Snakemake still runs."""

_PR_SET_PDEATHSIG = 1
_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
"""Loaded at import: in a process with threads, loading a library between fork and exec is not safe."""


def announce() -> None:
    """Tell the jobs that this process starts which Snakemake they belong to."""
    if (started := _started(os.getpid())) is not None:
        os.environ[SNAKEMAKE] = f"{os.getpid()}:{started}"


def end_with_snakemake() -> None:
    """If this process is a job's script, have it sent SIGTERM when its shell or the Snakemake above ends.

    Its children are not signalled. The kernel watches the shell, which is the parent of this process; a thread checks
    every `INTERVAL` whether Snakemake, which is not, still runs.
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
    """Have this process sent the signal `number` when its parent ends, or at once if `parent` has ended already.

    Kept across exec, not inherited across fork (prctl(2), PR_SET_PDEATHSIG).
    """
    if _LIBRARY is not None:
        _LIBRARY.prctl(_PR_SET_PDEATHSIG, number)
        if _started(parent) is None:
            os.kill(os.getpid(), number)


def _started(process: int) -> str | None:
    """When a process started, in clock ticks since boot; None if it has ended, or on another system than Linux."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
