"""Run Tandem Repeats Finder on the records of a data set, once for all stages that use its calls.

If trf is not installed, the column `called` has no values.
"""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import FindRepeatsSettings


def run() -> None:
    """Read a sequence table; write TRF's best call in each record."""
    arguments = parser(__doc__, FindRepeatsSettings)
    arguments.add_argument("--records", type=Path, required=True, help="sequence table (parquet)")
    arguments.add_argument("--output", type=Path, required=True, help="what TRF calls in each record (parquet)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.sequence.trf import best_repeats
    from dnalm.tables.repeat_calls import repeat_calls

    records = files.read_table(args.records, ["id", "sequence"])
    found = best_repeats(records["sequence"].tolist(), args.settings.parameters)
    files.write_table(args.output, repeat_calls(records["id"].tolist(), found))


if __name__ == "__main__":
    main(run)
