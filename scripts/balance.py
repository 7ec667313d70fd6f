"""Balance the classes: draw negatives for each positive; positives without a match are dropped and counted."""

from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import BalanceSettings


def run() -> None:
    """Read positives, genome and the pieces that negatives come from; write all records and the ledger."""
    arguments = parser(__doc__, BalanceSettings)
    arguments.add_argument("--positives", type=Path, required=True, help="sequence table of the positives (parquet)")
    arguments.add_argument("--genome", type=Path, required=True, help="indexed FASTA that negatives are drawn from")
    for source in ("unique", "interspersed"):
        arguments.add_argument(f"--{source}", type=Path, nargs="*", default=[], help=f"{source} pieces (parquet)")
    arguments.add_argument("--context", type=Path, nargs="*", help="intervals without N and catalogue, for flanks")
    arguments.add_argument("--output", type=Path, required=True, help="sequence table of all records (parquet)")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts, kept against dropped (JSON)")
    args = arguments.parse_args()

    import pandas as pd

    from dnalm import files
    from dnalm.data.balance import balance
    from dnalm.data.genomes import open_genome

    def intervals(shards: list[Path]) -> pd.DataFrame:
        return pd.concat([files.read_table(shard, ["chrom", "start", "end"]) for shard in shards], ignore_index=True)

    pieces = {source: intervals(shards) for source in ("unique", "interspersed") if (shards := getattr(args, source))}
    context = intervals(args.context) if args.context else None
    with open_genome(args.genome) as genome:
        records, ledger = balance(files.read_table(args.positives), pieces, context, genome, args.settings)
    files.write_table(args.output, records)
    files.write_json(args.ledger, ledger)


if __name__ == "__main__":
    main(run)
