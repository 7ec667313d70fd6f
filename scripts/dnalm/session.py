"""What a Snakemake session needs of its surroundings: the right Python, no job passed over, an end that names the error."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOG_LINE = re.compile(r"^ +log: (?P<logs>.+?) \(check log file\(s\) for error details\)$", re.MULTILINE)


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


def failures(snakemake_log: str, directory: Path) -> list[str]:
    """One line for each failed job that ended in a user's error: `error: ... (log: PATH)`.

    `snakemake_log` is the text Snakemake printed; the logs it names are relative to `directory`. A job that failed otherwise is left to Snakemake's own message.
    """
    lines: dict[str, None] = {}
    for match in LOG_LINE.finditer(snakemake_log):
        for log in match["logs"].split(", "):
            path = directory / log
            text = path.read_text(errors="replace").rstrip() if path.is_file() else ""
            last = text.splitlines()[-1] if text else ""
            if last.startswith("error: "):
                lines[f"{last} (log: {log})"] = None
    return list(lines)
