"""Predictions as every run writes them: one row a record with its label and one probability a class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dnalm.errors import UserError
from dnalm.files import read_table, write_table
from dnalm.names import BACKGROUND, DECIMALS, SCORED_SPLITS, scored_splits

SUM_TOLERANCE = 1e-3
"""How far a row of rounded probabilities may be from summing to 1."""


@dataclass(frozen=True)
class Predictions:
    """One split's predictions: `ids` (n,) str, `labels` (n,) int64 in 0 .. k-1, `scores` (n, k) probabilities."""

    ids: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes k."""
        return int(self.scores.shape[1])

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each record, shape (n,); of equally probable ones the lowest."""
        best: np.ndarray = self.scores.argmax(axis=1)
        return best

    def take(self, rows: np.ndarray) -> "Predictions":
        """Those of the records at `rows`, in that order."""
        return Predictions(self.ids[rows], self.labels[rows], self.scores[rows])

    def one_against_rest(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """What rank metrics compare: (is it the class (n,), score of the class (n,)).

        For label 1, or with more than two classes for each that occurs; empty where only one class occurs.
        """
        occurring = np.unique(self.labels)
        if len(occurring) < 2:
            return []
        return [(self.labels == k, self.scores[:, k]) for k in ([1] if self.classes == 2 else occurring)]


def read_predictions(path: Path | str) -> dict[str, Predictions]:
    """Read and check a predictions.parquet: its splits `validation` and `test`, both with at least one record.

    `background` is a third key where the file holds such records. Raises `UserError`, naming the first offending
    record, for a missing column, a duplicate id, an unknown split, a label that has no score column, a background record
    with a label other than 0, and scores that are missing, outside 0 .. 1, or do not sum to 1 in a row.
    """
    table = read_table(path)
    columns = [f"score_{i}" for i in range(sum(str(name).startswith("score_") for name in table))]
    for name in ("id", "split", "label", *columns):
        if name not in table:
            raise UserError(f"{path}: no column '{name}'; predictions have id, split, label, score_0, score_1 ...")
    if len(columns) < 2:
        raise UserError(f"{path}: {len(columns)} score columns; there must be one for each of at least two classes")
    ids = table["id"].astype(str).to_numpy(dtype=object)
    scores = table[columns].to_numpy(dtype=np.float64, na_value=np.nan)
    labels = pd.to_numeric(table["label"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
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
    for wrong, what in problems:
        if wrong.any():
            raise UserError(f"{path}: record '{ids[wrong.argmax()]}': {what} ({wrong.sum():,} such records)")
    result = {}
    for split in known:
        rows = splits == split
        if rows.any():
            result[split] = Predictions(ids[rows], labels[rows].astype(np.int64), scores[rows])
        elif split in SCORED_SPLITS:
            raise UserError(f"{path}: no records of split '{split}'; predictions hold validation and test")
    return result


def write_predictions(path: Path | str, predictions: dict[str, Predictions]) -> None:
    """Write predictions in the order of the splits, `background` last, probabilities rounded to `DECIMALS`."""
    parts = []
    for split in scored_splits(BACKGROUND in predictions):
        part = predictions[split]
        columns = {f"score_{i}": part.scores[:, i].round(DECIMALS) for i in range(part.classes)}
        parts.append(pd.DataFrame({"id": part.ids, "split": split, "label": part.labels, **columns}))
    write_table(path, pd.concat(parts, ignore_index=True))
