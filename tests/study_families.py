"""How many test arrays repeat a motif of train, and by chance: a shuffled one. Motif families must bring both close.

Prints shares for docs/lab-notebook.md; independent of the code under test (edlib alone). Run from the root of the
repository: python tests/study_families.py results/vntr-demo/data
"""

import random
import sys
from pathlib import Path

import edlib
import pandas as pd

IDENTITY = 0.85
COMPLEMENT = str.maketrans("ACGT", "TGCA")


def repeats_one(array: str, motifs: list[str]) -> bool:
    """Whether the whole array, on either strand, is a stretch of a motif's repetition with `IDENTITY`."""
    edits = int((1 - IDENTITY) * len(array) + 1e-9)
    for motif in motifs:
        endless = motif * (-(-(len(array) + edits) // len(motif)) + 1)
        for strand in (array, array.translate(COMPLEMENT)[::-1]):
            if edlib.align(strand, endless, mode="HW", task="distance", k=edits)["editDistance"] >= 0:
                return True
    return False


def main() -> None:
    """Print the share of the test arrays for the motifs of train and for these, shuffled."""
    tables = {split: pd.read_parquet(Path(sys.argv[1]) / f"{split}.parquet") for split in ("train", "test")}
    train, test = (table[table["label"] == 1] for table in tables.values())
    motifs = sorted(set(train["motif"].dropna()))
    rng = random.Random(0)
    shuffled = ["".join(rng.sample(motif, len(motif))) for motif in motifs]
    for name, some in (("motifs of train", motifs), ("shuffled", shuffled)):
        found = [repeats_one(array, some) for array in test["sequence"]]
        print(f"| {name} | {sum(found)} of {len(found)} | {sum(found) / len(found):.3f} |")


if __name__ == "__main__":
    main()
