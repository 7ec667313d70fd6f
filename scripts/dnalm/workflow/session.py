"""What a Snakemake session needs of its surroundings.

The right Python, jobs that end with it, an end that names the error.
"""

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
"""Every Snakemake holds a shared lock on this file as long as it runs (filelock has shared locks in SQLite files only)."""

ROOM = 2**20
"""Bytes below which a disk is as good as full."""

SYSTEM_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] [^:'\n]+(?:: '(?P<path>[^'\n]+)')?")
FROM_THE_FUTURE = re.compile(r"older modification time \(.+?\) than input (?P<path>.+?) \((?P<date>[-0-9]+) ")


@cache
def prepare() -> None:
    """All that follows, once a Snakemake, however many modules read the workflow. Raises `UserError` if it cannot write."""
    here = AT_WORK.parent if AT_WORK.parent.is_dir() else Path()
    if not os.access(here, os.W_OK | os.X_OK):
        raise UserError(f"{here.absolute()}: cannot be written to; make it writable, or use another --directory")
    prefer_this_python()
    announce()
    if (lost := patches.apply()) is not None:
        print(lost, file=sys.stderr)
    say_errors_last()


def prefer_this_python() -> None:
    """Jobs call `python`: make it the one running now, unless a software deployment puts another before it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


class Ending(logging.Handler):
    """The last lines of a session that fails, from what Snakemake logs: also what --quiet keeps from being read."""

    def __init__(self) -> None:
        """Nothing has failed yet."""
        super().__init__(logging.ERROR)
        self.lines: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note the logs of a failed job, or an error of Snakemake's own that the user can mend."""
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
    """Make one line for each error the last thing that this process says, and let others know that it is at work."""
    from snakemake.logging import logger

    logging.raiseExceptions = False  # a log that cannot be written on a full disk is not worth a traceback a line
    logger.addHandler(ending := Ending())
    atexit.register(ending.say)
    with contextlib.suppress(OSError):  # a read-only directory, or a file system without locks
        AT_WORK.parent.mkdir(exist_ok=True)
        fcntl.lockf(os.open(AT_WORK, os.O_RDWR | os.O_CREAT, 0o666), fcntl.LOCK_SH | fcntl.LOCK_NB)


def failure(rule: str, logs: Sequence[str]) -> str:
    """One line for a failed job, its script's own if that ended in a user's error: `error: ... (log: PATH)`."""
    for log in logs:
        path = Path(log)
        text = path.read_text(errors="replace").rstrip() if path.is_file() else ""
        last = text.splitlines()[-1] if text else ""
        if last.startswith("error: "):
            return f"{last} (log: {log})"
    if shutil.disk_usage(Path.cwd()).free < ROOM:  # not even for a message
        return f"error: {Path.cwd()}: {SYSTEM[errno.ENOSPC]}"
    return f"error: {rule}: a job was killed, as when memory runs out, or met with an error not foreseen (log: {', '.join(logs)})"


def trouble(message: str) -> list[str]:
    """A line if Snakemake's message is of the machine's: a disk that is full or read-only, a file from the future."""
    if (found := SYSTEM_ERROR.search(message)) and int(found["number"]) in SYSTEM:
        return [f"error: {found['path'] or Path.cwd()}: {SYSTEM[int(found['number'])]}"]
    if found := FROM_THE_FUTURE.search(message):
        path, date = found["path"], found["date"]
        return [
            f"error: {path}: is of {date}, later than now; set this machine's clock right, or the file's: touch {path}"
        ]
    return []


def locked() -> str:
    """One line for a directory that another Snakemake has locked: one that is at work, or one that was killed."""
    try:
        with open(AT_WORK, "r+") as share:
            fcntl.lockf(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return f"error: {Path.cwd()}: another Snakemake is at work here; wait until it ends, and give the command again"
    except OSError:
        who = "another Snakemake is at work here, or was killed"
    else:
        who = "a Snakemake that was killed left its lock here, and none is at work now"
    return f"error: {Path.cwd()}: {who}; remove the lock with: snakemake --unlock, and give the command again"
