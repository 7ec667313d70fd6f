"""Tokenize the records of a table without truncation, for all models with that tokenizer."""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.training import TokenizeSettings
from dnalm.files import atomic, write_json


def run() -> None:
    """Read the command line, tokenize, write."""
    options = parser(__doc__, TokenizeSettings)
    options.add_argument("--tokenizer", type=Path, required=True, metavar="DIR", help="a tokenizer for AutoTokenizer")
    options.add_argument("--table", type=Path, required=True, metavar="PARQUET", help="records with id and sequence")
    options.add_argument("--ids", type=Path, required=True, metavar="NPY", help="token ids of all records")
    options.add_argument("--offsets", type=Path, required=True, metavar="NPY", help="where each record starts in them")
    options.add_argument("--soft-masked", type=Path, metavar="NPY", help="soft-masked bases of each token (corpora)")
    options.add_argument("--counts", type=Path, required=True, metavar="JSON", help="tokens, unknown tokens, lengths")
    options.add_argument("--threads", type=int, default=1, metavar="N", help="processes that tokenize (default 1)")
    args = options.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # otherwise the library uses all cores, in each process

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from tqdm import tqdm

    from dnalm.errors import UserError
    from dnalm.sequence.alphabet import reverse_complement
    from dnalm.tables.corpora import in_case
    from dnalm.training.engine.devices import quiet
    from dnalm.training.models.tokenization import BATCH, tokenize
    from dnalm.training.models.tokenizers import load_tokenizer, specials_of, stated_limit

    def batches(table: pq.ParquetFile) -> Iterator[tuple[list[str], list[str]]]:
        bar = tqdm(total=table.metadata.num_rows, unit=" records", mininterval=1, file=sys.stderr)
        with bar:
            marks = ["soft_masked"] if args.soft_masked else []
            for batch in table.iter_batches(batch_size=BATCH, columns=["id", "sequence", *marks]):
                ids = batch["id"].to_pylist()
                sequences = in_case(batch) if args.soft_masked else batch["sequence"].to_pylist()
                yield ids, [reverse_complement(s) for s in sequences] if args.settings.reverse_complement else sequences
                bar.update(len(ids))

    quiet()
    trust = args.settings.trust_remote_code
    tokenizer = load_tokenizer(args.tokenizer, trust)
    try:
        with (
            # these two options avoid reading a whole column into memory
            pq.ParquetFile(args.table, buffer_size=2**20, pre_buffer=False) as table,
            atomic(args.ids) as ids_path,
            atomic(args.offsets) as offsets_path,
            atomic(args.soft_masked) if args.soft_masked else nullcontext() as soft_path,
        ):
            # spawned processes would not have the checkpoint's code
            limit = 1 if trust and sys.platform != "linux" else args.threads
            processes = max(1, min(limit, table.metadata.num_rows // BATCH))
            offsets, counts = tokenize(tokenizer, batches(table), ids_path, processes, soft_path)
            with open(offsets_path, "wb") as stream:
                np.save(stream, offsets)
            special, stated = specials_of(tokenizer).added(), stated_limit(tokenizer, args.tokenizer)
            write_json(args.counts, {**counts, "special_tokens": special, "limit": stated})
    except pa.ArrowInvalid as error:
        raise UserError(f"{args.table}: cannot read this parquet table ({str(error).splitlines()[0]})") from error


if __name__ == "__main__":
    main(run)
