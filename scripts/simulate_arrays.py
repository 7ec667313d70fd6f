"""Simulate tandem arrays of known divergence from units cut from a genome; write a catalogue without positions."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import SimulateArraysSettings


def run() -> None:
    """Simulate and write."""
    arguments = parser(__doc__, SimulateArraysSettings)
    arguments.add_argument("--genome", type=Path, required=True, help="indexed FASTA that units are cut from")
    arguments.add_argument("--output", type=Path, required=True, help="table of records")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts, as JSON")
    given = arguments.parse_args()

    from dnalm.data.array_simulation import simulate_arrays
    from dnalm.data.genomes import open_genome
    from dnalm.files import write_json, write_table
    from dnalm.tables.ledger import entry

    settings = given.settings
    with open_genome(given.genome) as genome:
        table, skipped = simulate_arrays(genome, settings)
    write_table(given.output, table)
    line = entry("simulate", settings.catalogue, settings.arrays, len(table), {})
    write_json(given.ledger, {"ledger": [line], "places_passed_over": skipped})


if __name__ == "__main__":
    main(run)
