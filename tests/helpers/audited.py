"""Small data sets to audit, clean ones and such with a planted flaw, and what `compare_splits.py` would say of them."""

from itertools import combinations

import numpy as np
import pandas as pd

from dnalm.config.audits import Audit
from dnalm.evaluation.audit.checks import Subject
from dnalm.names import SPLITS

NOTHING = {"records_left": 0, "records_right": 0}
PLACED = {**NOTHING, "located_left": 9, "located_right": 9}


def subject(kind="table", truth="label", **limits):
    return Subject("d", kind, {0: "no", 1: "yes"}, Audit(**limits).model_dump(), truth)


def letters(rng, length, gc=0.5):
    half = (1 - gc) / 2
    return "".join(rng.choice(list("ACGT"), size=length, p=[half, gc / 2, gc / 2, half]))


def records(seed=1, pairs=150, classes=2, make=letters, per_group=1):
    """Groups of `per_group` twin sets: one record of each class, of one length and GC; `make(rng, length, gc)` each."""
    rng = np.random.default_rng(seed)
    rows = []
    for twin in range(pairs):
        length, gc = int(rng.integers(40, 160)), rng.uniform(0.3, 0.7)
        group = f"g{twin // per_group:05d}"
        split = SPLITS[0] if twin // per_group % 5 < 3 else SPLITS[twin // per_group % 5 - 2]
        for label in range(classes):
            sequence = make(rng, length, gc)
            rows.append(
                {"id": f"r{twin}-{label}", "sequence": sequence, "label": label, "group": group, "split": split}
            )
    return pd.DataFrame(rows)


def numbered(seed=1, number=300, per_group=1, of=lambda sequence: 0.0):
    """Random sequences with a random target, in groups; of(sequence) is added to the target, which has deviation 1."""
    rng = np.random.default_rng(seed)
    sequences = [letters(rng, int(rng.integers(40, 160)), rng.uniform(0.3, 0.7)) for _ in range(number)]
    group = np.arange(number) // per_group
    return pd.DataFrame(
        {
            "id": [f"r{row}" for row in range(number)],
            "sequence": sequences,
            "target": rng.normal(size=number) + [of(sequence) for sequence in sequences],
            "group": [f"g{place:05d}" for place in group],
            "split": np.array(SPLITS)[np.maximum(group % 5 - 2, 0)],
        }
    )


def divided(table):
    return {split: table[table["split"] == split].drop(columns="split").reset_index(drop=True) for split in SPLITS}


def leakage(tables, kind="table"):
    """The facts of a data set without any leak."""
    pair = {"exact": 0, "reverse_complement": 0, "near": dict(NOTHING), "locus": dict(PLACED)}
    of_repeats = {"motif_family": dict(NOTHING) if kind == "repeats" else None, "given_group": dict(NOTHING)}
    n = int(sum((table["label"] == 0).sum() for table in tables.values())) if "label" in tables["test"] else 0
    conflicts = (
        {
            "conflicting_labels": {
                "same": {"sequences": 0, "records": 0},
                "near": {"records": 0, "with_relatives": 0},
                "examples": [],
            }
        }
        if "label" in tables["test"]
        else {
            "conflicting_targets": {
                "apart": 0.5,
                "same": {"sequences": 0, "records": 0},
                "near": {"records": 0, "with_relatives": 0},
                "examples": [],
            }
        }
    )
    called = {"number": 0, "of": n, "by_source": {"unique": {"number": 0, "of": n}}} if kind == "repeats" else None
    return {
        "splits": {s: {"records": len(t), "sequences": t["sequence"].nunique()} for s, t in tables.items()},
        "within": {s: {"exact": 0, "reverse_complement": 0, "near": 0} for s in SPLITS},
        "across": {f"{a}/{b}": {**pair, **of_repeats} for a, b in combinations(SPLITS, 2)},
        **conflicts,
        "negatives": {"n": n, "in_catalogue": called, "called_by_trf": called},
        "definitions": {"near": "the same but for a little"},
        "examples": {"near train/test": [["a", "b"]]},
    }


def planted(column_or_make, seed=1, **more):
    """Records whose label 1 alone was changed by `column_or_make(rng, sequence)`."""
    table = records(seed, **more)
    rng = np.random.default_rng(seed + 1)
    ones = table["label"] == 1
    table.loc[ones, "sequence"] = [column_or_make(rng, s) for s in table.loc[ones, "sequence"]]
    return table
