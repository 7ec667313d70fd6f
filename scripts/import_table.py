"""Import a table with labels or targets: CSV, TSV or parquet, as published splits or as one table to be split."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import ImportTableSettings


def run() -> None:
    """Read and check the tables; write one sequence table and the ledger."""
    arguments = parser(__doc__, ImportTableSettings)
    arguments.add_argument(
        "--files", type=Path, nargs="+", required=True, help="tables, in the order of the settings' parts"
    )
    arguments.add_argument("--output", type=Path, required=True, help="sequence table of all records (parquet)")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts (JSON)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.data.labelled_tables import import_tables
    from dnalm.tables.ledger import entry

    settings: ImportTableSettings = args.settings
    paths = dict(zip(settings.parts, args.files, strict=True))
    parts = {part: files.read_user_table(path) for part, path in paths.items()}
    columns = (settings.sequence_column, settings.label_column, settings.labels, settings.target_column)
    records, facts = import_tables(parts, paths, *columns)
    files.write_table(args.output, records)
    files.write_json(args.ledger, {"ledger": [entry("import_table", "table", len(records), len(records), {})], **facts})


if __name__ == "__main__":
    main(run)
