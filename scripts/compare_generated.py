"""Compare generated sequences with those that the model was trained on, outside the workflow.

Writes JSON, and a TSV of the same name beside it: k-mer spectra, GC, low complexity, tandem repeats, and the longest
exact copies of training sequences. With --held-out, real sequences that the model has not seen stand beside them.
"""

import argparse
import sys
from pathlib import Path

from dnalm.cli import main
from dnalm.errors import UserError


def run() -> None:
    """Read the command line, compare, write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--generated", type=Path, required=True, metavar="FILE", help="FASTA of generate.py")
    options.add_argument("--train", type=Path, required=True, metavar="FILE", help="train.parquet, or FASTA")
    options.add_argument("--held-out", type=Path, metavar="FILE", help="test.parquet, or FASTA")
    options.add_argument("--output", type=Path, required=True, metavar="JSON")
    args = options.parse_args()
    if args.output.suffix != ".json":
        raise UserError(f"{args.output}: name a .json file; a .tsv is written beside it")

    import pandas as pd

    from dnalm import files
    from dnalm.evaluation.generated import as_rows, compared
    from dnalm.sequence.fasta import read_sequences

    def read(path: Path) -> list[str]:
        if path.suffix == ".parquet":
            return [str(one) for one in files.read_table(path, ["sequence"])["sequence"]]
        return read_sequences(path)

    held_out = read(args.held_out) if args.held_out else None
    found = compared(read(args.generated), read(args.train), held_out)
    rows = pd.DataFrame(as_rows(found), columns=["figure", "generated", "held_out", "train"])
    files.write_tsv(args.output.with_suffix(".tsv"), rows, float_format="%.6g")
    files.write_json(args.output, found)
    print(rows.to_string(index=False), file=sys.stderr)


if __name__ == "__main__":
    main(run)
