"""The splits compared: have validation and test the length, GC, dinucleotides and classes of train?

A difference of means is tested with the variance of groups, not of records (cluster-robust; Student's t with the
effective groups of the smaller split, less one), and warns only if it is an effect too, not merely significant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from dnalm.evaluation.audit.checks import Check, Subject, check, sentence
from dnalm.evaluation.audit.composition import dinucleotides
from dnalm.evaluation.audit.family import beyond_chance
from dnalm.evaluation.baselines.features import length_gc
from dnalm.evaluation.report.text import decimal
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import LABEL, SCORED_SPLITS
from dnalm.sequence.alphabet import BASES

EFFECT = 0.2
"""Difference of means in standard deviations of train above which a significant one warns (Cohen 1988: small)."""
SHARE = 0.05
"""Difference of a class's share that is noteworthy."""
FEWEST = 10
"""Fewest effective groups of a split that is compared."""
_TINY = 1e-12


@dataclass(frozen=True)
class Comparison:
    """One property of train and of another split: their means, the effect, and the p value of no difference.

    effect: difference in standard deviations of train, or of shares. noteworthy: whether it is above the limit.
    """

    property: str
    split: str
    train: float
    other: float
    effect: float
    noteworthy: bool
    p: float | None
    p_holm: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The comparison in the details of its check."""
        corrected = None if self.p_holm is None else float(f"{self.p_holm:.3g}")
        means = {"train": round(self.train, 6), self.split: round(self.other, 6)}
        return {"property": self.property, "means": means, "effect": round(self.effect, 6), "p_holm": corrected}


def compare_splits(subject: Subject, tables: Mapping[str, pd.DataFrame]) -> list[Comparison]:
    """Train with validation, and with test: length, GC, dinucleotides and shares of the classes, not yet judged.

    Of several columns (16 dinucleotides, the classes) the most significant is kept, its p value times their number.
    """
    labels = sorted(
        {int(label) for table in tables.values() for label in table[LABEL]} if subject.truth == LABEL else ()
    )
    columns = {split: _properties(table, labels) for split, table in tables.items() if len(table)}
    found = []
    for split in SCORED_SPLITS:
        if "train" not in columns or split not in columns:
            continue
        pair = pd.concat([tables["train"], tables[split]], ignore_index=True)
        codes, test = pd.factorize(pair["group"])[0], np.arange(len(pair)) >= len(tables["train"])
        enough = min(Groups.of(codes[~test]).effective, Groups.of(codes[test]).effective)
        for name, one in columns["train"].items():
            found.append(_compared(name, split, one, columns[split][name], codes, enough))
    return found


def _properties(table: pd.DataFrame, labels: list[int]) -> dict[str, dict[str, np.ndarray]]:
    """Columns of numbers, (n,) each, by property and name; `classes` only if there are labels."""
    sequences = table["sequence"].tolist()
    pairs, lengths = dinucleotides(sequences), np.array([len(sequence) for sequence in sequences], dtype=float)
    found = {
        "length": {"length": lengths},
        "GC": {"GC": length_gc(sequences)[:, 1]},
        "dinucleotides": {f"{BASES[i // 4]}{BASES[i % 4]}": pairs[:, i] for i in range(len(BASES) ** 2)},
    }
    if labels:
        found["classes"] = {f"label {label}": (table[LABEL] == label).to_numpy(float) for label in labels}
    return found


def _compared(
    name: str,
    split: str,
    train: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    codes: np.ndarray,
    groups: float,
) -> Comparison:
    tried = []
    for column in train:
        one, two = train[column], other[column]
        difference = float(two.mean() - one.mean())
        influence = np.concatenate([-(one - one.mean()) / len(one), (two - two.mean()) / len(two)])
        by_group = np.bincount(codes, influence)
        number = len(by_group)
        error = float(np.sqrt(number / max(number - 1, 1) * (by_group**2).sum()))
        p = 1.0 if abs(difference) < _TINY else float(2 * stats.t.sf(abs(difference) / max(error, _TINY), groups - 1))
        scale = 1.0 if name == "classes" else max(float(one.std()), _TINY)
        limit = SHARE if name == "classes" else EFFECT
        effect = difference / scale
        text = column if name in ("dinucleotides", "classes") else name
        tried.append(Comparison(text, split, float(one.mean()), float(two.mean()), effect, abs(effect) > limit, p))
    best = min(tried, key=lambda one: (one.p, -abs(one.effect)))
    corrected = min(1.0, (best.p or 0.0) * len(tried)) if groups >= FEWEST else None
    return replace(best, p=corrected)


def split_balance(subject: Subject, found: list[Comparison]) -> Check:
    """The comparisons as a check, given their corrected p values. It warns, and never fails."""
    unlike = [one for one in found if one.noteworthy and beyond_chance(one)]
    tested = any(one.p is not None for one in found)
    words = [_described(subject, one) for one in unlike]
    same = [_described(subject, one) for one in found if one.property in ("length", "GC")]
    if tested:
        text = sentence(words) or f"Within chance or small: {'; '.join(same)}."
    else:
        text = f"Too few groups to compare ({FEWEST} effective groups a split are needed): {'; '.join(same)}."
    value = max((abs(one.effect) for one in found if one.property in ("length", "GC")), default=None)
    return check(
        "split_balance", "Validation and test like train", "warn" if unlike else "pass", text,
        "If the test split is unlike train in something so plain, a score says how well a model bears the change as"
        " well as how much it has learnt, and settings chosen on another validation may be wrong for it.",
        f"Try another {subject.key('split.seed')}, or more records from more groups: one large family moves a split.",
        value, EFFECT, comparisons=[one.as_json() for one in found],
    )  # fmt: skip


def _described(subject: Subject, one: Comparison) -> str:
    means = f"{_number(one, one.train)} in train, {_number(one, one.other)} in {one.split}"
    return f"{_named(subject, one)} {means}"


def _number(one: Comparison, value: float) -> str:
    return decimal(value, 1 if one.property == "length" else 3)


def _named(subject: Subject, one: Comparison) -> str:
    if one.property.startswith("label "):
        number = int(one.property.removeprefix("label "))
        name = subject.labels.get(number, str(number))
        return f"share of {one.property}{'' if name == str(number) else f' ({name})'}"
    return one.property if one.property in ("length", "GC") else f"dinucleotide {one.property}"
