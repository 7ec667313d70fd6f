"""Clean data sets of many kinds, and such with one planted flaw, for the audit."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from dnalm.names import SPLITS

WORD = "ACGTTGCAAGCT"

Plant = Callable[[np.random.Generator, pd.DataFrame], None]


def simulate(
    number: int, seed: int, classes: int = 2, truth: str = "label", rare: float = 0.0, family: int = 1,
    skewed: bool = False, mixed: bool = False, spread: int = 100, plant: Plant | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Random sequences of 100 to 100 + spread bases in families (copies at 90 % identity), split by family.

    family: records of one, or their mean with `skewed`. mixed: labels by record, not by family. rare: share of label 1.
    Chromosome, place, strand and batch are random. plant: a change of the finished table, in place.
    """
    rng = np.random.default_rng([seed, number])
    sizes = np.full(number // family + 1, family)
    if skewed:
        sizes = np.minimum(rng.geometric(1 / family, number), 30)
    group = np.repeat(np.arange(len(sizes)), sizes)[:number]
    families = int(group.max()) + 1
    parents = [letters(rng, 100 + int(rng.integers(spread + 1)), rng.uniform(0.35, 0.65)) for _ in range(families)]
    table = pd.DataFrame(
        {
            "id": [f"table-{row:06d}" for row in rng.permutation(number) + 1],
            "sequence": [mutated(rng, parents[one]) if family > 1 else parents[one] for one in group],
            "group": [f"g{one:05d}" for one in group],
            "source": "table",
            "chrom": [f"chr{one}" for one in rng.integers(1, 8, families)[group]],
            "start": rng.integers(0, 100_000_000, families)[group],
            "strand": rng.choice(["+", "-"], families)[group],
            "batch": rng.choice(["a", "b", "c"], families)[group],
            "split": rng.choice(SPLITS, families, p=[0.6, 0.2, 0.2])[group],
        }
    )
    shares = [1 - rare, rare] if rare else [1 / classes] * classes
    if truth == "label":
        table["label"] = rng.choice(classes, number, p=shares) if mixed else rng.choice(classes, families, p=shares)[group]  # fmt: skip
    else:
        table["target"] = 0.7 * rng.normal(size=families)[group] + 0.7 * rng.normal(size=number)
    if plant:
        plant(rng, table)
    return table


def letters(rng: np.random.Generator, length: int, gc: float) -> str:
    """A random sequence."""
    return "".join(rng.choice(list("ACGT"), length, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]))


def mutated(rng: np.random.Generator, sequence: str) -> str:
    """The sequence with every tenth base drawn anew."""
    return "".join(letters(rng, 1, 0.5) if rng.random() < 0.1 else base for base in sequence)


def rows(rng: np.random.Generator, table: pd.DataFrame, label: int, share: float) -> Iterator[int]:
    """A random share of the rows of a label."""
    mine = np.flatnonzero(table["label"] == label)
    yield from rng.choice(mine, round(share * len(mine)), replace=False)


def word_at(place: int | None, share: float, word: str = WORD, label: int = 1, end: bool = False) -> Plant:
    """Write a word into a share of one label's sequences: at a place from the start or the end, or (None) anywhere."""

    def plant(rng: np.random.Generator, table: pd.DataFrame) -> None:
        sequences = table["sequence"].tolist()
        for row in rows(rng, table, label, share):
            text = sequences[row]
            at = int(rng.integers(len(text) - len(word))) if place is None else place
            at = len(text) - len(word) - at if end else at
            sequences[row] = text[:at] + word + text[at + len(word) :]
        table["sequence"] = sequences

    return plant


def changed(change: Callable[[np.random.Generator, str], str], share: float = 1.0) -> Plant:
    """Change a share of the sequences of label 1."""

    def plant(rng: np.random.Generator, table: pd.DataFrame) -> None:
        sequences = table["sequence"].tolist()
        for row in rows(rng, table, 1, share):
            sequences[row] = change(rng, sequences[row])
        table["sequence"] = sequences

    return plant


def moved(column: str, label: int, value: Callable[[np.random.Generator], Any], share: float = 1.0) -> Plant:
    """Give a share of the records of a label another origin, or another split."""

    def plant(rng: np.random.Generator, table: pd.DataFrame) -> None:
        column_of = table[column].tolist()
        for row in rows(rng, table, label, share):
            column_of[row] = value(rng)
        table[column] = column_of

    return plant


def _to_order(rng: np.random.Generator, table: pd.DataFrame) -> None:
    """Rows of label 1 tend to come late: ids by label and noise."""
    late = np.argsort(np.argsort(table["label"] + rng.normal(size=len(table))))
    table["id"] = [f"table-{row + 1:06d}" for row in late]


def _richer_test(rng: np.random.Generator, table: pd.DataFrame) -> None:
    """Test: every tenth A or T becomes G or C (GC .50 to .55)."""
    test = (table["split"] == "test").to_numpy()
    table.loc[test, "sequence"] = [_richer(rng, text, 0.1) for text in table.loc[test, "sequence"]]


def _richer(rng: np.random.Generator, text: str, share: float) -> str:
    return "".join("GC"[rng.integers(2)] if base in "AT" and rng.random() < share else base for base in text)


def _repeated(rng: np.random.Generator, text: str) -> str:
    at = int(rng.integers(len(text) - 9))
    return text[:at] + 9 * "ACGT"[rng.integers(4)] + text[at + 9 :]


def _one_chromosome(rng: np.random.Generator, table: pd.DataFrame) -> None:
    """All of label 0 within 2.3 Mb of chr2."""
    mine = (table["label"] == 0).to_numpy()
    table.loc[mine, "chrom"] = "chr2"
    table.loc[mine, "start"] = rng.integers(50_000_000, 52_300_000, int(mine.sum()))


def _one_stretch(rng: np.random.Generator, table: pd.DataFrame) -> None:
    """All records on chr2; those of label 0 in its first fifth."""
    table["chrom"] = "chr2"
    mine = (table["label"] == 0).to_numpy()
    table.loc[mine, "start"] = rng.integers(0, 20_000_000, int(mine.sum()))


def _fewer_negatives(rng: np.random.Generator, table: pd.DataFrame) -> None:
    """Half of the records of label 0 in test go to train."""
    moving = (table["label"] == 0) & (table["split"] == "test") & (rng.random(len(table)) < 1 / 2)
    table.loc[moving, "split"] = "train"


PLANTS: dict[str, tuple[str, Plant, tuple[int, ...]]] = {
    "12-mer at position 40 of every positive": ("markers", word_at(40, 1.0), (400,)),
    "12-mer at position 40 of 20 % of the positives": ("markers", word_at(40, 0.2), (400,)),
    "12-mer at position 40 of 10 % of the positives": ("markers", word_at(40, 0.1), (400,)),
    "12-mer at position 40 of 5 % of the positives": ("markers", word_at(40, 0.05), (400, 1000)),
    "12-mer at position 40 of 10 % of the negatives": ("markers", word_at(40, 0.1, label=0), (400,)),
    "12-mer 20 bases from the end of 10 % of the positives": ("markers", word_at(20, 0.1, end=True), (400,)),
    "6-mer at position 40 of 10 % of the positives": ("markers", word_at(40, 0.1, "GAATTC"), (400,)),
    "12-mer anywhere in 20 % of the positives": ("markers", word_at(None, 0.2), (400,)),
    "12-mer anywhere in 10 % of the positives": ("markers", word_at(None, 0.1), (400,)),
    "12-mer anywhere in 5 % of the positives": ("markers", word_at(None, 0.05), (1000,)),
    "8-mer anywhere in 10 % of the positives": ("markers", word_at(None, 0.1, "GCATTAGC"), (400,)),
    "even lengths of the positives": ("shortcuts", changed(lambda _, s: s[: len(s) // 2 * 2]), (400,)),
    "lengths of the positives in threes": ("shortcuts", changed(lambda _, s: s[: len(s) // 3 * 3]), (400,)),
    "3-mer composition (AT to TA)": ("shortcuts", changed(lambda _, s: s.replace("GAT", "GTA")), (400,)),
    "GC skew (a fifth of the C become G)": (
        "shortcuts", changed(lambda rng, s: "".join("G" if b == "C" and rng.random() < 0.2 else b for b in s)), (1000,),
    ),
    "a homopolymer of 9": ("shortcuts", changed(_repeated), (1000,)),
    "negatives from 2.3 Mb of one chromosome": ("origin", _one_chromosome, (400,)),
    "negatives from a fifth of the chromosome": ("origin", _one_stretch, (400,)),
    "half of the negatives from one batch": ("origin", moved("batch", 0, lambda _: "a", 0.5), (400,)),
    "half of the negatives on one strand": ("origin", moved("strand", 0, lambda _: "+", 0.5), (400,)),
    "positives late in the table": ("origin", _to_order, (400,)),
    "GC .50 in train, .55 in test": ("split_balance", _richer_test, (1000,)),
    "half of the test negatives moved to train": ("split_balance", _fewer_negatives, (1000,)),
}  # fmt: skip
"""By name: the check that is for it, the change of a clean table, and numbers of records."""
