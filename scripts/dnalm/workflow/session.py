"""Setup of a Snakemake session: jobs run with its Python and end with it, and its last lines name the errors."""

import atexit
import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from dnalm.cli import SYSTEM
from dnalm.errors import UserError
from dnalm.orphans import announce
from dnalm.workflow import patches

AT_WORK = Path(".snakemake/at-work")
"""Every Snakemake holds a shared lock on this file while it runs (filelock has shared locks in SQLite files only)."""

ROOM = 2**20
"""A disk with fewer free bytes counts as full."""

SYSTEM_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] [^:'\n]+(?:: '(?P<path>[^'\n]+)')?")
FROM_THE_FUTURE = re.compile(r"older modification time \(.+?\) than input (?P<path>.+?) \((?P<date>[-0-9]+) ")


@cache
def prepare() -> None:
    """Set the session up, once a process, also if several modules load the workflow.

    Raises `UserError` if the working directory is not writable.
    """
    here = AT_WORK.parent if AT_WORK.parent.is_dir() else Path()
    if not os.access(here, os.W_OK | os.X_OK):
        raise UserError(f"{here.absolute()}: cannot be written to; make it writable, or use another --directory")
    prefer_this_python()
    announce()
    if (lost := patches.apply()) is not None:
        print(lost, file=sys.stderr)
    say_errors_last()


def prefer_this_python() -> None:
    """Jobs call `python`: put the running one first on the PATH. A software deployment may put its own before it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


class Ending(logging.Handler):
    """The last lines of a failed session, from Snakemake's log records, which --quiet does not suppress."""

    def __init__(self) -> None:
        """Nothing has failed yet."""
        super().__init__(logging.ERROR)
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note the logs of a failed job, or an error of Snakemake's own that the user can fix."""
        logs = getattr(record, "log", [])
        lines = [failure(record.__dict__["rule_name"], logs)] if logs else []
        if (name := getattr(record, "exception", None)) is not None:
            lines = [locked()] if name == "LockException" else trouble(record.getMessage())
        self.lines |= dict.fromkeys(lines)

    def say(self) -> None:
        """Write the lines to standard error."""
        for line in self.lines:
            print(line, file=sys.stderr)


def say_errors_last() -> None:
    """At exit, print one line for each error; and hold the lock that tells others that this Snakemake runs."""
    from snakemake.logging import logger

    logging.raiseExceptions = False  # no traceback for each log line that a full disk refuses
    logger.addHandler(ending := Ending())
    atexit.register(ending.say)
    with contextlib.suppress(OSError):  # a read-only directory, or a file system without locks
        AT_WORK.parent.mkdir(exist_ok=True)
        fcntl.lockf(os.open(AT_WORK, os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_SH | fcntl.LOCK_NB)


def failure(rule: str, logs: Sequence[str]) -> str:
    """One line for a failed job: the last line of its log if that is a user's error, `error: ... (log: PATH)`."""
    for log in logs:
        path = Path(log)
        text = path.read_text(errors="replace").rstrip() if path.is_file() else ""
        last = text.splitlines()[-1] if text else ""
        if last.startswith("error: "):
            return f"{last} (log: {log})"
    if shutil.disk_usage(Path.cwd()).free < ROOM:  # not even for a message
        return f"error: {Path.cwd()}: {SYSTEM[errno.ENOSPC]}"
    return f"error: {rule}: a job was killed (is memory too small?) or hit an unexpected error (log: {', '.join(logs)})"


def trouble(message: str) -> list[str]:
    """A line if Snakemake's message is about the machine: a full or read-only disk, or a file from the future."""
    if (found := SYSTEM_ERROR.search(message)) and int(found["number"]) in SYSTEM:
        return [f"error: {found['path'] or Path.cwd()}: {SYSTEM[int(found['number'])]}"]
    if found := FROM_THE_FUTURE.search(message):
        path, date = found["path"], found["date"]
        return [f"error: {path}: its date, {date}, is in the future; correct this machine's clock, or: touch {path}"]
    return []


def locked() -> str:
    """One line for a directory that another Snakemake has locked, which still runs or was killed."""
    try:
        with open(AT_WORK, "r+") as share:
            fcntl.lockf(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"error: {Path.cwd()}: another Snakemake is running here; wait until it ends, then repeat the command"
    except OSError:
        who = "another Snakemake is running here, or was killed"
    else:
        who = "a Snakemake that was killed left its lock here, and none is running now"
    return f"error: {Path.cwd()}: {who}; remove the lock with: snakemake --unlock, then repeat the command"
