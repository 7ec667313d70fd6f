"""Measure the rate of embedding: token files to a file of vectors, against the bare forward pass of the same model.

A BERT-base with GROVER's vocabulary and random weights embeds random records of about 200 bases. The output is JSON:
machine, versions, rates, their ratio, peak memory, and how each is measured.
"""

import library  # noqa: F401, I001

import argparse
import shlex
import sys
import tempfile
from pathlib import Path

from dnalm.cli import main
from dnalm.files import write_json
from dnalm.machine import machine
from dnalm.provenance import versions

TARGET = 0.9


def run() -> None:
    """Read the command line, measure, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--output", type=Path, required=True, metavar="JSON", help="the figures")
    options.add_argument("--records", type=int, default=1_000_000, metavar="N", help="records (default 1,000,000)")
    options.add_argument("--device", default="auto", help="auto, cuda, mps or cpu")
    args = options.parse_args()

    from dnalm.training.benchmarks.embeddings import METHOD, measure_embedding
    from dnalm.training.benchmarks.measurements import BERT_BASE
    from dnalm.training.runtime.lease import lease

    with lease(0 if args.device in ("cpu", "mps") else 1), tempfile.TemporaryDirectory() as folder:
        found = measure_embedding(Path(folder), BERT_BASE, args.records, args.device)
    report = {
        "command": shlex.join(["python", "tools/benchmark_embedding.py", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(),
        "method": METHOD,
        "model": BERT_BASE,
        **found,
        "target": {"ratio_at_least": TARGET, "reached": found["ratio"] >= TARGET},
    }
    write_json(args.output, report)


if __name__ == "__main__":
    main(run)
