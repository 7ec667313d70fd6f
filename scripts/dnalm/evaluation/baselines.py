"""Models simple enough to explain: what a result must beat before a language model gets the credit for it.

Each is a logistic regression (scikit-learn, lbfgs) on a few numbers of a sequence, fitted on train; its settings are
those with the highest MCC on validation. Nothing here is random.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.evaluation.features import kmer_features, length_gc
from dnalm.evaluation.periodicity import FEWEST_PAIRS, LONGEST_PERIOD, best_self_match
from dnalm.evaluation.predictions import Predictions
from dnalm.metrics import classification_metrics
from dnalm.names import SCORED_SPLITS

MAX_ITERATIONS = 1000
PENALTIES = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the L2 penalty that are tried (scikit-learn's C)."""

Features = Any
"""What scikit-learn takes: a dense or sparse matrix with one row a sequence."""


@dataclass(frozen=True)
class Candidate:
    """Settings to try: their values, the features they need (equal keys share them), and the model."""

    settings: dict[str, Any]
    key: tuple[Any, ...]
    features: Callable[[Sequence[str]], Features]
    model: Pipeline


@dataclass(frozen=True)
class Outcome:
    """A fitted baseline: predictions on validation and test, and how it came about (for run.json)."""

    predictions: dict[str, Predictions]
    account: dict[str, Any]


def _regression(penalty: float) -> LogisticRegression:
    return LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS)


def _length_gc() -> Iterator[Candidate]:
    for degree, penalty in product((1, 2), PENALTIES):
        polynomial = PolynomialFeatures(degree, include_bias=False)
        model = make_pipeline(StandardScaler(), polynomial, StandardScaler(), _regression(penalty))
        yield Candidate({"degree": degree, "C": penalty}, (), length_gc, model)


def _kmer() -> Iterator[Candidate]:
    for k, penalty in product((3, 4, 5, 6), PENALTIES):
        yield Candidate(
            {"k": k, "C": penalty},
            (k,),
            lambda sequences, k=k: kmer_features(sequences, k),  # type: ignore[misc]
            make_pipeline(_regression(penalty)),
        )


def _periodicity() -> Iterator[Candidate]:
    model = make_pipeline(StandardScaler(), _regression(1.0))
    yield Candidate({}, (), lambda sequences: best_self_match(sequences)[:, None], model)


_BASELINES: dict[str, tuple[str, Callable[[], Iterator[Candidate]]]] = {
    "length_gc": ("Logistic regression on the logarithm of the length and GC, optionally with squares", _length_gc),
    "kmer": ("Logistic regression on square roots of canonical k-mer frequencies", _kmer),
    "periodicity": (
        f"One number: the best agreement of a sequence with itself at any period of 1 to {LONGEST_PERIOD} bases"
        f" (at least {FEWEST_PAIRS} compared)",
        _periodicity,
    ),
}


def fit_baseline(name: str, tables: dict[str, pd.DataFrame]) -> Outcome:
    """Fit a baseline on `tables["train"]`, choose its settings on validation, and score validation and test.

    tables: sequence tables of train, validation and test. A class missing in train gets probability 0. Of settings
    with the same MCC the first (simplest) is taken. Raises `UserError` for a train table with fewer than two classes.
    """
    description, candidates = _BASELINES[name]
    sequences = {split: table["sequence"].tolist() for split, table in tables.items()}
    labels = {split: table["label"].to_numpy(dtype=np.int64) for split, table in tables.items()}
    classes = 1 + max(int(values.max(initial=1)) for values in labels.values())
    if len(np.unique(labels["train"])) < 2:
        raise UserError("train: only one class; a classifier needs at least two")
    features: dict[str, Features] = {}
    key: tuple[Any, ...] | None = None
    tried: list[dict[str, Any]] = []
    best: tuple[float, Candidate, dict[str, np.ndarray]] | None = None
    with threadpool_limits(limits=1):  # sums in another order would be another result
        for candidate in tqdm(list(candidates()), desc=name, unit="fit", mininterval=1):
            if key != candidate.key:
                features = {split: candidate.features(texts) for split, texts in sequences.items()}
                key = candidate.key
            candidate.model.fit(features["train"], labels["train"])
            scores = {split: _scores(candidate.model, features[split], classes) for split in SCORED_SPLITS}
            guess = scores["validation"].argmax(axis=1)
            mcc = classification_metrics(labels["validation"], guess, classes)["mcc"]
            tried.append({**candidate.settings, "validation_mcc": round(mcc, 6)})
            if best is None or mcc > best[0]:
                best = (mcc, candidate, scores)
    assert best is not None  # noqa: S101  (every baseline has a candidate)
    predictions = {
        split: Predictions(tables[split]["id"].to_numpy(dtype=object), labels[split], best[2][split])
        for split in SCORED_SPLITS
    }
    regression = best[1].model[-1]
    account = {
        "description": description,
        "chosen": best[1].settings,
        "tried": tried,
        "converged": bool(regression.n_iter_.max() < MAX_ITERATIONS),
    }
    return Outcome(predictions, account)


def _scores(model: Pipeline, features: Features, classes: int) -> np.ndarray:
    """Probabilities of all classes, shape (n, classes)."""
    scores = np.zeros((features.shape[0], classes))
    scores[:, model.classes_] = model.predict_proba(features)
    return scores
