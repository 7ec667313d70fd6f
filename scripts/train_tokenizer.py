"""Make a tokenizer: one trained on the training split, or k-mers or single bases."""

import sys
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.models import Tokenizer
from dnalm.files import atomic_directory

RECORDS, BASES = 100_000, 50_000_000
"""Records that a byte-pair encoding is trained on, at most, and about so many bases."""


def run() -> None:
    """Read the command line, train, save."""
    options = parser(__doc__, Tokenizer)
    options.add_argument("--train", type=Path, required=True, metavar="PARQUET", help="training split")
    options.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="directory of the tokenizer")
    args = options.parse_args()

    import pyarrow.parquet as pq

    from dnalm.tables.corpora import sample
    from dnalm.training.models.tokenizers import all_kmers, single_bases, train_bpe

    settings: Tokenizer = args.settings
    if settings.train == "kmer":
        tokenizer = all_kmers(settings.k, settings.overlapping)
    elif settings.train == "bases":
        tokenizer = single_bases()
    else:
        sequences = sample(args.train, ["sequence"], RECORDS, BASES)["sequence"].to_pylist()
        if len(sequences) < (records := pq.read_metadata(args.train).num_rows):
            print(f"trained on {len(sequences):,} of {records:,} records, evenly spread", file=sys.stderr)
        tokenizer = train_bpe(sequences, settings.vocabulary)
        if len(tokenizer) < settings.vocabulary:
            wanted = settings.vocabulary
            print(f"the training split yields only {len(tokenizer)} of {wanted} vocabulary entries", file=sys.stderr)
    with atomic_directory(args.output_dir) as directory:
        tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    main(run)
