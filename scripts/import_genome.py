"""Import a genome: one bgzip-packed, indexed FASTA from one file or one a chromosome (plain, gzip or bgzip)."""

import sys
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import ImportGenomeSettings


def run() -> None:
    """Read, check, write."""
    arguments = parser(__doc__, ImportGenomeSettings)
    arguments.add_argument(
        "--parts", nargs="+", type=Path, required=True, help="FASTA files, in the order of the settings' parts"
    )
    arguments.add_argument("--output", type=Path, required=True, help="the .fa.gz; .fai and .gzi are written beside it")
    given = arguments.parse_args()

    from dnalm.data.genomes import import_fasta

    parts = zip(given.settings.parts, given.parts, strict=True)
    lengths = import_fasta(parts, given.settings.chromosomes, given.output)
    print(f"{given.output}: {sum(lengths.values()):,} bases, chromosomes: {len(lengths):,}", file=sys.stderr)


if __name__ == "__main__":
    main(run)
