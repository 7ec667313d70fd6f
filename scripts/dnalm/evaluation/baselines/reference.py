"""Tandem Repeats Finder as a baseline: the program that made the labels of tandem repeats."""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.sequence.trf import called_by_trf

_AT_ONCE = 2000
"""Sequences that one run of trf gets, between two steps of the progress bar."""


def calls(sequences: Sequence[str]) -> np.ndarray:
    """Whether trf finds a repeat in each sequence, shape (n, 1) bool; without trf, a `UserError`."""
    found: list[bool] = []
    for at in tqdm(range(0, len(sequences), _AT_ONCE), desc="trf", unit="batch", mininterval=1):
        part = called_by_trf(sequences[at : at + _AT_ONCE])
        if part is None:
            raise UserError(
                "baselines: trf is not installed; install it (conda: bioconda::trf, Debian: trf) or take `trf` from the"
                " data set's baselines"
            )
        found += part
    return np.array(found, dtype=bool)[:, None]


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
