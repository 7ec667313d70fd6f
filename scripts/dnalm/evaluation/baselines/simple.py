"""Models simple enough to explain: what a result must beat before a language model gets the credit for it.

Each is fitted on a few numbers of a sequence, on train; its settings are those with the highest MCC on validation.
Nothing here is random.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.evaluation.baselines.features import kmer_features, kmer_frequencies, length_gc
from dnalm.evaluation.baselines.reference import CALLED, Fractions
from dnalm.metrics import classification_metrics
from dnalm.names import TRF_PARAMETERS
from dnalm.sequence.periodicity import FEWEST_PAIRS, LONGEST_PERIOD, best_self_match
from dnalm.tables.predictions import ClassPredictions

MAX_ITERATIONS = 1000
PENALTIES = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the L2 penalty that are tried (scikit-learn's C)."""
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
class Outcome:
    """A fitted baseline: predictions on all but train, and how it came about (for run.json)."""

    predictions: dict[str, ClassPredictions]
    account: dict[str, Any]


def _majority() -> Iterator[Candidate]:
    yield Candidate({}, (), lambda sequences: np.zeros((len(sequences), 1)), DummyClassifier(strategy="prior"))


def _regression(penalty: float) -> LogisticRegression:
    return LogisticRegression(C=penalty, max_iter=MAX_ITERATIONS)


def _length_gc() -> Iterator[Candidate]:
    for degree, penalty in product((1, 2), PENALTIES):
        polynomial = PolynomialFeatures(degree, include_bias=False)
        model = make_pipeline(StandardScaler(), polynomial, StandardScaler(), _regression(penalty))
        yield Candidate({"degree": degree, "C": penalty}, (), length_gc, model)


def _kmer() -> Iterator[Candidate]:
    for k, penalty in product(range(1, LONGEST_KMER + 1), PENALTIES):
        yield Candidate(
            {"k": k, "C": penalty},
            (k,),
            lambda sequences, k=k: kmer_features(sequences, k),  # type: ignore[misc]
            make_pipeline(_regression(penalty)),
        )


def _boosting() -> Iterator[Candidate]:
    for k, leaves in product((2, 3, 4), (8, 31)):
        model = HistGradientBoostingClassifier(
            max_leaf_nodes=leaves, max_iter=MOST_TREES, early_stopping=True, n_iter_no_change=PATIENCE, random_state=0
        )
        yield Candidate(
            {"k": k, "leaves": leaves},
            (k,),
            lambda sequences, k=k: kmer_frequencies(sequences, k),  # type: ignore[misc]
            model,
            watches=True,
        )


def _periodicity() -> Iterator[Candidate]:
    model = make_pipeline(StandardScaler(), _regression(1.0))
    yield Candidate({}, (), lambda sequences: best_self_match(sequences)[:, None], model)


def _trf() -> Iterator[Candidate]:
    yield Candidate({}, (), lambda called: np.array(called, bool)[:, None], Fractions(), column=CALLED)


_BASELINES: dict[str, tuple[str, Callable[[], Iterator[Candidate]]]] = {
    "majority": ("The fractions of the classes in train, whatever the sequence", _majority),
    "length_gc": ("Logistic regression on the logarithm of the length and GC, optionally with squares", _length_gc),
    "kmer": ("Logistic regression on square roots of canonical k-mer frequencies", _kmer),
    "boosting": (
        "Gradient-boosted trees on the frequencies of canonical k-mers, of every length up to k; as many trees as lower"
        f" the loss on validation, at most {MOST_TREES}",
        _boosting,
    ),
    "periodicity": (
        f"One number: the best agreement of a sequence with itself at any period of 1 to {LONGEST_PERIOD} bases"
        f" (at least {FEWEST_PAIRS} compared)",
        _periodicity,
    ),
    "trf": (
        f"Whether Tandem Repeats Finder calls a repeat (trf {' '.join(map(str, TRF_PARAMETERS))}); as probabilities, the"
        " fractions of the classes among the records of train with the same answer, after one more of each class",
        _trf,
    ),
}


def fit_baseline(name: str, tables: dict[str, pd.DataFrame]) -> Outcome:
    """Fit a baseline on `tables["train"]`, choose its settings on validation, and score all but train.

    tables: sequence tables of train, validation and test, and of what else is to be scored (`background`); for `trf` with
    the column `CALLED`. A class missing in train gets probability 0. Of settings with the same MCC the first (simplest) is
    taken. Raises `UserError` for a train table with fewer than two classes and for splits without records.
    """
    description, candidates = _BASELINES[name]
    labels = {split: table["label"].to_numpy(dtype=np.int64) for split, table in tables.items()}
    scored = [split for split in tables if split != "train"]
    classes = 1 + max(int(values.max(initial=1)) for values in labels.values())
    _check(labels)
    features: dict[str, Features] = {}
    key: tuple[Any, ...] | None = None
    tried: list[dict[str, Any]] = []
    best: tuple[float, Candidate, dict[str, np.ndarray]] | None = None
    with threadpool_limits(limits=1):  # sums in another order would be another result
        for candidate in tqdm(list(candidates()), desc=name, unit="fit", mininterval=1):
            if key != candidate.key:
                features = {s: candidate.features(table[candidate.column].tolist()) for s, table in tables.items()}
                key = candidate.key
            watched = _watched(features, labels) if candidate.watches else {}
            candidate.model.fit(features["train"], labels["train"], **watched)
            scores = {split: _scores(candidate.model, features[split], classes) for split in scored}
            guess = scores["validation"].argmax(axis=1)
            mcc = classification_metrics(labels["validation"], guess, classes)["mcc"]
            tried.append({**candidate.settings, "validation_mcc": round(mcc, 6)})
            if best is None or mcc > best[0]:
                best = (mcc, candidate, scores)
    assert best is not None  # noqa: S101  (every baseline has a candidate)
    predictions = {
        split: ClassPredictions(tables[split]["id"].to_numpy(dtype=object), labels[split], best[2][split])
        for split in scored
    }
    account = {
        "description": description,
        "chosen": best[1].settings,
        "tried": tried,
        "converged": _converged(best[1].model),
    }
    return Outcome(predictions, account)


def _check(labels: dict[str, np.ndarray]) -> None:
    for split, values in labels.items():
        if not len(values):
            raise UserError(f"{split}: holds no records")
    found = np.unique(labels["train"])
    if len(found) < 2:
        raise UserError(f"train: only one class (label {found[0]}); a classifier needs at least two")
    if not np.isin(labels["validation"], found).any():
        raise UserError("validation: none of its records has a label that train knows")


def _watched(features: dict[str, Features], labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """Validation, as a fit takes it: the records of a class that train has."""
    known = np.isin(labels["validation"], labels["train"])
    return {"X_val": features["validation"][known], "y_val": labels["validation"][known]}


def _converged(model: Any) -> bool:
    """Whether a fit ended before its limit of iterations; one without iterations always does."""
    last = model[-1] if hasattr(model, "steps") else model
    return bool(np.max(last.n_iter_) < last.max_iter) if hasattr(last, "n_iter_") else True


def _scores(model: Any, features: Features, classes: int) -> np.ndarray:
    """Probabilities of all classes, shape (n, classes)."""
    scores = np.zeros((features.shape[0], classes))
    scores[:, model.classes_] = model.predict_proba(features)
    return scores
