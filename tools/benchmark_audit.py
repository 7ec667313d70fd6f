"""Measure time and memory of the audit of a large data set.

A data set of tandem arrays of many families and their shuffles is simulated from a fixed seed in a temporary directory.
Then relate.py, compare_splits.py and audit.py are run on it as in the workflow, each in its own process, and for
comparison a process that only reads the same tables. The output is JSON: machine, versions, seconds and peak resident
memory (GiB) of each process, total seconds and largest memory, and the ratio of the time to that of reading.
"""

import library  # noqa: I001

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.files import read_json, write_json
from dnalm.machine import machine, measured
from dnalm.provenance import versions

SEED = 1
MODEL = "simulated"
TARGET = {"seconds_at_most": 600, "gib_at_most": 8}
SCRIPTS = library.ROOT / "scripts"
READ = "import sys; from dnalm.files import read_table; [read_table(path) for path in sys.argv[1:]]"


def run() -> None:
    """Read the command line, simulate, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--sequences", type=int, default=500_000, metavar="N", help="records (default 500,000)")
    args = options.parse_args()
    if args.sequences < 100:
        raise UserError(f"--sequences: {args.sequences} are too few to audit; use at least 100")

    from evaluation_workloads import MEAN_LENGTH, simulate

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"simulating {args.sequences} sequences", file=sys.stderr)
        simulate(folder, args.sequences, MODEL, SEED)
        parts = {part: measure(command, spec) for part, (command, spec) in commands(folder).items()}
        audit = read_json(folder / "audit.json")
    audited = [figures for part, figures in parts.items() if part != "read"]
    seconds, gib = sum(part["seconds"] for part in audited), max(part["gib"] for part in audited)
    report = {
        "command": shlex.join(["python", "tools/benchmark_audit.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "sequences": args.sequences,
        "mean_length": MEAN_LENGTH,
        "seed": SEED,
        "parts": parts,
        "seconds": round(seconds, 1),
        "gib": gib,
        "baseline": "read: a process that only reads the three tables",
        "times_baseline": round(seconds / parts["read"]["seconds"], 1),
        "target": {**TARGET, "reached": seconds <= TARGET["seconds_at_most"] and gib <= TARGET["gib_at_most"]},
        "found": {check["name"]: check["status"] for check in audit["checks"]},
    }
    write_json(args.output, report)


def commands(folder: Path) -> dict[str, tuple[list[str], dict[str, Any] | None]]:
    """Command line and settings of each measured part, in the order in which they run."""
    from dnalm.config.audits import Audit
    from dnalm.config.datasets import Related
    from dnalm.config.stages.evaluation import AuditSettings
    from dnalm.names import SPLITS

    tables = [str(folder / "data" / f"{split}.parquet") for split in SPLITS]
    data, leakage = ["--data", str(folder / "data")], str(folder / "leakage.json")
    tokens = [str(folder / "tokens" / MODEL / f"{split}.json") for split in SPLITS]
    relatives = str(folder / "relatives.parquet")
    relate = ["--records", str(folder / "records.parquet"), "--output", relatives]
    compare = [*data, "--relatives", relatives, "--catalogues", str(folder / "catalogue.parquet"), "--output", leakage]
    audit = [*data, "--leakage", leakage, "--tokens", *tokens, "--output", str(folder / "audit.json")]
    limits = Audit(fail_on=[])
    settings = AuditSettings(dataset="simulated", kind="repeats", audit=limits, labels=None, models={MODEL: 512})
    related = Related().model_dump(mode="json")
    compared = {"kind": "repeats", "related": related}
    return {
        "read": (["-c", READ, *tables], None),
        "relate": ([str(SCRIPTS / "relate.py"), "--spec", "-", *relate], related),
        "compare_splits": ([str(SCRIPTS / "compare_splits.py"), "--spec", "-", *compare], compared),
        "audit": ([str(SCRIPTS / "audit.py"), "--spec", "-", *audit], settings.model_dump(mode="json")),
    }


def measure(arguments: Sequence[str], spec: dict[str, Any] | None) -> dict[str, float]:
    """Run Python with these arguments; return seconds and peak resident memory in GiB."""
    used = measured(arguments, spec, {**os.environ, "PYTHONPATH": str(SCRIPTS)})
    seconds, processor = round(used.seconds, 1), round(used.processor_seconds, 1)
    return {"seconds": seconds, "processor_seconds": processor, "gib": round(used.memory / 2**30, 2)}


if __name__ == "__main__":
    main(run)
