"""Hard-mask a shard of a genome: soft-masked bases and the intervals of catalogues become N."""

import sys
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import MaskSettings


def run() -> None:
    """Mask the chromosomes of one shard, one at a time."""
    arguments = parser(__doc__, MaskSettings)
    arguments.add_argument("--genome", type=Path, required=True, help="indexed FASTA, soft-masked or not")
    arguments.add_argument("--catalogues", nargs="*", type=Path, default=[], help="imported catalogues of that genome")
    arguments.add_argument("--shard", type=int, required=True, help="number of the shard of chromosomes, from 0")
    arguments.add_argument("--output", type=Path, required=True, help="masked FASTA, bgzip-packed")
    given = arguments.parse_args()

    import pandas as pd
    from tqdm import tqdm

    from dnalm.data.genomes import FastaWriter, chromosome_lengths, open_genome, read_bases
    from dnalm.data.masks import mask
    from dnalm.files import atomic, read_table
    from dnalm.names import shard_chromosomes

    columns = ["chrom", "start", "end"]
    tables = [read_table(path, columns) for path in given.catalogues]
    intervals = pd.concat([pd.DataFrame(columns=columns), *tables]).drop_duplicates()
    with open_genome(given.genome) as genome, atomic(given.output) as temporary, FastaWriter(temporary) as writer:
        names = shard_chromosomes(chromosome_lengths(genome), given.shard)
        for name in tqdm(names, desc="mask", unit="chromosome", mininterval=1, file=sys.stderr):
            here = intervals[intervals["chrom"] == name]
            masked = mask(
                read_bases(genome, name),
                zip(here["start"].astype(int), here["end"].astype(int), strict=True),
                source=given.settings.source,
                soft=given.settings.soft,
            )
            writer.start(name)
            writer.write(masked.data)


if __name__ == "__main__":
    main(run)
