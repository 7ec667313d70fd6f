"""A simulated data set of any size, to measure the audit on."""

from pathlib import Path

import numpy as np
import pandas as pd

from dnalm.files import write_json, write_table
from dnalm.names import SEQUENCE_COLUMNS, SPLITS

MEAN_LENGTH, MIN_LENGTH = 130, 26
MOTIF_LENGTHS = (7, 60)
PAIRS_PER_FAMILY = 5
DIVERGENCE = 0.05
"""Chance that a base of an array is drawn anew."""
TOKEN_BASES = 4


def simulate(folder: Path, records: int, model: str, seed: int) -> None:
    """Write a data set to audit under `folder`: `data`, `tokens/{model}`, and the places of its arrays, `catalogue.parquet`.

    Half of the records are arrays of random motifs, diverged, a few of each motif; the other half are their shuffles.
    Arrays of one motif, and their shuffles, are one group and lie in one split.
    """
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    pairs = records // 2
    families = max(pairs // PAIRS_PER_FAMILY, 10)
    motifs = [rng.integers(0, 4, size) for size in rng.integers(*MOTIF_LENGTHS, families)]
    family = rng.integers(0, families, pairs)
    lengths = MIN_LENGTH + rng.exponential(MEAN_LENGTH - MIN_LENGTH, pairs).astype(np.int64)
    arrays, twins = [], []
    for number, length in zip(family, lengths, strict=True):
        bases = np.resize(motifs[number], length)
        changed = rng.random(length) < DIVERGENCE
        bases[changed] = rng.integers(0, 4, int(changed.sum()))
        arrays.append(letters[bases].tobytes().decode())
        twins.append(letters[rng.permutation(bases)].tobytes().decode())
    starts = 1000 + np.cumsum(2 * lengths + 1000) - 2 * lengths
    group = np.array([f"family-{number:06d}" for number in family], dtype=object)
    spelt = np.array([letters[motif].tobytes().decode() for motif in motifs], dtype=object)[family]
    names = np.array([f"array-{row:06d}" for row in range(pairs)], dtype=object)
    common = {"group": group, "chrom": "simulated", "strand": "+", "positive": names}
    columns = [*SEQUENCE_COLUMNS, "positive"]
    positive = {"id": names, "sequence": arrays, "label": 1, "source": "bed", "start": starts, "end": starts + lengths}
    far = starts + lengths + 500
    negative = {
        "id": "twin-" + names,
        "sequence": twins,
        "label": 0,
        "source": "unique",
        "start": far,
        "end": far + lengths,
    }
    table = pd.concat(
        [pd.DataFrame({**positive, **common, "motif": spelt}), pd.DataFrame({**negative, **common})], ignore_index=True
    ).reindex(columns=columns)
    table = table.astype({"start": "Int64", "end": "Int64", "motif_length": "Int64", "motif": "str"})
    split = np.resize([0, 0, 0, 1, 2], families)[np.concatenate([family, family])]
    (folder / "tokens" / model).mkdir(parents=True)
    for number, name in enumerate(SPLITS):
        part = table[split == number].reset_index(drop=True)
        write_table(folder / "data" / f"{name}.parquet", part)
        tokens = part["sequence"].str.len().to_numpy(np.int64) // TOKEN_BASES
        np.save(folder / "tokens" / model / f"{name}.offsets.npy", np.concatenate([[0], tokens.cumsum()]))
        counts = {"records": len(part), "tokens": int(tokens.sum()), "unknown_tokens": 0, "records_with_unknown": 0}
        write_json(folder / "tokens" / model / f"{name}.json", counts)
    places = table.loc[table["label"] == 1, ["id", "chrom", "start", "end"]]
    write_table(folder / "catalogue.parquet", places.reset_index(drop=True))
