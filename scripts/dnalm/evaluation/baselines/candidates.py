"""What a baseline tries: features of a sequence, and models of labels or of targets with the settings to choose from."""

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
from dnalm.evaluation.baselines.reference import CALLED, Fractions
from dnalm.names import LABEL, TARGET, TRF_PARAMETERS
from dnalm.sequence.periodicity import FEWEST_PAIRS, LONGEST_PERIOD, best_self_match

MAX_ITERATIONS = 1000
LONGEST_KMER = 6
MOST_TREES = 500
"""Rounds of boosting, each a tree (a tree a class, if there are more than two)."""
PATIENCE = 20
"""Rounds without a lower loss on validation after which boosting stops."""

Features = Any
"""What scikit-learn takes: a dense or sparse matrix with one row a sequence."""


@dataclass(frozen=True)
class Candidate:
    """Settings to try: their values, the features they need (equal keys share them), and the model.

    watches: its fit takes validation too, to know when to stop. column: what its features are made of.
    """

    settings: dict[str, Any]
    key: tuple[Any, ...]
    features: Callable[[Sequence[Any]], Features]
    model: Any
    watches: bool = False
    column: str = "sequence"


@dataclass(frozen=True)
class _Models:
    """The linear and the boosted model of labels, or of targets.

    penalty: scikit-learn's name for the strength of the linear model's L2 penalty; `penalties`: those that are tried, the
    strongest first.
    """

    penalty: str
    penalties: tuple[float, ...]
    linear: Callable[[float], Any]
    boosted: type


_OF = {
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


def _nothing(sequences: Sequence[str]) -> Features:
    return np.zeros((len(sequences), 1))


def _majority(truth: str) -> Iterator[Candidate]:
    yield Candidate({}, (), _nothing, DummyClassifier(strategy="prior"))


def _mean(truth: str) -> Iterator[Candidate]:
    yield Candidate({}, (), _nothing, DummyRegressor(strategy="mean"))


def _length_gc(truth: str) -> Iterator[Candidate]:
    of = _OF[truth]
    for degree, penalty in product((1, 2), of.penalties):
        polynomial = PolynomialFeatures(degree, include_bias=False)
        model = make_pipeline(StandardScaler(), polynomial, StandardScaler(), of.linear(penalty))
        yield Candidate({"degree": degree, of.penalty: penalty}, (), length_gc, model)


def _kmer(truth: str) -> Iterator[Candidate]:
    of = _OF[truth]
    for k, penalty in product(range(1, LONGEST_KMER + 1), of.penalties):
        yield Candidate(
            {"k": k, of.penalty: penalty},
            (k,),
            lambda sequences, k=k: kmer_features(sequences, k),  # type: ignore[misc]
            make_pipeline(of.linear(penalty)),
        )


def _boosting(truth: str) -> Iterator[Candidate]:
    for k, leaves in product((2, 3, 4), (8, 31)):
        model = _OF[truth].boosted(
            max_leaf_nodes=leaves, max_iter=MOST_TREES, early_stopping=True, n_iter_no_change=PATIENCE, random_state=0
        )
        yield Candidate(
            {"k": k, "leaves": leaves},
            (k,),
            lambda sequences, k=k: kmer_frequencies(sequences, k),  # type: ignore[misc]
            model,
            watches=True,
        )


def _periodicity(truth: str) -> Iterator[Candidate]:
    model = make_pipeline(StandardScaler(), _OF[truth].linear(1.0))
    yield Candidate({}, (), lambda sequences: best_self_match(sequences)[:, None], model)


def _trf(truth: str) -> Iterator[Candidate]:
    yield Candidate({}, (), lambda called: np.array(called, bool)[:, None], Fractions(), column=CALLED)


_BOOSTING = (
    "Gradient-boosted trees on the frequencies of canonical k-mers, of every length up to k; as many trees as lower"
    f" the loss on validation, at most {MOST_TREES}",
    _boosting,
)
_PERIODICITY = (
    f"One number: the best agreement of a sequence with itself at any period of 1 to {LONGEST_PERIOD} bases"
    f" (at least {FEWEST_PAIRS} compared)",
    _periodicity,
)
CANDIDATES: dict[str, dict[str, tuple[str, Callable[[str], Iterator[Candidate]]]]] = {
    LABEL: {
        "majority": ("The fractions of the classes in train, whatever the sequence", _majority),
        "length_gc": ("Logistic regression on the logarithm of the length and GC, optionally with squares", _length_gc),
        "kmer": ("Logistic regression on square roots of canonical k-mer frequencies", _kmer),
        "boosting": _BOOSTING,
        "periodicity": _PERIODICITY,
        "trf": (
            f"Whether Tandem Repeats Finder calls a repeat (trf {' '.join(map(str, TRF_PARAMETERS))}); as probabilities, the"
            " fractions of the classes among the records of train with the same answer, after one more of each class",
            _trf,
        ),
    },
    TARGET: {
        "mean": ("The mean target of train, whatever the sequence", _mean),
        "length_gc": ("Ridge regression on the logarithm of the length and GC, optionally with squares", _length_gc),
        "kmer": ("Ridge regression on square roots of canonical k-mer frequencies", _kmer),
        "boosting": _BOOSTING,
        "periodicity": _PERIODICITY,
    },
}
"""What each baseline is in words, and what it tries, the simplest first; by what is learnt, which the function is given."""
