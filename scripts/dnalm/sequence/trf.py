"""Tandem Repeats Finder (Benson 1999, doi:10.1093/nar/27.2.573), run as the external program `trf`."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.names import TRF_PARAMETERS
from dnalm.orphans import end_with

_LONGEST_ARRAY = 6
"""In Mb; what TRF's help asks for GRCh38, whose centromeres are such arrays. It costs memory only where needed."""

_SUCCESS = (0, 253)
"""With -ngs, TRF 4.09 ends with 253 where its help promises 0; a failure is 254 or 255."""


_AT_ONCE = 2000
"""Sequences that one run of trf gets, between two steps of the progress bar."""


class Repeat(NamedTuple):
    """A tandem repeat as TRF reports it: period (bases), copies, and alignment score."""

    period: int
    copies: float
    score: int


def is_installed() -> bool:
    """Whether `trf` is on the PATH."""
    return shutil.which("trf") is not None


def find_repeats(name: str, bases: bytes, parameters: Sequence[int] = TRF_PARAMETERS) -> bytes:
    """The repeats of one sequence in the layout of `trf -ngs`; nothing if it has none.

    Raises `UserError` if trf is not installed or fails.
    """
    if not is_installed():
        raise UserError(
            "trf is not installed, and the catalogue is to be found by it; install it (conda: bioconda::trf, Debian: trf)"
        )
    return _run(b">%s\n%s\n" % (name.encode(), bases), parameters)


def best_repeats(sequences: Sequence[str], parameters: Sequence[int] = TRF_PARAMETERS) -> list[Repeat | None] | None:
    """For each sequence the tandem repeat of the highest score that TRF finds in it (the first of equal ones), or None.

    None instead of the list if trf is not installed. Raises `UserError` if trf fails.
    """
    if not is_installed():
        return None
    found: list[Repeat | None] = []
    for at in tqdm(range(0, len(sequences), _AT_ONCE), desc="trf", unit="batch", mininterval=1):
        found += _best(sequences[at : at + _AT_ONCE], parameters)
    return found


def _best(sequences: Sequence[str], parameters: Sequence[int]) -> list[Repeat | None]:
    fasta = "".join(f">{number}\n{sequence}\n" for number, sequence in enumerate(sequences))
    best: list[Repeat | None] = [None] * len(sequences)
    number = -1
    for line in _run(fasta.encode(), parameters).splitlines():
        if line.startswith(b"@"):
            number = int(line[1:])
            continue
        # start, end, period, copies, consensus size, per cent matches, per cent indels, score, ...
        fields = line.split(maxsplit=8)
        repeat, earlier = Repeat(int(fields[2]), float(fields[3]), int(fields[7])), best[number]
        if earlier is None or repeat.score > earlier.score:
            best[number] = repeat
    return best


def _run(fasta: bytes, parameters: Sequence[int]) -> bytes:
    """What trf prints. It passes through here, as trf does not notice a full disk."""
    if not fasta:
        return b""
    arguments = [*map(str, parameters), "-d", "-h", "-ngs", "-l", str(_LONGEST_ARRAY)]
    done = subprocess.run(
        ["trf", "-", *arguments],
        input=fasta,
        capture_output=True,
        check=False,
        preexec_fn=partial(end_with, os.getpid(), signal.SIGKILL),
    )
    if done.returncode not in _SUCCESS:
        said = " ".join(done.stderr.decode(errors="replace").split())[-200:]
        raise UserError(f"trf failed (exit status {done.returncode}): {said}")
    return done.stdout
