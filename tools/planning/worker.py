"""Run many calls of Snakemake quickly, each in a fork of one process that has imported everything.

Standard input: a JSON list of argument lists. Standard output: a JSON list of [exit status, output].
"""

import gc
import json
import os
import sys
import tempfile
from pathlib import Path

from snakemake import cli
from snakemake.executors.touch import Executor

from dnalm import meaning

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def call(arguments: list[str], output: Path) -> int:
    """Start one call, whose output goes to the file `output`; return its process id."""
    if child := os.fork():
        return child
    stream = os.open(output, os.O_CREAT | os.O_WRONLY)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    status = 3
    try:
        cli.main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run() -> None:
    """Run all calls, as many at a time as there are cores."""
    calls: list[list[str]] = json.load(sys.stdin)
    for script in SCRIPTS.glob("*.py"):
        meaning.code_hashes(script)
    Executor.SLEEPING_TIME = 0  # between two files of `--touch`; not needed, because content decides here
    gc.freeze()  # garbage collection in a fork would copy all shared memory
    gc.disable()
    waiting = list(range(len(calls)))
    running: dict[int, int] = {}
    statuses = [0] * len(calls)
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place, str(number)) for number in range(len(calls))]
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                number = waiting.pop(0)
                running[call(calls[number], files[number])] = number
            child, status = os.wait()
            statuses[running.pop(child)] = os.waitstatus_to_exitcode(status)
        outputs = [file.read_text(errors="replace") for file in files]
    json.dump(list(zip(statuses, outputs, strict=True)), sys.stdout)


if __name__ == "__main__":
    run()
