"""No orphans: a process ends when the one that it works for does, however that one ends.

What worked on alone would write the files that the next run writes, and hold what it needs. Linux only; elsewhere
nothing happens.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

SHELL = "DNALM_SHELL"
"""In a job's environment: the process of its shell."""

_PR_SET_PDEATHSIG = 1
_LIBRARY = ctypes.CDLL(None) if sys.platform == "linux" else None
"""Loaded here, as no library is safely loaded between a fork of threads and the new program."""


def end_with_shell() -> None:
    """Have this process asked to stop when the shell of its job ends, if it is a job's; its children are not."""
    if (shell := os.environ.pop(SHELL, None)) is not None:
        end_with(int(shell), signal.SIGTERM)


def end_with(parent: int, number: signal.Signals) -> None:
    """Have this process sent `number` when its parent ends, and now if process `parent` has ended already.

    A program that this process turns into keeps this; a process that it forks does not have it.
    """
    if _LIBRARY is not None:
        _LIBRARY.prctl(_PR_SET_PDEATHSIG, number)
        if _ended(parent):
            os.kill(os.getpid(), number)


def _ended(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"
