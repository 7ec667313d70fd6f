"""Tandem Repeats Finder as a baseline: the program that made the labels of tandem repeats."""

from pathlib import Path

import numpy as np
import pandas as pd

from dnalm.errors import UserError
from dnalm.names import BACKGROUND
from dnalm.tables.repeat_calls import read_calls

CALLED = "called"
"""Column: whether trf calls a repeat."""


def with_calls(
    tables: dict[str, pd.DataFrame], records: Path, background: Path | None = None
) -> dict[str, pd.DataFrame]:
    """The tables with a column `CALLED`, from the files of call_repeats.py for the records and the background.

    Raises `UserError` if trf was not installed when they were made.
    """
    result = {}
    for split, table in tables.items():
        path = background if background and split == BACKGROUND else records
        called = read_calls(path, table["id"].tolist())
        if called is None:
            raise UserError(
                f"baselines: trf was not installed when {path} was made; install it (conda: bioconda::trf, Debian:"
                " trf), delete that file and run again, or remove `trf` from the data set's baselines"
            )
        result[split] = table.assign(**{CALLED: called})
    return result


class CalledClassifier:
    """Class frequencies among the train records with the same binary feature, as probabilities.

    Laplace smoothing: one pseudocount per class and answer, so that no probability is 0.
    """

    def fit(self, answers: np.ndarray, labels: np.ndarray) -> "CalledClassifier":
        """Count; answers: (n, 1) bool, labels: (n,)."""
        self.classes_, column = np.unique(labels, return_inverse=True)
        counts = np.ones((2, len(self.classes_)))
        np.add.at(counts, (answers[:, 0].astype(int), column), 1)
        self.fractions_ = counts / counts.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, answers: np.ndarray) -> np.ndarray:
        """Class frequencies in the order of `classes_`, shape (n, classes)."""
        chosen: np.ndarray = self.fractions_[answers[:, 0].astype(int)]
        return chosen
