"""What a Snakemake session needs of its surroundings.

The right Python, no job passed over or left behind, an end that names the error.
"""

import atexit
import contextlib
import errno
import fcntl
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dnalm.cli import SYSTEM
from dnalm.errors import UserError
from dnalm.orphans import SHELL, end_with

AT_WORK = Path(".snakemake/at-work")
"""Every Snakemake holds a shared lock on this file as long as it runs (filelock has shared locks in SQLite files only)."""

ROOM = 2**20
"""Bytes below which a disk is as good as full."""

SYSTEM_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] [^:'\n]+(?:: '(?P<path>[^'\n]+)')?")
FROM_THE_FUTURE = re.compile(r"older modification time \(.+?\) than input (?P<path>.+?) \((?P<date>[-0-9]+) ")


def prepare() -> None:
    """All that follows, for the Snakemake that reads the workflow. Raises `UserError` if it cannot write here."""
    here = AT_WORK.parent if AT_WORK.parent.is_dir() else Path()
    if not os.access(here, os.W_OK | os.X_OK):
        raise UserError(f"{here.absolute()}: cannot be written to; make it writable, or use another --directory")
    prefer_this_python()
    ask_jobs_behind_ancient_inputs()
    run_again_what_failed()
    heed_files_of_any_age()
    leave_no_job_behind()
    say_errors_last()


def prefer_this_python() -> None:
    """Jobs call `python`: make it the one running now, unless a software deployment puts another before it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def ask_jobs_behind_ancient_inputs() -> None:
    """Have Snakemake ask each job behind an `ancient` input whether its own settings, code or files changed.

    Snakemake asks a job nothing if any job before it is to run, for then it would run as well: but behind an `ancient`
    input it does not, and a change of its own was passed over until the next call (snakemake issue 4166). A data set's
    audit stands before every training in this way, so that a new learning rate together with a new limit of the audit
    trained nothing, and left the old model to be reported.
    """
    from snakemake.dag import DAG

    if hasattr(DAG, "_update_needrun"):
        return
    DAG._update_needrun = DAG.update_needrun

    async def update_needrun(dag: Any, *arguments: Any, **options: Any) -> None:
        dag.bfs = _bound_to_run  # what it looks for here is all that runs because one job does
        try:
            await dag._update_needrun(*arguments, **options)
        finally:
            del dag.bfs

    DAG.update_needrun = update_needrun


def _bound_to_run(depending: Any, job: Any) -> Iterator[Any]:
    found, queue = {job}, [job]
    while queue:
        yield (job := queue.pop())
        for other, files in depending[job].items():
            if other not in found and not all(file.is_ancient for file in files):
                found.add(other)
                queue.append(other)


def run_again_what_failed() -> None:
    """Have Snakemake run a job that failed or was killed again, although what was made of its former output is there.

    It removes a job's output before the job and records a job that failed as done (snakemake issue 3808); what is made
    of the output does not miss it. A finished run with a new setting whose training failed had nothing to do at the
    next call, and reported the old model. The mark of a job that is under way now stays until it succeeds, and counts
    whether or not there is a file.
    """
    from snakemake.jobs import Job
    from snakemake.persistence import PersistenceBase

    if hasattr(Job, "_postprocess"):
        return
    Job._postprocess = Job.postprocess

    async def postprocess(job: Any, *arguments: Any, error: bool = False, **options: Any) -> None:
        await job._postprocess(*arguments, error=error, **options)
        if error:
            job.dag.workflow.persistence.started(job)

    async def incomplete(persistence: Any, job: Any) -> list[Any]:
        files = {persistence._get_key(file): file for file in job.output}
        return [files[key] for key in persistence._filter_incomplete_keys(files)]

    Job.postprocess, PersistenceBase.incomplete = postprocess, incomplete


def heed_files_of_any_age() -> None:
    """Have Snakemake compare the content of an input that was put there after the output, however old it says it is.

    A file that is copied, unpacked or restored with its date is older than what was made of the one before.
    """
    from snakemake.io import _IOFile

    if hasattr(_IOFile, "_is_newer"):
        return
    _IOFile._is_newer = _IOFile.is_newer

    async def is_newer(file: Any, time: float) -> bool:
        if file.is_ancient:
            return False
        return await file._is_newer(time) or (not file.is_storage and os.stat(file).st_ctime > time)

    _IOFile.is_newer = is_newer


def leave_no_job_behind() -> None:
    """Have every job's shell end with this process and its script with the shell, however they end.

    A job that went on after a kill -9 of Snakemake would write the files that the next run writes.
    """
    from snakemake.shell import shell

    shell._process_args["preexec_fn"] = partial(end_with, os.getpid(), signal.SIGKILL)
    shell.prefix(f"set -euo pipefail; export {SHELL}=$$; ")


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
