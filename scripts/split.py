"""Cut a masked FASTA at its runs of N and keep the pieces that are long enough."""

import sys
from pathlib import Path

from dnalm.cli import main, parser
from dnalm.config.stages.data import SplitSettings


def run() -> None:
    """Cut one shard, one chromosome at a time."""
    arguments = parser(__doc__, SplitSettings)
    arguments.add_argument("--masked", type=Path, required=True, help="masked FASTA")
    arguments.add_argument("--output", type=Path, required=True, help="table of pieces: chrom, start, end")
    arguments.add_argument("--ledger", type=Path, required=True, help="counts, as JSON")
    given = arguments.parse_args()

    import numpy as np
    import pandas as pd
    import pysam
    from tqdm import tqdm

    from dnalm.data.masks import pieces
    from dnalm.files import write_json, write_table
    from dnalm.tables import ledger

    min_length = given.settings.min_length
    tables = []
    found = bases = unmasked = 0
    with pysam.FastxFile(str(given.masked), persist=False) as records:
        for record in tqdm(records, desc="split", unit="chromosome", mininterval=1, file=sys.stderr):
            masked = np.frombuffer(record.sequence.encode(), np.uint8)
            starts, ends = pieces(masked)
            long = ends - starts >= min_length
            tables.append(pd.DataFrame({"chrom": record.name, "start": starts[long], "end": ends[long]}))
            found += len(starts)
            bases += len(masked)
            unmasked += int((ends - starts).sum())
    empty = pd.DataFrame(
        {"chrom": pd.Series(dtype="str"), "start": pd.Series(dtype="int64"), "end": pd.Series(dtype="int64")}
    )
    kept = pd.concat([empty, *tables], ignore_index=True)
    write_table(given.output, kept)
    dropped = {"shorter than min_length": found - len(kept)}
    line = ledger.entry("split", given.settings.source, found, len(kept), dropped)
    kept_bases = int((kept["end"] - kept["start"]).sum())
    write_json(given.ledger, {"ledger": [line], "bases": bases, "unmasked_bases": unmasked, "kept_bases": kept_bases})


if __name__ == "__main__":
    main(run)
