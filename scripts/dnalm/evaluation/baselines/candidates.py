"""What each baseline tries: features of a sequence, models of labels or targets, and settings to choose from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from dnalm.evaluation.baselines.features import kmer_features, kmer_frequencies, length_gc
from dnalm.evaluation.baselines.reference import CALLED, CalledClassifier
from dnalm.names import LABEL, TARGET, TRF_PARAMETERS
from dnalm.sequence.periodicity import FEWEST_PAIRS, LONGEST_PERIOD, best_self_match

MAX_ITERATIONS = 1000
LONGEST_KMER = 6
MOST_TREES = 500
"""Most rounds of boosting, of one tree each (one per class with more than two classes)."""
PATIENCE = 20
"""Boosting stops after so many rounds without a lower validation loss."""

Features = Any
"""Dense or sparse matrix for scikit-learn, one row per sequence."""


@dataclass(frozen=True)
class Candidate:
    """Settings to try with their features and model; candidates with the same `key` share the features.

    early_stopping: whether the fit takes validation too, to know when to stop. column: the column of the table from
    which the features are computed.
    """

    settings: dict[str, Any]
    key: tuple[Any, ...]
    features: Callable[[Sequence[Any]], Features]
    model: Any
    early_stopping: bool = False
    column: str = "sequence"


@dataclass(frozen=True)
class _Models:
    """The linear and the boosted model for labels or for targets.

    penalty: scikit-learn's name of the linear model's L2 parameter; penalties: values to try, strongest penalty first.
    """

    penalty: str
    penalties: tuple[float, ...]
    linear: Callable[[float], Any]
    boosted: type


_MODELS = {
    LABEL: _Models(
        "C",
        (0.1, 1.0, 10.0, 100.0),
        lambda inverse: LogisticRegression(C=inverse, max_iter=MAX_ITERATIONS),
        HistGradientBoostingClassifier,
    ),
    TARGET: _Models(
        "alpha",
        (100.0, 10.0, 1.0, 0.1),
        lambda strength: Ridge(alpha=strength, tol=1e-8),
        HistGradientBoostingRegressor,
    ),
}


def _constant(sequences: Sequence[str]) -> Features:
    return np.zeros((len(sequences), 1))


def _majority(truth: str) -> Iterator[Candidate]:
    yield Candidate({}, (), _constant, DummyClassifier(strategy="prior"))


def _mean(truth: str) -> Iterator[Candidate]:
    yield Candidate({}, (), _constant, DummyRegressor(strategy="mean"))


def _length_gc(truth: str) -> Iterator[Candidate]:
    models = _MODELS[truth]
    for degree, penalty in product((1, 2), models.penalties):
        polynomial = PolynomialFeatures(degree, include_bias=False)
        model = make_pipeline(StandardScaler(), polynomial, StandardScaler(), models.linear(penalty))
        yield Candidate({"degree": degree, models.penalty: penalty}, (), length_gc, model)


def _kmer(truth: str) -> Iterator[Candidate]:
    models = _MODELS[truth]
    for k, penalty in product(range(1, LONGEST_KMER + 1), models.penalties):
        yield Candidate(
            {"k": k, models.penalty: penalty},
            (k,),
            lambda sequences, k=k: kmer_features(sequences, k),  # type: ignore[misc]
            make_pipeline(models.linear(penalty)),
        )


def _boosting(truth: str) -> Iterator[Candidate]:
    for k, leaves in product((2, 3, 4), (8, 31)):
        model = _MODELS[truth].boosted(
            max_leaf_nodes=leaves, max_iter=MOST_TREES, early_stopping=True, n_iter_no_change=PATIENCE, random_state=0
        )
        yield Candidate(
            {"k": k, "leaves": leaves},
            (k,),
            lambda sequences, k=k: kmer_frequencies(sequences, k),  # type: ignore[misc]
            model,
            early_stopping=True,
        )


def _periodicity(truth: str) -> Iterator[Candidate]:
    model = make_pipeline(StandardScaler(), _MODELS[truth].linear(1.0))
    yield Candidate({}, (), lambda sequences: best_self_match(sequences)[:, None], model)


def _trf(truth: str) -> Iterator[Candidate]:
    yield Candidate({}, (), lambda called: np.array(called, bool)[:, None], CalledClassifier(), column=CALLED)


_BOOSTING = (
    "Gradient-boosted trees on the frequencies of canonical k-mers of every length up to k, with early stopping on the"
    f" validation loss (at most {MOST_TREES} rounds)",
    _boosting,
)
_PERIODICITY = (
    f"One number: the best self-match of a sequence at any period of 1 to {LONGEST_PERIOD} bases"
    f" (at least {FEWEST_PAIRS} pairs compared)",
    _periodicity,
)
CANDIDATES: dict[str, dict[str, tuple[str, Callable[[str], Iterator[Candidate]]]]] = {
    LABEL: {
        "majority": ("The class frequencies in train, for every sequence", _majority),
        "length_gc": ("Logistic regression on the logarithm of the length and GC, optionally with squares", _length_gc),
        "kmer": ("Logistic regression on square roots of canonical k-mer frequencies", _kmer),
        "boosting": _BOOSTING,
        "periodicity": _PERIODICITY,
        "trf": (
            f"Whether Tandem Repeats Finder calls a repeat (trf {' '.join(map(str, TRF_PARAMETERS))}); probabilities"
            " are the class frequencies among train records with the same answer, with one pseudocount per class",
            _trf,
        ),
    },
    TARGET: {
        "mean": ("The mean target of train, for every sequence", _mean),
        "length_gc": ("Ridge regression on the logarithm of the length and GC, optionally with squares", _length_gc),
        "kmer": ("Ridge regression on square roots of canonical k-mer frequencies", _kmer),
        "boosting": _BOOSTING,
        "periodicity": _PERIODICITY,
    },
}
"""By column (`label` or `target`) and name: a description, and a function of that column that yields the candidates to
try, simplest first."""
