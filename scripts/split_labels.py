"""Split the labelled records into train, validation and test, and write the data set's manifest."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import SplitLabelsSettings


def run() -> None:
    """Group the records, assign the splits, write three sequence tables and the manifest."""
    arguments = parser(__doc__, SplitLabelsSettings)
    arguments.add_argument("--records", type=Path, required=True, help="sequence table of all records (parquet)")
    arguments.add_argument("--relatives", type=Path, required=True, help="pairs of related records (parquet)")
    arguments.add_argument("--ledgers", type=Path, nargs="*", default=[], help="ledgers of the previous stages (JSON)")
    for split in ("train", "validation", "test"):
        arguments.add_argument(f"--{split}", type=Path, required=True, help=f"{split} split (parquet)")
    arguments.add_argument("--manifest", type=Path, required=True, help="ledger and facts of the data set (JSON)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.data.divide import divide
    from dnalm.names import SPLITS

    ledgers = [files.read_json(path) for path in args.ledgers]
    records, relatives = files.read_table(args.records), files.read_table(args.relatives)
    tables, manifest = divide(records, relatives, ledgers, args.settings)
    for split in SPLITS:
        files.write_table(getattr(args, split), tables[split])
        manifest["splits"][split]["sha256"] = files.sha256(getattr(args, split))
    files.write_json(args.manifest, manifest)


if __name__ == "__main__":
    main(run)
