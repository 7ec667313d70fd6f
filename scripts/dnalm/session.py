"""What a Snakemake session needs of its surroundings: the right Python, and an end that names the error."""

import os
import re
import sys
from pathlib import Path

LOG_LINE = re.compile(r"^ +log: (?P<logs>.+?) \(check log file\(s\) for error details\)$", re.MULTILINE)


def prefer_this_python() -> None:
    """Jobs call `python`: make it the one running now, unless a software deployment puts another before it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


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
