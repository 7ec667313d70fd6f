"""Run one training as several processes of this machine under torchrun; it behaves like one process from outside."""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dnalm.cli import message_of
from dnalm.errors import UserError
from dnalm.orphans import end_with
from dnalm.training.runtime.signals import SIGNALS, Stopped

GRACE = 300
"""Seconds that processes have to save after a signal before they are killed (30 with torch < 2.12)."""

_LAUNCHER, _ERROR_FILE = "DNALM_LAUNCHER", "TORCHELASTIC_ERROR_FILE"
_SETTLE = 2.0
"""Seconds to wait for another process to report its error."""


def is_worker() -> bool:
    """Whether this process is one of several, started by `launch`, torchrun, or srun with torchrun's variables."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))


def launch(script: Path, arguments: Sequence[str], spec: str, processes: int) -> None:
    """Run `script` with `arguments` and `--spec` (JSON text) as `processes` processes, and wait for them.

    Each does its work inside `reported()`. A signal of `SIGNALS` is forwarded to all, which then have `GRACE` seconds.
    The error that ended them is raised here, once, as a `UserError` with the exit status. If this process dies, even
    by SIGKILL, so do they.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    with tempfile.TemporaryDirectory(prefix="dnalm-launch-") as place, _settings():
        (settings := Path(place, "spec.json")).write_text(spec)
        options = ["--standalone", f"--nproc-per-node={processes}", f"--log-dir={place}"]
        options.append(f"--signals-to-handle={','.join(number.name for number in SIGNALS)}")
        torchrun = run.parse_args([*options, os.fspath(script)])
        # set afterwards: torchrun would take our options for abbreviations of its own
        torchrun.training_script_args = [*arguments, "--spec", os.fspath(settings)]
        try:
            run.run(torchrun)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            raise _reported_in(Path(place)) or _died(rank, processes, failure.exitcode) from error
        except SignalException as error:
            _wait_for_children()
            name = error.sigval.name
            raise _reported_in(Path(place)) or Stopped(
                name, f"stopped by {name}; the same command resumes from the last checkpoint, if there is one"
            ) from error


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """A context for a worker's work, whose errors are passed to the launcher.

    Under `launch` a `UserError` is left to the launcher to print, and the process exits with the error's status. Under
    another launcher, and in a process that is not a worker, it is raised. A connection error that follows from the
    failure of another process is not reported if that process has reported its own.
    """
    if not is_worker():
        yield
        return
    ours = _LAUNCHER in os.environ
    if ours:
        end_with(int(os.environ[_LAUNCHER]), signal.SIGKILL)
    try:
        yield
    except Exception as error:
        cause = error.__cause__ or error.__context__ or error
        message = message_of(error) or message_of(cause)
        if message is None and _is_broken_connection(error) and _another_reported():
            sys.exit(1)
        status = error.exit_status if isinstance(error, UserError) else 1
        noted = _report(message or f"{type(error).__name__}: {error}", status, say=message is not None)
        if message is None or not (ours and noted):
            raise
        sys.exit(status)


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Set up this process for torchrun, and restore it: variables for the workers, signal handlers, a quiet log."""
    changed = {
        _LAUNCHER: str(os.getpid()),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(GRACE),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),  # otherwise torchrun sets it and warns
    }
    before = {name: os.environ.get(name) for name in changed}
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    os.environ.update(changed)
    logging.disable(logging.ERROR)  # torchrun's report of a failure is thirty lines that do not name the cause
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _wait_for_children() -> None:
    """Wait for the processes even if a second signal ended torchrun's own wait; a third signal ends this process."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _report(message: str, status: int, say: bool) -> bool:
    """Write an error to torchrun's error file; say: whether the launcher should print it (else the traceback does).

    Returns False if there is no such file or it cannot be written: the error may itself be a full disk.
    """
    note = {"message": message, "timestamp": int(time.time()), "status": status, "say": say}
    path = os.environ.get(_ERROR_FILE)
    if path is None:
        return False
    temporary = Path(f"{path}.tmp")
    try:
        temporary.write_text(json.dumps(note))
        temporary.replace(path)
    except OSError:
        return False
    return True


def _notes(attempt: Path) -> list[dict[str, Any]]:
    """The notes of an attempt's processes, by rank, from torchrun's folder `attempt`/rank/error.json."""
    found = sorted(attempt.glob("*/error.json"), key=lambda path: int(path.parent.name))
    return [json.loads(path.read_text()) for path in found]


def _reported_in(place: Path) -> UserError | None:
    """The error to raise for the processes: real errors before stops by a signal, then the lowest rank."""
    notes = [note for attempt in place.glob("*/attempt_*") for note in _notes(attempt) if note["say"]]
    if not notes:
        return None
    note = min(notes, key=lambda note: bool(note["status"] > signal.NSIG))
    error = UserError(note["message"])
    error.exit_status = note["status"]
    return error


def _died(rank: int, processes: int, status: int) -> UserError:
    """An error for a process that ended without reporting one."""
    who = f"process {rank} of {processes} (counted from 0)"
    if status == -signal.SIGKILL:
        error = UserError(f"{who} was killed, as happens when a machine's memory runs out; give the job more")
    elif status < 0:
        error = UserError(f"{who} was ended by {signal.Signals(-status).name}")
    else:
        error = UserError(f"{who} failed; its output is above")
    error.exit_status = 128 - status if status < 0 else status
    return error


def _is_broken_connection(error: BaseException) -> bool:
    from torch.distributed import DistError

    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def _another_reported() -> bool:
    """Whether another process of this machine has reported an error; waits `_SETTLE` seconds for one."""
    if _ERROR_FILE not in os.environ:
        return False
    attempt = Path(os.environ[_ERROR_FILE]).parent.parent
    end = time.monotonic() + _SETTLE
    while time.monotonic() < end:
        if _notes(attempt):
            return True
        time.sleep(0.05)
    return False
