"""Measure the speed of training, compared with the original recipe and the Hugging Face Trainer's defaults.

Suites: gpu (a BERT-base on one GPU), cpu (a small BERT on two threads), scaling (the BERT-base on one GPU and on two of
one host). Each arm runs in its own processes. The output is JSON: machine, versions, figures of each arm, the method,
ratios, and targets.
"""

import library  # noqa: F401, I001

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.files import read_json, write_json
from dnalm.machine import machine
from dnalm.provenance import versions


def run() -> None:
    """Read the command line, measure, write after each arm."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--suite", required=True, choices=["gpu", "cpu", "scaling", "pretraining", "pretraining-dense"]
    )
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--arms", nargs="+", metavar="TRAINER:BATCH", help="only these, e.g. ours:256")
    options.add_argument(
        "--steps", nargs=2, type=int, metavar="N", help="a short and a long training, for a quick look"
    )
    options.add_argument("--here", action="store_true", help="in this process (under torchrun: in these), one arm")
    args = options.parse_args()
    if args.steps and not 0 < args.steps[0] < args.steps[1]:
        raise UserError("--steps: two numbers are needed, the second larger than the first")

    from dnalm.training.benchmarks.measurements import METHOD, SUITES, judged, ratios

    suite = SUITES[args.suite]
    arms = suite.chosen(args.arms)
    if args.here and len(arms) > 1:
        raise UserError("--here: measures one arm; name it with --arms")
    report: dict[str, Any] = {
        "suite": args.suite,
        "command": shlex.join(["python", "tools/benchmark_training.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "method": METHOD,
        "model": suite.architecture,
        "arms": [],
    }
    for arm in arms:
        if args.steps:
            arm = replace(arm, steps=tuple(args.steps), profiled=None)
        report["arms"].append(here(arm, suite) if args.here else elsewhere(arm, args.suite, args.steps))
        report["ratios"] = ratios(report["arms"])
        report["targets"] = judged(report["arms"], report["ratios"])
        if os.environ.get("RANK", "0") == "0":
            write_json(args.output, report)
    if failed := [f"{arm['trainer']}:{arm['batch']}: {arm['error']}" for arm in report["arms"] if "error" in arm]:
        raise UserError("; ".join(failed))


def here(arm: Any, suite: Any) -> dict[str, Any]:
    """Measure an arm in this process."""
    from dnalm.training.benchmarks.trainers import run_arm

    return run_arm(arm, suite)


def elsewhere(arm: Any, suite: str, steps: list[int] | None) -> dict[str, Any]:
    """Measure an arm in as many new processes as it needs; any failure becomes its `error`."""
    from dnalm.training.runtime.lease import lease

    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={arm.processes}"]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "arm.json"
        command = [sys.executable, *(torchrun if arm.processes > 1 else []), __file__, "--here", "--suite", suite]
        command += ["--arms", arm.name, "--output", str(output)]
        command += ["--steps", *map(str, steps)] if steps else []
        with lease(0 if suite == "cpu" else arm.processes):
            status = subprocess.run(command, stdout=sys.stderr).returncode
        if output.is_file():
            found: dict[str, Any] = read_json(output)["arms"][0]
            return found
        return {**asdict(arm), "error": f"ended with status {status}"}


if __name__ == "__main__":
    main(run)
