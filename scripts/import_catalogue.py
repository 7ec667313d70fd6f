"""Import a catalogue of tandem repeats (VNTRseek VCF, UCSC simpleRepeat, TRF .dat, BED) and check it on its genome."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import ImportCatalogueSettings


def run() -> None:
    """Read, check, write."""
    arguments = parser(__doc__, ImportCatalogueSettings)
    arguments.add_argument("--files", nargs="+", type=Path, required=True, help="the catalogue, plain or gzip")
    arguments.add_argument("--genome", type=Path, help="indexed FASTA that its positions refer to")
    arguments.add_argument("--output", type=Path, required=True, help="table of records")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts, as JSON")
    given = arguments.parse_args()

    from dnalm.data.catalogues import import_catalogue
    from dnalm.files import write_json, write_table
    from dnalm.tables import ledger

    settings = given.settings
    imported = import_catalogue(given.files, settings.format, settings.filters, given.genome)
    write_table(given.output, imported.table)
    line = ledger.entry("import", settings.catalogue, imported.read, len(imported.table), imported.dropped)
    write_json(given.ledger, {"ledger": [line], **imported.counts})


if __name__ == "__main__":
    main(run)
