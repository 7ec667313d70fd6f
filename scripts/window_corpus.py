"""Cut genomes into windows, or read a table of sequences, and divide them: the three splits of a corpus."""

from contextlib import ExitStack
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import WindowCorpusSettings


def run() -> None:
    """Read genomes or a table twice, to count and to write; write three tables and the manifest."""
    arguments = parser(__doc__, WindowCorpusSettings)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--genomes", type=Path, nargs="+", help="indexed FASTA, in the order of the settings' names")
    source.add_argument("--table", type=Path, help="sequences: CSV, TSV or parquet")
    for split in ("train", "validation", "test"):
        arguments.add_argument(f"--{split}", type=Path, required=True, help=f"{split} split (parquet)")
    arguments.add_argument("--manifest", type=Path, required=True, help="ledger and facts of the corpus (JSON)")
    args = arguments.parse_args()

    from dnalm import files
    from dnalm.data.corpora import window_genomes
    from dnalm.data.corpus_tables import divide_table
    from dnalm.data.genomes import open_genome
    from dnalm.names import SPLITS

    settings: WindowCorpusSettings = args.settings
    places = {split: getattr(args, split) for split in SPLITS}
    if args.table:
        manifest = divide_table(args.table, settings, places)
    else:
        with ExitStack() as stack:
            opened = [stack.enter_context(open_genome(path)) for path in args.genomes]
            manifest = window_genomes(dict(zip(settings.genomes, opened, strict=True)), settings, places)
    for split in SPLITS:
        manifest["splits"][split]["sha256"] = files.sha256(places[split])
    files.write_json(args.manifest, manifest)


if __name__ == "__main__":
    main(run)
