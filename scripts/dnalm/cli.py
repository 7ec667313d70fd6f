"""What every script shares: its settings come as one JSON object, and a user's mistake ends in one line."""

import argparse
import errno
import json
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dnalm.errors import UserError
from dnalm.orphans import end_with_snakemake

if TYPE_CHECKING:
    from dnalm.config.base import Settings

Stage = TypeVar("Stage", bound="Settings")

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
"""What to tell a user about an operating-system error, by errno."""


def parser(description: str | None, settings: "type[Settings]") -> argparse.ArgumentParser:
    """An argument parser with `--spec`, which is read into `args.settings` as an instance of the class `settings`."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--spec",
        dest="settings",
        type=partial(read_settings, settings),
        required=True,
        metavar="FILE",
        help=f"{settings.__name__} as JSON; - for stdin",
    )
    return result


def read_settings(settings: type[Stage], source: str) -> Stage:
    """The settings in JSON file `source`, or on standard input if it is `-`. A mistake in them is a `UserError`."""
    from pydantic import ValidationError  # here, because predict.py has no settings and must run without pydantic

    from dnalm.config.messages import describe

    place = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text()
        return settings.model_validate(json.loads(text))
    except ValidationError as error:
        raise UserError(f"--spec: {place}: {describe(error, settings)}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"--spec: {place}: not a readable JSON file ({error})") from error


def message_of(error: BaseException) -> str | None:
    """The line to show for an error of the user's or the operating system's; None for a bug of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in SYSTEM:
        return f"{error.filename or 'writing the output'}: {SYSTEM[error.errno]}"
    return None


def _printable(message: str) -> str:
    """A message as one printable line: text that it quotes from a file may hold line breaks and terminal escapes."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(message.split()))


def main(function: Callable[[], None]) -> None:
    """Run a script's main function; a user's error ends it with one line on standard error and the error's status."""
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
