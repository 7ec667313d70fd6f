"""Measure the start-up time: importing the config's definition, and dry runs.

The dry runs are of the demo, and of 200 runs over 10 tables (4 models, 5 seeds), before and after the workflow has run.
Each is called several times in a new process; the output is JSON with the median seconds, wall clock and processor time
(which other programs affect less).
"""

import library  # noqa: F401, I001

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from dnalm.cli import main
from dnalm.files import write_json
from dnalm.machine import machine, measured
from dnalm.provenance import versions
from planning.plans import ROOT, lay_out

TARGETS = {"import": 0.3, "demo": 3.0, "runs": 10.0, "runs_finished": 10.0}
"""Seconds at most."""
TABLES, MODELS, SEEDS = 10, 4, 5


def run() -> None:
    """Read the command line, time, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--repeats", type=int, default=3, metavar="N", help="calls of each (default 3)")
    args = options.parse_args()

    with TemporaryDirectory() as place:
        directory = Path(place)
        config = directory / "config.yaml"
        config.write_text(yaml.safe_dump(many_runs()))
        tables = [f"table{number}.csv" for number in range(TABLES)]
        for table in tables:
            (directory / table).touch()
        plan = ["-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", place, "--cores", "2"]
        plan += ["--dry-run", "--quiet", "all"]
        runs = [*plan, "--configfile", str(config)]
        found = {
            "import": time(["-c", "import dnalm.config"], args.repeats),
            "demo": time(plan, args.repeats),
            "runs": time(runs, args.repeats),
        }
        jobs = len(lay_out(directory, config, tables))
        found["runs_finished"] = time(runs, args.repeats)
    report = {
        "command": shlex.join(["python", "tools/benchmark_startup.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "jobs_of_200_runs": jobs,
        "median": found,
        "target": {
            name: {"seconds_at_most": most, "reached": found[name]["seconds"] <= most} for name, most in TARGETS.items()
        },
    }
    write_json(args.output, report)


def many_runs() -> dict[str, object]:
    """A config of 200 runs over 10 data sets."""
    model, seeds = {"architecture": {"model_type": "bert"}, "tokenizer": {"train": "bpe"}}, list(range(1, SEEDS + 1))
    return {
        "datasets": {f"table{number}": {"kind": "table", "path": f"table{number}.csv"} for number in range(TABLES)},
        "models": {f"model{number}": model for number in range(MODELS)},
        "recipes": {"plain": {}},
        "runs": [
            {"dataset": f"table{table}", "model": f"model{number}", "recipe": "plain", "seeds": seeds}
            for table in range(TABLES)
            for number in range(MODELS)
        ],
    }


def time(arguments: list[str], repeats: int) -> dict[str, float]:
    """Median seconds of a call of this Python, wall clock and processor time."""
    print(" ".join(arguments), file=sys.stderr)
    options: dict[str, Any] = {"cwd": ROOT / "scripts", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    calls = [measured(arguments, None, **options) for _ in range(repeats)]
    clock, busy = median(call.seconds for call in calls), median(call.processor_seconds for call in calls)
    return {"seconds": round(clock, 2), "cpu_seconds": round(busy, 2)}


if __name__ == "__main__":
    main(run)
