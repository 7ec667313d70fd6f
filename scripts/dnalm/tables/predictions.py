"""Predictions as every run writes them.

One row a record: its label and a probability for each class; its target and a predicted number; or how many bits its
bases cost a language model.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from dnalm.errors import UserError
from dnalm.files import read_table, write_table
from dnalm.names import BACKGROUND, DECIMALS, LABEL, SCORED_SPLITS, TARGET, scored_splits

PREDICTION = "prediction"
"""Column of the predicted number."""

COUNTS = ("bases", "bits", "soft_masked_bases", "soft_masked_bits")
"""Columns of a language model's predictions: scored bases, their bits, and the soft-masked part of both."""

MASKED = "masked_"
"""Prefix of these columns, and of the metrics, with objective `masked`."""

_PART_TOLERANCE = 1e-6
"""By how much, of a record's bits, the soft-masked part may exceed the whole: rounding of sums."""

SUM_TOLERANCE = 1e-3
"""How far a row of rounded probabilities may be from summing to 1."""


@dataclass(frozen=True)
class ClassPredictions:
    """One split's predictions: `ids` (n,) str, `labels` (n,) int64 in 0 .. k-1, `scores` (n, k) probabilities."""

    objective: ClassVar[str] = "classification"

    ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        """Number of records n."""
        return len(self.ids)

    @property
    def truth(self) -> np.ndarray:
        """The labels, shape (n,)."""
        return self.labels

    @property
    def classes(self) -> int:
        """Number of classes k."""
        return int(self.scores.shape[1])

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each record, shape (n,); the lowest of equally probable ones."""
        best: np.ndarray = self.scores.argmax(axis=1)
        return best

    def take(self, rows: np.ndarray) -> "ClassPredictions":
        """The predictions of the records at `rows`, in that order."""
        return ClassPredictions(self.ids[rows], self.labels[rows], self.scores[rows])

    def one_against_rest(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The binary problems that rank metrics average over: (is it the class (n,), score of the class (n,)).

        One for label 1 or, with more than two classes, one for each that occurs; none where only one class occurs.
        """
        occurring = np.unique(self.labels)
        if len(occurring) < 2:
            return []
        return [(self.labels == k, self.scores[:, k]) for k in ([1] if self.classes == 2 else occurring)]

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a predictions.parquet beside id and split; probabilities are rounded to `DECIMALS`."""
        scores = {f"score_{i}": self.scores[:, i].round(DECIMALS) for i in range(self.classes)}
        return {LABEL: self.labels, **scores}


@dataclass(frozen=True)
class NumberPredictions:
    """One split's predictions: `ids` (n,) str, `targets` and `predicted` (n,) float64, both in the targets' unit."""

    objective: ClassVar[str] = "regression"

    ids: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray

    def __len__(self) -> int:
        """Number of records n."""
        return len(self.ids)

    @property
    def truth(self) -> np.ndarray:
        """The targets, shape (n,)."""
        return self.targets

    def take(self, rows: np.ndarray) -> "NumberPredictions":
        """The predictions of the records at `rows`, in that order."""
        return NumberPredictions(self.ids[rows], self.targets[rows], self.predicted[rows])

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a predictions.parquet beside id and split, in full precision."""
        return {TARGET: self.targets.astype(np.float64), PREDICTION: self.predicted.astype(np.float64)}


@dataclass(frozen=True)
class BitPredictions:
    """What the bases of one split's records cost a language model.

    ids: (n,) str. counts: (n, 4) float64 with the columns of `COUNTS`: the bases that are scored, their total negative
    log2 likelihood in bits, and the soft-masked part of both. objective: `causal` (each base given those before it)
    or `masked` (masked ones given all others): two quantities that cannot be compared.
    """

    ids: np.ndarray
    counts: np.ndarray
    objective: str = "causal"

    def __post_init__(self) -> None:
        """Check the shape and the objective: they are the caller's, not a file's."""
        if self.counts.shape != (len(self.ids), len(COUNTS)):
            raise ValueError(f"counts: {self.counts.shape}, not ({len(self.ids)}, {len(COUNTS)})")
        if self.objective not in ("causal", "masked"):
            raise ValueError(f"objective: {self.objective}")

    def __len__(self) -> int:
        """Number of records n."""
        return len(self.ids)

    @property
    def truth(self) -> np.ndarray:
        """The scored bases of each record, shape (n,): a record has no label or target."""
        bases: np.ndarray = self.counts[:, 0]
        return bases

    @property
    def metric(self) -> str:
        """The name of its bits per base: `bits_per_base` or `masked_bits_per_base`."""
        return f"{self._prefix}bits_per_base"

    def take(self, rows: np.ndarray) -> "BitPredictions":
        """The predictions of the records at `rows`, in that order."""
        return BitPredictions(self.ids[rows], self.counts[rows], self.objective)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a predictions.parquet beside id and split; bases are integers."""
        names = (f"{self._prefix}{name}" for name in COUNTS)
        return {
            name: values.astype(np.int64) if name.endswith("bases") else values.astype(np.float64)
            for name, values in zip(names, self.counts.T, strict=True)
        }

    @property
    def _prefix(self) -> str:
        return MASKED if self.objective == "masked" else ""


Predictions = ClassPredictions | NumberPredictions | BitPredictions
"""What a run predicted for one split."""


def read_predictions(path: Path | str) -> dict[str, Predictions]:
    """Read and check a predictions.parquet: its splits `validation` and `test`, both with at least one record.

    The values are `NumberPredictions` where the file has a column `target`, `BitPredictions` where it has `bits` or
    `masked_bits`, else `ClassPredictions`, with a third key `background` where the file holds such records.

    Raises `UserError`, naming the first bad record: a missing column, a duplicate id, an unknown split; a label without
    a score column, a background record with a label other than 0, scores that are missing, outside 0 .. 1 or do not sum
    to 1 in a row; a target or a prediction that is missing or infinite; bits or bases that are missing, infinite or
    below 0, or fewer than their soft-masked part; bits without a base.
    """
    table = read_table(path)
    for prefix in ("", MASKED):
        if f"{prefix}bits" in table:
            return dict(_read_bits(table, prefix, path))
    if TARGET in table and LABEL not in table:
        return dict(_read_numbers(table, path))
    return dict(_read_classes(table, path))


def _read_classes(table: pd.DataFrame, path: Path | str) -> dict[str, ClassPredictions]:
    columns = [f"score_{i}" for i in range(sum(str(name).startswith("score_") for name in table))]
    _check_columns(table, ("id", "split", LABEL, *columns), "id, split, label, score_0, score_1 ...", path)
    if len(columns) < 2:
        raise UserError(f"{path}: {len(columns)} score columns; there must be one for each of at least two classes")
    ids = table["id"].astype(str).to_numpy(dtype=object)
    scores = table[columns].to_numpy(dtype=np.float64, na_value=np.nan)
    labels = pd.to_numeric(table[LABEL], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    known = scored_splits(background=True)
    splits = table["split"].to_numpy(dtype=object)
    problems = (
        (table["id"].duplicated().to_numpy(), "the id occurs twice"),
        (~table["split"].isin(known).to_numpy(), "its split is neither validation nor test nor background"),
        (~np.isin(labels, np.arange(len(columns))), f"its label is not one of 0 .. {len(columns) - 1}"),
        ((splits == BACKGROUND) & (labels != 0), "a background record has label 0"),
        (~np.isfinite(scores).all(axis=1), "a score is missing or not a number"),
        (((scores < 0) | (scores > 1)).any(axis=1), "a score lies outside 0 .. 1"),
        (np.abs(scores.sum(axis=1) - 1) > SUM_TOLERANCE, "its scores do not sum to 1"),
    )
    _check_records(ids, problems, path)
    return {
        split: ClassPredictions(ids[rows], labels[rows].astype(np.int64), scores[rows])
        for split, rows in _rows(splits, known, path).items()
    }


def _read_numbers(table: pd.DataFrame, path: Path | str) -> dict[str, NumberPredictions]:
    _check_columns(table, ("id", "split", TARGET, PREDICTION), f"id, split, {TARGET}, {PREDICTION}", path)
    ids = table["id"].astype(str).to_numpy(dtype=object)
    targets, predicted = (
        pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        for name in (TARGET, PREDICTION)
    )
    problems = (
        (table["id"].duplicated().to_numpy(), "the id occurs twice"),
        (~table["split"].isin(SCORED_SPLITS).to_numpy(), "its split is neither validation nor test"),
        (~np.isfinite(targets), "its target is missing, infinite or not a number"),
        (~np.isfinite(predicted), "its prediction is missing, infinite or not a number"),
    )
    _check_records(ids, problems, path)
    found = _rows(table["split"].to_numpy(dtype=object), SCORED_SPLITS, path)
    return {split: NumberPredictions(ids[rows], targets[rows], predicted[rows]) for split, rows in found.items()}


def _read_bits(table: pd.DataFrame, prefix: str, path: Path | str) -> dict[str, BitPredictions]:
    names = [f"{prefix}{name}" for name in COUNTS]
    _check_columns(table, ("id", "split", *names), f"id, split, {', '.join(names)}", path)
    ids = table["id"].astype(str).to_numpy(dtype=object)
    counts = np.column_stack(
        [pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan) for name in names]
    )
    bases, bits, soft_bases, soft_bits = counts.T
    problems = (
        (table["id"].duplicated().to_numpy(), "the id occurs twice"),
        (~table["split"].isin(SCORED_SPLITS).to_numpy(), "its split is neither validation nor test"),
        (~np.isfinite(counts).all(axis=1), "its bases or bits are missing, infinite or not numbers"),
        ((counts < 0).any(axis=1), "its bases or bits are below 0"),
        ((soft_bases > bases) | (soft_bits > bits * (1 + _PART_TOLERANCE)), "its soft-masked part exceeds the whole"),
        (((bases == 0) & (bits > 0)) | ((soft_bases == 0) & (soft_bits > 0)), "it has bits without a base"),
    )
    _check_records(ids, problems, path)
    objective = "masked" if prefix else "causal"
    found = _rows(table["split"].to_numpy(dtype=object), SCORED_SPLITS, path)
    return {split: BitPredictions(ids[rows], counts[rows], objective) for split, rows in found.items()}


def _check_columns(table: pd.DataFrame, names: Iterable[str], known: str, path: Path | str) -> None:
    for name in names:
        if name not in table:
            raise UserError(f"{path}: no column '{name}'; predictions have {known}")


def _check_records(ids: np.ndarray, problems: Iterable[tuple[Any, str]], path: Path | str) -> None:
    for wrong, what in problems:
        if wrong.any():
            raise UserError(f"{path}: record '{ids[wrong.argmax()]}': {what} ({wrong.sum():,} such records)")


def _rows(splits: np.ndarray, known: Iterable[str], path: Path | str) -> dict[str, np.ndarray]:
    """The rows of each split that occurs, as booleans (n,)."""
    found = {split: splits == split for split in known}
    for split in SCORED_SPLITS:
        if not found[split].any():
            raise UserError(f"{path}: no records of split '{split}'; predictions hold validation and test")
    return {split: rows for split, rows in found.items() if rows.any()}


def write_predictions(path: Path | str, predictions: Mapping[str, Predictions]) -> None:
    """Write the predictions of all splits, `validation` first and `background`, where it is given, last."""
    parts = []
    for split in scored_splits(BACKGROUND in predictions):
        part = predictions[split]
        parts.append(pd.DataFrame({"id": part.ids, "split": split, **part.columns()}))
    write_table(path, pd.concat(parts, ignore_index=True))
