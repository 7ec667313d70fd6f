"""Tandem Repeats Finder as a baseline: the program that made the labels of tandem repeats."""

from pathlib import Path

import numpy as np
import pandas as pd

from dnalm.errors import UserError
from dnalm.names import BACKGROUND
from dnalm.tables.repeat_calls import read_calls

CALLED = "called"
"""Column of whether trf calls a repeat."""


def with_calls(
    tables: dict[str, pd.DataFrame], records: Path, background: Path | None = None
) -> dict[str, pd.DataFrame]:
    """The tables with a column `CALLED`, from what call_repeats.py wrote of the records and of the background.

    Raises `UserError` if trf was not installed then.
    """
    result = {}
    for split, table in tables.items():
        path = background if background and split == BACKGROUND else records
        called = read_calls(path, table["id"].tolist())
        if called is None:
            raise UserError(
                f"baselines: trf was not installed when {path} was made; install it (conda: bioconda::trf, Debian: trf),"
                " delete that file and run again, or take `trf` from the data set's baselines"
            )
        result[split] = table.assign(**{CALLED: called})
    return result


class Fractions:
    """A classifier by one yes or no: the fractions of the classes among train's records with the same answer.

    Each class of train counts one record more for either answer (Laplace), so that none has probability 0.
    """

    def fit(self, answers: np.ndarray, labels: np.ndarray) -> "Fractions":
        """Count; answers: (n, 1) bool, labels: (n,)."""
        self.classes_, column = np.unique(labels, return_inverse=True)
        counts = np.ones((2, len(self.classes_)))
        np.add.at(counts, (answers[:, 0].astype(int), column), 1)
        self.fractions_ = counts / counts.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, answers: np.ndarray) -> np.ndarray:
        """The classes' fractions, in the order of `classes_`, shape (n, classes)."""
        chosen: np.ndarray = self.fractions_[answers[:, 0].astype(int)]
        return chosen
