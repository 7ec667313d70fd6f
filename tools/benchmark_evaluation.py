"""Measure how long the intervals of all metrics take: simulated predictions, 2,000 bootstrap replicates.

The baseline is the same replicates by scikit-learn, weighted by group; a few are timed and the rest extrapolated. The
output is JSON: machine, versions, processor seconds of both on one core, their ratio, and the largest difference
between the two on the replicates that both computed.
"""

import library  # noqa: F401, I001

import argparse
import shlex
import sys
from pathlib import Path

from dnalm.cli import main
from dnalm.files import write_json
from dnalm.machine import machine
from dnalm.provenance import versions

TARGET = 60.0
"""Seconds of one core for 2,000 replicates of 100,000 predictions of two classes."""


def run() -> None:
    """Read the command line, time both, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--records", type=int, default=100_000, metavar="N", help="predictions (default 100,000)")
    options.add_argument("--replicates", type=int, default=2000, metavar="N", help="replicates (default 2,000)")
    options.add_argument("--baseline", type=int, default=5, metavar="N", help="replicates timed of scikit-learn")
    args = options.parse_args()

    from evaluation_workloads import time_intervals

    found = {str(k): time_intervals(args.records, args.replicates, args.baseline, k) for k in (2, 3)}
    report = {
        "command": shlex.join(["python", "tools/benchmark_evaluation.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "records": args.records,
        "replicates": args.replicates,
        "classes": found,
        "target": {"cpu_seconds_at_most": TARGET, "reached": found["2"]["cpu_seconds"] <= TARGET},
    }
    write_json(args.output, report)


if __name__ == "__main__":
    main(run)
