"""Stopping on a signal: the current step is finished and saved first, so that nothing is lost."""

import signal
import time
from types import FrameType, TracebackType
from typing import Any

from dnalm.errors import UserError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Preemption or a time limit; Ctrl-C; what SLURM sends before a time limit with --signal=USR1."""

GRACE = 2.0
"""Seconds within which a second signal counts as the same request: torchrun forwards what a terminal or SLURM sent."""


class Stopped(UserError):  # noqa: N818 - nothing went wrong
    """A training was stopped by a signal; the exit status is 128 + the signal's number, as in a shell."""

    def __init__(self, name: str, message: str) -> None:
        """name: of the signal."""
        super().__init__(message)
        self.exit_status = 128 + signal.Signals[name].value


class Stop:
    """A context in which the first signal of `SIGNALS` only sets `requested` to the signal's name.

    A second Ctrl-C or SIGTERM, more than `GRACE` seconds later, raises `Stopped` in the main thread. Must be entered by
    the main thread; the previous handlers are restored on exit.
    """

    def __init__(self) -> None:
        """Install no handler before entry."""
        self.requested: str | None = None
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        """Catch the signals."""
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Restore the handlers."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def stopped(self, step: int) -> Stopped:
        """The error to raise once the state after `step` is saved."""
        name = self.requested or "SIGTERM"
        return Stopped(
            name, f"stopped by {name} at step {step}; the checkpoint is saved, the same command resumes from there"
        )

    def _note(self, number: int, frame: FrameType | None) -> None:
        name, now = signal.Signals(number).name, time.monotonic()
        if self.requested is None:
            self.requested, self._since = name, now
        elif number != signal.SIGUSR1 and now - self._since > GRACE:
            raise Stopped(name, f"stopped by a second {name}; the same command resumes from the last checkpoint")
