"""Place a catalogue without positions on a genome: find every copy and near copy of its arrays by their sequences."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import PlaceCatalogueSettings


def run() -> None:
    """Read the catalogue and the genome; write the places and the ledger."""
    arguments = parser(__doc__, PlaceCatalogueSettings)
    arguments.add_argument("--catalogue", type=Path, required=True, help="imported catalogue (parquet)")
    arguments.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    arguments.add_argument("--output", type=Path, required=True, help="table of places (parquet)")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts (JSON)")
    given = arguments.parse_args()

    from dnalm.data.genomes import open_genome
    from dnalm.data.placement import place
    from dnalm.files import read_table, write_json, write_table

    catalogue = read_table(given.catalogue, ["id", "sequence"])
    with open_genome(given.genome) as genome:
        places, ledger = place(catalogue, given.settings.catalogue, genome)
    write_table(given.output, places)
    write_json(given.ledger, ledger)


if __name__ == "__main__":
    main(run)
