"""Draw the background: unmatched windows at random places of the genome outside the masked catalogues."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import DrawBackgroundSettings


def run() -> None:
    """Read the splits, the genome and the catalogues; write the windows and the ledger."""
    arguments = parser(__doc__, DrawBackgroundSettings)
    arguments.add_argument("--data", type=Path, required=True, help="folder of train, validation and test.parquet")
    arguments.add_argument("--genome", type=Path, required=True, help="indexed FASTA")
    arguments.add_argument("--catalogues", type=Path, nargs="*", default=[], help="imported catalogues of that genome")
    arguments.add_argument("--output", type=Path, required=True, help="sequence table of the windows (parquet)")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts, kept against dropped (JSON)")
    args = arguments.parse_args()

    import pandas as pd

    from dnalm import files
    from dnalm.data.background import between, draw_background, group_windows
    from dnalm.data.genomes import open_genome
    from dnalm.names import SPLITS

    columns = ["sequence", "label", "chrom", "start", "end"]
    tables = {split: files.read_table(args.data / f"{split}.parquet", columns) for split in SPLITS}
    places = ["chrom", "start", "end"]
    repeats = pd.concat([pd.DataFrame(columns=places), *(files.read_table(path, places) for path in args.catalogues)])
    with open_genome(args.genome) as genome:
        context, settings = between(genome, repeats), args.settings
        table, ledger = draw_background(tables, context, genome, settings.number, settings.flank, settings.seed)
    files.write_table(args.output, group_windows(table, settings.related))
    files.write_json(args.ledger, ledger)


if __name__ == "__main__":
    main(run)
