"""Groups of related records, joined to predictions by id."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dnalm.errors import UserError
from dnalm.files import read_table
from dnalm.names import SEQUENCE, TRUTH
from dnalm.tables.predictions import Predictions
from dnalm.tables.sequences import truth_column


@dataclass(frozen=True)
class Groups:
    """Sizes of groups: their number, Kish's effective number n^2 / sum n_i^2, records of the largest, all records."""

    number: int
    effective: float
    largest: int
    records: int

    @classmethod
    def of(cls, codes: np.ndarray) -> "Groups":
        """Groups of records, (n,), integers from 0."""
        sizes = np.bincount(codes)
        sizes = sizes[sizes > 0].astype(float)
        if not len(sizes):
            return cls(0, 0.0, 0, 0)
        return cls(len(sizes), float(sizes.sum() ** 2 / (sizes**2).sum()), int(sizes.max()), int(sizes.sum()))

    @property
    def largest_fraction(self) -> float:
        """Fraction of the records in the largest group; 0 without records."""
        return self.largest / self.records if self.records else 0.0


def read_clusters(path: Path | str) -> pd.DataFrame:
    """Read a split's sequence table and check the columns used to join predictions: `id`, `label` or `target`, `group`.

    Of a corpus, `id` and `group` only. Raises `UserError`, naming the first offending record, for a missing column, a
    duplicate id and a missing group.
    """
    table = read_table(path, _columns_of(path))
    for name in ("id", "group") if truth_column(table) == SEQUENCE else ("id", truth_column(table), "group"):
        if name not in table:
            raise UserError(f"{path}: no column '{name}'; run split_labels again")
    ids = table["id"].astype(str)
    problems = (
        (ids.duplicated().to_numpy(), "the id occurs twice"),
        ((table["group"].isna() | (table["group"].astype(str) == "")).to_numpy(), "it has no group"),
    )
    for wrong, what in problems:
        if wrong.any():
            raise UserError(f"{path}: record '{ids[wrong.argmax()]}': {what} ({wrong.sum():,} such records)")
    return table.assign(id=ids)


def _columns_of(path: Path | str) -> list[str] | None:
    """The columns of a corpus that are needed here: its sequences are most of it. None, all, for another table."""
    try:
        present = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid):
        return None  # read_table reports what is wrong with the file
    return ["id", "group"] if {"id", "group"} <= set(present) and truth_column(present) == SEQUENCE else None


def match(predictions: Predictions, table: pd.DataFrame, place: str) -> np.ndarray:
    """The row of `table` of each prediction, (n,); rows without a prediction are ignored.

    Raises `UserError`, beginning with `place`, for predictions of labels on a table of targets or the other way round,
    for a prediction whose id is not in the table, and for one whose label or target differs from the table's.
    """
    column = truth_column(table)
    if column != TRUTH[predictions.objective]:
        raise UserError(
            f"{place}: predicts a {TRUTH[predictions.objective]}, and the data set's records have a {column}"
        )
    rows: np.ndarray = pd.Index(table["id"]).get_indexer(pd.Index(predictions.ids))
    learnt = table[column].to_numpy()[rows] if column != SEQUENCE else predictions.truth
    problems = (
        (rows < 0, "is not in the data set's table"),
        (learnt != predictions.truth, f"has another {column} than in the data set's table"),
    )
    for wrong, what in problems:
        if wrong.any():
            raise UserError(
                f"{place}: record '{predictions.ids[wrong.argmax()]}' {what} ({wrong.sum():,} such records);"
                " predict again on this data set"
            )
    return rows
