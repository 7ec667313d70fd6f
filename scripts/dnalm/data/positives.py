"""Positives: the arrays of a catalogue as labelled sequences."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.tables.sequences import LOCUS, sequence_table, unique_ids

if TYPE_CHECKING:
    import pysam

NO_SEQUENCE = "no sequence in the catalogue"
DUPLICATE = "duplicate sequence"
NOT_ACGT = "not only A, C, G, T"
OFF_CHROMOSOME = "flank runs off the chromosome"


def extract_positives(
    catalogue: pd.DataFrame,
    source: str,
    genome: "pysam.FastaFile | None",
    min_length: int,
    flank: int,
    deduplicate: bool,
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The arrays of a catalogue as a sequence table (label 1), and the number dropped by reason.

    With a genome, sequences are read from it, with `flank` bases of context on both sides; `start` and `end` are those
    of the array alone. Without a genome, the sequence is the catalogue's, and the coordinates, which belong to another
    assembly, are moved to the extra columns `LOCUS`. `deduplicate` keeps the first of several equal arrays.
    """
    dropped = Counter[str]()
    seen: set[str] = set()
    rows, sequences = [], []
    if genome is not None:
        absent = sorted(set(catalogue["chrom"]) - set(genome.references))
        if absent:
            raise UserError(f"catalogue: the genome has no chromosome '{absent[0]}'; use one that lies on this genome")
    records = zip(catalogue["sequence"], catalogue["chrom"], catalogue["start"], catalogue["end"], strict=True)
    for row, (own, chrom, start, end) in enumerate(tqdm(records, desc="extract", mininterval=2, total=len(catalogue))):
        if genome is None:
            sequence = own.upper() if isinstance(own, str) else ""
        elif start < flank or end + flank > genome.get_reference_length(chrom):
            dropped[OFF_CHROMOSOME] += 1
            continue
        else:
            sequence = genome.fetch(chrom, start - flank, end + flank).upper()
        array = sequence[flank : len(sequence) - flank]
        if not array:
            dropped[NO_SEQUENCE] += 1
        elif len(array) < min_length:
            dropped[f"shorter than min_length ({min_length})"] += 1
        elif sequence.strip("ACGT"):
            dropped[NOT_ACGT] += 1
        elif deduplicate and array in seen:
            dropped[DUPLICATE] += 1
        else:
            seen.add(array)
            rows.append(row)
            sequences.append(sequence)
    kept = catalogue.iloc[rows].reset_index(drop=True)
    ids = unique_ids(kept["id"])
    columns: dict[str, Any] = {"id": ids, "sequence": sequences, "label": 1, "group": "", "source": source}
    place: tuple[str, ...] = ()
    if genome is not None:
        columns |= {"chrom": kept["chrom"], "start": kept["start"], "end": kept["end"], "strand": "+"}
    else:
        place = LOCUS
        columns |= {name: kept[name.removeprefix("locus_")] for name in LOCUS}
    columns |= {name: kept[name] for name in ("motif", "motif_length", "copies", "divergence")}
    return sequence_table({**columns, "positive": ids}, extra=["positive", *place]), dict(dropped)
