"""How well one property of a sequence predicts: AUROC for labels, Spearman correlation for targets."""

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
"""Scores are rounded, so that rounding errors do not break ties."""


@dataclass(frozen=True)
class Measure:
    """How a property is assessed, and the texts about it.

    metric, title: the measure's name in files and on pages. chance: its value for an uninformative property.
    noteworthy: a value above it, with an interval above chance, gives a warning. limit: the key in the config's
    `audit`; a lower bound above it fails. cross_validated(features, truth (n,), groups (n,), folds (n,)): its value for
    out-of-fold scores. effective(truth, groups): the effective groups on which its interval depends; counted: what they
    are called. In the other texts, {} stands for the property's name.
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
    """AUROC of out-of-fold probabilities; scores of a fold are 0 if only one class is left to fit on."""
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
    """Spearman correlation of out-of-fold predictions of the targets' ranks (in units of n)."""
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
    """Standardised features with their squares and products (both extremes may predict the same); sparse triplets as
    is.

    Scaling uses all records, but not labels or targets.
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
        none="No shortcut: next to nothing can be told of the label from {}.",
        weak="A weak shortcut: something can be told of the label from {} alone.",
        strong="A shortcut: the classes can be told apart by {} alone.",
        below="An artifact, not a pass: a model of {} fitted on some groups does worse than chance on the others, as"
        " happens if the classes were balanced by it across groups.",
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
        none="No shortcut: next to nothing can be told of the target from {}.",
        weak="A weak shortcut: something can be told of the target from {} alone.",
        strong="A shortcut: the target can be predicted from {} alone.",
        below="An artifact, not a pass: a model of {} fitted on some groups ranks the others worse than chance, as"
        " happens if groups were balanced by their targets.",
        summary="The target can be predicted from {} alone",
        clean="No simple property predicts the target.",
    ),
}
"""By column, `label` or `target`."""
