"""How far one property of a sequence gets: AUROC where a label is learnt, Spearman correlation where a number is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from dnalm.evaluation.audit.properties import Features
from dnalm.evaluation.statistics.auroc import clustered_auroc, weakest_class
from dnalm.evaluation.statistics.bounded import Bounded
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.rank_correlation import clustered_spearman
from dnalm.names import LABEL, TARGET

MAX_ITERATIONS = 200
DIGITS = 9
"""Scores that differ by rounding alone are ties."""


@dataclass(frozen=True)
class Measure:
    """How a property is judged, and the words for it.

    metric, title: its name in files and on pages. chance: its value of a property that tells nothing; noteworthy: a
    value above which, with an interval above chance, it is worth a word though it fails nothing. limit: the key of the
    config's `audit` above which a lower bound fails. cross_validated(features, truth (n,), groups (n,), folds (n,)): its
    value for out-of-fold scores. effective(truth, groups): the effective groups that its interval hangs on; counted:
    what they are called. Of the words, those with {} take the property's name.
    """

    metric: str
    title: str
    chance: float
    noteworthy: float
    limit: str
    cross_validated: Callable[[Features, np.ndarray, np.ndarray, np.ndarray], Bounded]
    effective: Callable[[np.ndarray, np.ndarray], float]
    counted: str
    undefined: str
    none: str
    weak: str
    strong: str
    below: str
    summary: str
    clean: str


def _of_labels(matrix: Features, labels: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> Bounded:
    """AUROC of out-of-fold probabilities. A fold that leaves one class to fit on scores all its records alike."""
    if len(np.unique(labels)) < 2:
        return Bounded(None)
    matrix = _scaled(matrix)
    scores = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in np.unique(folds):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(np.unique(labels[others])) < 2:
            continue
        model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(matrix[others], labels[others])
        scores[np.ix_(rows, model.classes_)] = model.predict_proba(matrix[rows])
    return clustered_auroc(scores.round(DIGITS), labels, folds, codes)


def _of_numbers(matrix: Features, targets: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> Bounded:
    """Spearman correlation of out-of-fold predictions of the targets' ranks (in units of n, whatever the targets' unit)."""
    if len(np.unique(targets)) < 2:
        return Bounded(None)
    matrix, ranks = _scaled(matrix), rankdata(targets) / len(targets)
    scores = np.zeros(len(targets))
    for fold in np.unique(folds):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(others):
            scores[rows] = Ridge().fit(matrix[others], ranks[others]).predict(matrix[rows])
    return clustered_spearman(scores.round(DIGITS), targets, folds, codes)


def _scaled(matrix: Features) -> Features:
    """Numbers with their squares and products, as both extremes may be alike, on one scale; triplets as they are.

    The scale is that of all records, the truth unseen.
    """
    if sparse.issparse(matrix):
        return matrix
    steps = (StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler())
    return make_pipeline(*steps).fit_transform(matrix)


MEASURES = {
    LABEL: Measure(
        metric="auroc",
        title="AUROC",
        chance=0.5,
        noteworthy=0.55,
        limit="shortcut_auroc",
        cross_validated=_of_labels,
        effective=lambda labels, codes: weakest_class(labels, codes) if len(np.unique(labels)) > 1 else 0.0,
        counted="effective groups in the scarcest class",
        undefined="Not measured: no fold holds records of two classes.",
        none="No shortcut: next to nothing about the label shows in {}.",
        weak="A weak shortcut: something about the label shows in {} alone.",
        strong="A shortcut: the classes can be told apart by {} alone.",
        below="Matching artifact, not clean: fitted on some groups, a model of {} is wrong about the others more often"
        " than chance, as where matched records are not kept in one group.",
        summary="The classes can be told apart by {} alone",
        clean="No simple property tells the classes apart.",
    ),
    TARGET: Measure(
        metric="spearman",
        title="Spearman correlation",
        chance=0.0,
        noteworthy=0.1,
        limit="shortcut_spearman",
        cross_validated=_of_numbers,
        effective=lambda _, codes: Groups.of(codes).effective,
        counted="effective groups",
        undefined="Not measured: no fold holds two different targets.",
        none="No shortcut: next to nothing about the target shows in {}.",
        weak="A weak shortcut: something about the target shows in {} alone.",
        strong="A shortcut: the target can be predicted from {} alone.",
        below="An artifact, not clean: fitted on some groups, a model of {} ranks the others the wrong way round more"
        " often than chance, as where groups were balanced by their targets.",
        summary="The target can be predicted from {} alone",
        clean="No simple property predicts the target.",
    ),
}
"""By the column that holds what is learnt."""
