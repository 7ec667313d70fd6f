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
"""In Mb; what TRF's help recommends for GRCh38, for its centromeres. Uses more memory only where needed."""

_SUCCESS = (0, 253)
"""With -ngs, TRF 4.09 exits with 253 where its help promises 0; a failure is 254 or 255."""


_BATCH = 2000
"""Sequences of one run of trf, which is one step of the progress bar."""


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
            "trf is not installed, and `find: trf` needs it; install it (conda: bioconda::trf, Debian: trf)"
        )
    return _run(b">%s\n%s\n" % (name.encode(), bases), parameters)


def best_repeats(sequences: Sequence[str], parameters: Sequence[int] = TRF_PARAMETERS) -> list[Repeat | None] | None:
    """The highest-scoring tandem repeat that TRF finds in each sequence (the first of equal ones), or None.

    None instead of the list if trf is not installed. Raises `UserError` if trf fails.
    """
    if not is_installed():
        return None
    found: list[Repeat | None] = []
    for at in tqdm(range(0, len(sequences), _BATCH), desc="trf", unit="batch", mininterval=1):
        found += _best(sequences[at : at + _BATCH], parameters)
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
    """What trf prints. It is captured because trf itself does not notice a full disk."""
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
