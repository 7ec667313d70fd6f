"""Find related records of a data set: with equal or similar sequences, of one motif family, or from one locus."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import RelateSettings


def run() -> None:
    """Read the sequence table of all records; write the pairs of related records."""
    arguments = parser(__doc__, RelateSettings)
    arguments.add_argument("--records", type=Path, required=True, help="sequence table of all records (parquet)")
    arguments.add_argument("--output", type=Path, required=True, help="pairs of relatives and their kind (parquet)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.data.relatives import find_relatives

    files.write_table(args.output, find_relatives(files.read_table(args.records), args.settings))


if __name__ == "__main__":
    main(run)
