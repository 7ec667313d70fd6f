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
    from dnalm.data.labelled_tables import WHOLE, import_tables, on_listed_chromosomes
    from dnalm.tables.ledger import entry

    settings: ImportTableSettings = args.settings
    paths = dict(zip(settings.parts, args.files, strict=True))
    parts = {part: files.read_user_table(path) for part, path in paths.items()}
    columns = (settings.sequence_column, settings.label_column, settings.labels, settings.target_column)
    records, facts = import_tables(parts, paths, *columns, settings.extra)
    total, dropped = len(records), {}
    if settings.zones is not None:
        column = settings.extra["chrom"]
        records, elsewhere = on_listed_chromosomes(records, settings.zones, column, paths[WHOLE])
        dropped = {"chromosome in no split": elsewhere}
    files.write_table(args.output, records)
    line = entry("import_table", "table", total, len(records), dropped)
    files.write_json(args.ledger, {"ledger": [line], **facts})


if __name__ == "__main__":
    main(run)
