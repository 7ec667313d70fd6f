"""Import tables with labels or targets, as published splits or to be split.

CSV, TSV, parquet, JSON Lines or FASTA; a table may be in several files, one for each label.
"""

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
    from dnalm.data.labelled_tables import import_tables, labelled_by_file, on_listed_chromosomes
    from dnalm.data.table_formats import read_given_table
    from dnalm.tables.ledger import entry

    settings: ImportTableSettings = args.settings
    columns = (settings.sequence_column, settings.target_column or settings.label_column)
    tables = []
    for part, label, path in zip(settings.parts, settings.file_labels, args.files, strict=True):
        table = read_given_table(part, path, *columns)
        tables.append(table if label is None else labelled_by_file(table, label, settings.label_column))
    told = (settings.sequence_column, settings.label_column, settings.labels, settings.target_column)
    records, facts = import_tables(tables, *told, settings.extra)
    total, dropped = len(records), {}
    if settings.zones is not None:
        records, elsewhere = on_listed_chromosomes(records, settings.zones, settings.extra["chrom"], tables)
        dropped = {"chromosome in no split": elsewhere}
    files.write_table(args.output, records)
    line = entry("import_table", "table", total, len(records), dropped)
    files.write_json(args.ledger, {"ledger": [line], **facts})


if __name__ == "__main__":
    main(run)
