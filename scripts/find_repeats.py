"""Find the tandem repeats of a genome's shard with Tandem Repeats Finder."""

import sys
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import FindRepeatsSettings


def run() -> None:
    """Run trf on each chromosome of the shard."""
    arguments = parser(__doc__, FindRepeatsSettings)
    arguments.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    arguments.add_argument("--shard", type=int, required=True, help="number of the shard of chromosomes, from 0")
    arguments.add_argument("--output", type=Path, required=True, help="the .dat, in the layout of trf -ngs")
    given = arguments.parse_args()

    from tqdm import tqdm

    from dnalm.data.genomes import chromosome_lengths, open_genome, read_bases
    from dnalm.files import atomic
    from dnalm.names import shard_chromosomes
    from dnalm.sequence.trf import find_repeats

    with open_genome(given.genome) as genome, atomic(given.output) as temporary, open(temporary, "wb") as output:
        names = shard_chromosomes(chromosome_lengths(genome), given.shard)
        for name in tqdm(names, desc="trf", unit="chromosome", mininterval=1, file=sys.stderr):
            output.write(find_repeats(name, read_bases(genome, name).tobytes(), given.settings.parameters))


if __name__ == "__main__":
    main(run)
