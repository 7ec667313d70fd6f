"""Train a tokenizer on the training split."""

import sys
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.models import Tokenizer
from dnalm.files import atomic_directory, read_table


def run() -> None:
    """Read the command line, train, save."""
    options = parser(__doc__, Tokenizer)
    options.add_argument("--train", type=Path, required=True, metavar="PARQUET", help="training split")
    options.add_argument("--output-dir", type=Path, required=True, metavar="DIR", help="directory of the tokenizer")
    args = options.parse_args()

    from dnalm.training.models.tokenizers import train_bpe

    sequences = read_table(args.train, columns=["sequence"])["sequence"]
    tokenizer = train_bpe(sequences, args.settings.vocabulary)
    if len(tokenizer) < args.settings.vocabulary:
        wanted = args.settings.vocabulary
        print(f"the training split yields only {len(tokenizer)} of {wanted} vocabulary entries", file=sys.stderr)
    with atomic_directory(args.output_dir) as directory:
        tokenizer.save_pretrained(directory)


if __name__ == "__main__":
    main(run)
