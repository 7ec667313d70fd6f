"""Declare how a data set's runs will be compared, before any of them is scored on its test split."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import PlanSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, PlanSettings)
    arguments.add_argument("--manifest", type=Path, required=True, help="the data set's manifest (JSON)")
    arguments.add_argument("--output", type=Path, required=True, help="the plan and its SHA-256 (JSON)")
    args = arguments.parse_args()

    from dnalm.evaluation.statistics.plan import plan
    from dnalm.files import read_json, write_json

    write_json(args.output, plan(args.settings, read_json(args.manifest)["splits"]["test"]))


if __name__ == "__main__":
    main(run)
