"""Compare the splits of a data set: shared, repeated and contradictory records, as input of the audit."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import CompareSplitsSettings


def run() -> None:
    """Read the three sequence tables and the catalogues; write the comparison."""
    arguments = parser(__doc__, CompareSplitsSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of train, validation and test (parquet)")
    arguments.add_argument(
        "--catalogues", type=Path, nargs="*", default=[], help="catalogues on the data set's genome (parquet)"
    )
    arguments.add_argument("--relatives", type=Path, required=True, help="pairs of related records (parquet)")
    arguments.add_argument("--calls", type=Path, help="what TRF calls in the records (parquet)")
    arguments.add_argument("--output", type=Path, required=True, help="what was found (JSON)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.data.leakage import compare
    from dnalm.data.relatives import TABLE
    from dnalm.names import SPLITS
    from dnalm.tables.repeat_calls import read_calls
    from dnalm.tables.sequences import check_table

    paths = {split: args.data / f"{split}.parquet" for split in SPLITS}
    tables = {split: files.read_table(path) for split, path in paths.items()}
    for split, path in paths.items():
        check_table(tables[split], path)
    catalogues = [files.read_table(path, ["chrom", "start", "end"]) for path in args.catalogues]
    relatives = files.read_table(args.relatives, list(TABLE))
    ids = [one for split in SPLITS for one in tables[split]["id"]]
    called = read_calls(args.calls, ids) if args.calls else None
    files.write_json(args.output, compare(tables, relatives, catalogues, called, args.settings))


if __name__ == "__main__":
    main(run)
