"""Collect the metrics of all runs in one table, one row per run."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.evaluation import SummarizeSettings


def run() -> None:
    """Command line."""
    arguments = parser(__doc__, SummarizeSettings)
    arguments.add_argument("--results", type=Path, required=True, help="folder of the data sets' results")
    arguments.add_argument("--output", type=Path, required=True, help="table (TSV)")
    args = arguments.parse_args()

    from dnalm.evaluation.report.summary import FLOAT_FORMAT, summarize
    from dnalm.files import write_tsv

    write_tsv(args.output, summarize(args.results, args.settings.runs), float_format=FLOAT_FORMAT)


if __name__ == "__main__":
    main(run)
