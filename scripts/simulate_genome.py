"""Simulate a small soft-masked genome, and a VNTRseek-format VCF of its tandem arrays."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.genomes import Simulation


def run() -> None:
    """Simulate and write."""
    arguments = parser(__doc__, Simulation)
    arguments.add_argument("--fasta", type=Path, required=True, help="the genome, bgzip-packed")
    arguments.add_argument("--vcf", type=Path, required=True, help="its tandem arrays")
    given = arguments.parse_args()

    from dnalm.data.genomes import FastaWriter
    from dnalm.data.simulation import simulate, vcf
    from dnalm.files import atomic

    genome, arrays = simulate(given.settings)
    with atomic(given.vcf) as new_vcf, atomic(given.fasta) as new_fasta:
        with FastaWriter(new_fasta) as writer:
            for name, bases in genome.items():
                writer.start(name)
                writer.write(bases)
        new_vcf.write_text(vcf(genome, arrays))


if __name__ == "__main__":
    main(run)
