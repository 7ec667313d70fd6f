"""Count a look at the test split: enter the plan into the ledger beside the output, if it is not there yet."""

import argparse
from pathlib import Path

from dnalm.cli import main

LEDGER = "looks.tsv"
"""It lies beside the output but is none: Snakemake removes a job's outputs first, and in a storage `update()` fails."""


def run() -> None:
    """Command line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--plan", type=Path, required=True, help="what plan.py declared (JSON)")
    arguments.add_argument("--output", type=Path, required=True, help="number of looks, and the earlier plans (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.statistics.plan import look
    from dnalm.files import read_json, write_json

    write_json(args.output, look(read_json(args.plan)["plan"], args.output.with_name(LEDGER)))


if __name__ == "__main__":
    main(run)
