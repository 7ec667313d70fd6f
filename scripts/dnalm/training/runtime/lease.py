"""Locks on the GPUs of one machine, so that independent runs use different ones."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from dnalm.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"

_GIVEN = (
    "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "SGE_TASK_ID", "_CONDOR_JOB_AD", "KUBERNETES_SERVICE_HOST",
)  # fmt: skip
"""Variables that schedulers set in their jobs."""

_FOR_ALL = 0o666
"""Mode of the lock files, whatever the umask: other users must be able to lock them too."""

_POLL, _REMINDER = 1.0, 300.0
"""Seconds between two attempts to get a GPU, and between two log lines about the wait."""


@contextmanager
def lease(count: int) -> Iterator[list[str]]:
    """Hold `count` GPUs of this machine, waiting until as many are free; other runs then use other GPUs.

    Yields their UUIDs, which are also in CUDA_VISIBLE_DEVICES of this process and its children until the end; must be
    entered before CUDA is initialised. All are taken at once or none, so two runs cannot deadlock on each other's half.
    The system releases the locks when the process ends, however it ends. Yields an empty list and changes nothing if
    there are no NVIDIA GPUs, in a worker of several processes (its launcher holds them), and in a scheduler's job that
    was given exactly as many. Raises `UserError` if more are wanted than are visible.
    """
    gpus = [] if "LOCAL_RANK" in os.environ else visible_gpus()
    if not gpus or (len(gpus) == count and any(name in os.environ for name in _GIVEN)):
        yield []
        return
    if count > len(gpus):
        raise UserError(f"recipe.processes: {count} GPUs are needed and {len(gpus)} are visible here; lower it")
    with ExitStack() as held:
        mine = _wait(gpus, count, held)
        before = os.environ.get(VISIBLE)
        os.environ[VISIBLE] = ",".join(mine)
        try:
            yield mine
        finally:
            if before is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = before


def visible_gpus() -> list[str]:
    """UUIDs of this machine's NVIDIA GPUs, only those in CUDA_VISIBLE_DEVICES if it is set; does not initialise CUDA.

    Indices in it are read in nvidia-smi's order, which is CUDA's if all GPUs are of one model or CUDA_DEVICE_ORDER is
    PCI_BUS_ID. As in CUDA, the first entry that matches no GPU and all after it are ignored.
    """
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    by_index = dict(line.replace(" ", "").split(",") for line in listing.splitlines() if line.count(",") == 1)
    wanted = os.environ.get(VISIBLE)
    if wanted is None:
        return list(by_index.values())
    found: list[str] = []
    for name in (part.strip() for part in wanted.split(",")):
        if name in by_index:
            fits = [by_index[name]]
        elif name.startswith("MIG-"):  # a slice of a GPU, which nvidia-smi's query does not list
            fits = [name]
        else:
            fits = [uuid for uuid in by_index.values() if name.startswith("GPU-") and uuid.startswith(name)]
        if len(fits) != 1:
            break
        found += [uuid for uuid in fits if uuid not in found]
    return found


def _wait(gpus: list[str], count: int, held: ExitStack) -> list[str]:
    """Lock `count` of `gpus`; `held` releases the locks, and so does the kernel when this process is killed."""
    folder = Path(tempfile.gettempdir()) / "dnalm-gpus"
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)  # for all users, whatever the umask
    reported: float | None = None
    while True:
        mine: list[str] = []
        with FileLock(folder / "choosing", mode=_FOR_ALL), ExitStack() as attempt:
            for uuid in gpus:
                if len(mine) == count:
                    break
                with suppress(Timeout):
                    attempt.enter_context(FileLock(folder / uuid, timeout=0, mode=_FOR_ALL))
                    mine.append(uuid)
            if len(mine) == count:
                held.push(attempt.pop_all())
                return mine
        if reported is None or time.monotonic() - reported >= _REMINDER:
            reported = time.monotonic()
            print(
                f"waiting for {count} free GPUs ({len(mine)} of {len(gpus)} are): other runs hold the rest",
                file=sys.stderr,
            )
        time.sleep(_POLL)
