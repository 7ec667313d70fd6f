"""What every script shares: its settings come as one JSON object, and a user's mistake ends in one line."""

import argparse
import errno
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dnalm.errors import UserError
from dnalm.orphans import end_with_snakemake

SYSTEM = {
    errno.ENOSPC: "the disk is full; free space or use another --directory",
    errno.EDQUOT: "the disk quota is used up; free space or use another --directory",
    errno.EFBIG: "the file is larger than the file system allows",
    errno.EROFS: "the file system is read-only; use another --directory",
    errno.EACCES: "permission denied; change it, or use another --directory",
    errno.ENOENT: "no such file or directory",
    errno.ENOTDIR: "a file is in the place of a directory",
    errno.EISDIR: "is a directory, a file was expected",
}
"""What errors of the machine's mean to a user."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with `--spec`: the stage's validated settings as JSON, `-` for standard input."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--spec", type=read_spec, required=True, metavar="FILE", help="settings as JSON; - for stdin")
    return result


def read_spec(source: str) -> dict[str, Any]:
    """Parse the JSON object in file `source`, or on standard input if it is `-`."""
    try:
        value = json.loads(sys.stdin.read() if source == "-" else Path(source).read_text())
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{source}: not a readable JSON file ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{source}: not a JSON object")
    return value


def message_of(error: BaseException) -> str | None:
    """The one line to show for an error that is the user's or the machine's, None for one that is ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in SYSTEM:
        return f"{error.filename or 'writing the output'}: {SYSTEM[error.errno]}"
    return None


def _printable(message: str) -> str:
    """A message as one line that a terminal only shows: what it quotes of a file may hold line breaks and escapes."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(message.split()))


def main(function: Callable[[], None]) -> None:
    """Run a script's main function; an error of the user's is one line on standard error and its exit status."""
    end_with_snakemake()
    try:
        function()
    except KeyboardInterrupt:  # before there is anything to save
        print("error: stopped by SIGINT", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        message = message_of(error) or message_of(error.__cause__ or error.__context__ or error)
        if message is None:
            raise
        print(f"error: {_printable(message)}", file=sys.stderr)
        sys.exit(error.exit_status if isinstance(error, UserError) else 1)
