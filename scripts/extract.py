"""Extract positives: the arrays of a tandem-repeat catalogue as labelled sequences."""

from contextlib import nullcontext
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import ExtractSettings
from dnalm.errors import UserError


def run() -> None:
    """Read the catalogue (and the genome, if the catalogue has positions on it); write the positives and the ledger."""
    arguments = parser(__doc__, ExtractSettings)
    arguments.add_argument("--catalogue", type=Path, required=True, help="imported catalogue (parquet)")
    arguments.add_argument("--genome", type=Path, help="indexed FASTA; needed if the catalogue has positions on it")
    arguments.add_argument("--output", type=Path, required=True, help="sequence table (parquet)")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts (JSON)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.data.divergence import fill_divergence
    from dnalm.data.genomes import open_genome
    from dnalm.data.motifs import fill_motifs
    from dnalm.data.positives import extract_positives
    from dnalm.tables.ledger import entry

    settings: ExtractSettings = args.settings
    catalogue = files.read_table(args.catalogue)
    with open_genome(args.genome) if settings.located else nullcontext() as genome:
        positives, dropped = extract_positives(
            catalogue, settings.format, genome, settings.min_length, settings.flank, settings.deduplicate
        )
    if positives.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "it has no records"
        raise UserError(f"{args.catalogue}: none of {len(catalogue)} arrays is left as a positive ({reasons})")
    positives, inferred = fill_motifs(positives, settings.flank)
    positives, measured = fill_divergence(positives, settings.flank)
    line = entry("extract", settings.format, len(catalogue), len(positives), dropped)
    files.write_table(args.output, positives)
    files.write_json(args.ledger, {"ledger": [line], "motifs_inferred": inferred, "divergences_measured": measured})


if __name__ == "__main__":
    main(run)
