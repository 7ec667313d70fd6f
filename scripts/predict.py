"""Score DNA sequences with a finished model, outside the workflow.

Reads FASTA (also gzipped), or a CSV, TSV or parquet table with a column of sequences. Writes one row per record, in the
order of the input, with the columns id, predicted (the name of the most probable class, or a number in the targets'
unit), for a classifier score_<name> for each class, and windows (how many were averaged). For a language model instead
of predicted: bases (those that were scored), bits and bits_per_base, or the same of masked bases (masked_bases ...),
summed over windows.
"""

import argparse
import sys
from pathlib import Path

from dnalm.cli import main
from dnalm.errors import UserError
from dnalm.files import atomic


def run() -> None:
    """Read the command line, score, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True, metavar="DIR", help="a finished model")
    options.add_argument("--input", type=Path, required=True, metavar="FILE", help=".fasta, .csv, .tsv or .parquet")
    options.add_argument("--output", type=Path, required=True, metavar="TSV", help="scores")
    options.add_argument("--device", default="auto", choices=["auto", "cuda", "mps", "cpu"])
    options.add_argument("--batch-size", type=int, default=64, metavar="N", help="sequences at a time (default 64)")
    options.add_argument(
        "--overlong",
        default="window",
        choices=["window", "truncate", "drop", "error"],
        help="sequences longer than the model's limit: average over windows (default), truncate, drop, or fail",
    )
    options.add_argument("--sequence-column", default="sequence", metavar="NAME", help="column of a table")
    options.add_argument(
        "--id-column", default="id", metavar="NAME", help="column of a table (default id, else row numbers)"
    )
    options.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the model")
    args = options.parse_args()
    if args.batch_size < 1:
        raise UserError(f"--batch-size: {args.batch_size} is not a positive number")

    from dnalm.training.queries import read_sequences

    if args.output.is_dir():
        raise UserError(f"{args.output}: is a directory; name a file")
    if args.output.exists() and args.input.exists() and args.output.samefile(args.input):
        raise UserError(f"{args.output}: is also the input; name another output")
    ids, sequences = read_sequences(args.input, args.sequence_column, args.id_column)

    import numpy as np
    import pandas as pd

    from dnalm.training.models.tokenization import in_memory
    from dnalm.training.prediction import FinishedModel

    with atomic(args.output) as output:  # opened first, so that an output that cannot be written fails early
        model = FinishedModel.open(args.model, args.device, trust=args.trust_remote_code)
        tokens = in_memory(model.tokenizer, sequences)
        scores, windows = model.score(tokens, ids, args.overlong, args.batch_size, what="scoring")
        result: dict[str, object] = {"id": [ids[i] for i in windows.kept], **model.columns(scores)}
        result["windows"] = np.bincount(windows.record, minlength=len(ids))[windows.kept]
        pd.DataFrame(result).to_csv(output, sep="\t", index=False, lineterminator="\n", float_format=model.float_format)
    unknown = int(np.count_nonzero(tokens.ids == model.specials.unknown))
    print(
        f"{windows.records} records, {unknown} of {len(tokens.ids)} tokens unknown; {windows.overlong} longer than"
        f" {windows.size} tokens ({args.overlong}), {windows.dropped} dropped",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main(run)
