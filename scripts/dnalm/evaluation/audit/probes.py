"""Shortcut probes: how well something that is not the biology tells the classes apart.

A probe is a logistic regression (scikit-learn, lbfgs) on one simple property of the sequences. All splits are pooled:
what is asked is whether the data set gives its labels away, and nothing that is fitted here is used again. Each record
is scored by a model that saw none of its group, so that no twin or relative of it was fitted. Nothing here is random.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from tqdm import tqdm

from dnalm.evaluation.audit.properties import END_BASES, title
from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.baselines.features import length_gc
from dnalm.evaluation.report.text import decimal
from dnalm.evaluation.statistics.auroc import Auroc, clustered_auroc, weakest_class
from dnalm.sequence.kmers import OTHER, encode
from dnalm.sequence.periodicity import best_self_match

FOLDS = 5
MAX_ITERATIONS = 200
NOTEWORTHY = 0.55
"""An AUROC above this, with an interval above .5, is worth a word though it fails nothing."""
CONTROL = "inner_kmer"
"""Fails nothing: bases from inside show what composition, which is no shortcut, tells at any place."""
BATCH = 20_000
"""Sequences whose features are made together, which bounds the memory that takes."""

Features = Any
"""What scikit-learn takes: a dense or sparse matrix with one row a sequence."""


@dataclass(frozen=True)
class Probe:
    """A probe and what it found; `status` is pass, warn or fail, `note` a plain sentence.

    excused: whether what it measures is known not to be a shortcut, so that it fails nothing.
    """

    name: str
    auroc: Auroc
    records: int
    groups_effective: float
    status: str = "pass"
    note: str = ""
    excused: bool = False

    def as_json(self) -> dict[str, Any]:
        """The probe as audit.json holds it."""
        rounded = {
            key: None if number is None else round(number, 6)
            for key, number in (("auroc", self.auroc.value), ("low", self.auroc.low), ("high", self.auroc.high))
        }
        counts = {"n": self.records, "groups_effective": round(self.groups_effective, 1)}
        return {"probe": self.name, **rounded, **counts, "status": self.status, "note": self.note}


def _inside(text: str) -> str:
    """Bases from a place between both ends that the sequence alone decides, so that no motif's own place is preferred."""
    places = len(text) - 3 * END_BASES + 1
    start = END_BASES + zlib.crc32(text.encode()) % places if places > 0 else max(len(text) - END_BASES, 0) // 2
    return text[start : start + END_BASES]


_PLACES: dict[str, Callable[[str], str]] = {
    CONTROL: _inside,
    "first_kmer": lambda text: text[:END_BASES],
    "last_kmer": lambda text: text[-END_BASES:],
}
"""Where bases are looked at."""
ENDS = frozenset(_PLACES) - {CONTROL}


def features(records: pd.DataFrame, tokens: Mapping[str, TokenCounts]) -> Iterator[tuple[str, Features]]:
    """Each probe's name and features, one row a record: what is looked at depends on what `records` and `tokens` hold.

    records: columns sequence and, if the case of the genome was kept, soft_masked (fraction or boolean).
    """
    sequences = records["sequence"].tolist()
    simple = _in_batches(length_gc, sequences)
    yield "length", simple[:, :1]
    yield "gc", simple[:, 1:]
    yield "length_gc", simple
    if "soft_masked" in records:
        yield "case", records["soft_masked"].to_numpy(np.float64, na_value=0.0)[:, None]
    yield "ambiguity", _in_batches(_ambiguity, sequences)
    for model, counts in tokens.items():
        yield f"tokens/{model}", np.log(counts.lengths.clip(1))[:, None]
    for name, cut in _PLACES.items():
        yield name, _in_batches(lambda batch, cut=cut: triplets([cut(text) for text in batch]), sequences)  # type: ignore[misc]
    yield "periodicity", best_self_match(sequences)[:, None]


def _in_batches(make: Callable[[Sequence[str]], Features], sequences: Sequence[str]) -> Features:
    parts = [make(sequences[at : at + BATCH]) for at in range(0, max(len(sequences), 1), BATCH)]
    return sparse.vstack(parts, format="csr") if sparse.issparse(parts[0]) else np.concatenate(parts)


def _ambiguity(sequences: Sequence[str]) -> np.ndarray:
    """Fraction of letters other than ACGT, shape (n, 1)."""
    codes, offsets = encode(sequences)
    lengths = np.diff(offsets)
    rows = np.repeat(np.arange(len(sequences)), lengths)
    other = np.bincount(rows[codes == OTHER], minlength=len(sequences))
    fractions: np.ndarray = (other / lengths.clip(1))[:, None]
    return fractions


def triplets(words: Sequence[str]) -> sparse.csr_array:
    """Which triplet stands at each place of short sequences, shape (n, 64 * (END_BASES // 3)), ones and zeros.

    A triplet with a letter other than ACGT, or beyond the end, has no column.
    """
    padded = encode([word.ljust(END_BASES, "N") for word in words])[0].reshape(len(words), END_BASES // 3, 3)
    known = (padded < 4).all(axis=2)
    column = padded @ np.array([16, 4, 1]) + 64 * np.arange(END_BASES // 3)
    rows = np.broadcast_to(np.arange(len(words))[:, None], column.shape)
    ones = np.ones(int(known.sum()))
    return sparse.csr_array((ones, (rows[known], column[known])), shape=(len(words), 64 * (END_BASES // 3)))


def run_probes(
    records: pd.DataFrame, tokens: Mapping[str, TokenCounts], limit: float, fewest: float, kind: str
) -> list[Probe]:
    """Run every probe on `records` (columns sequence, label, group and optionally soft_masked), and judge it.

    limit: AUROC above which a lower bound fails. fewest: effective groups, in the class that has fewest of them, below
    which no interval is given. On kind `repeats` periodicity is what the label means, so that it warns at most.
    """
    labels = records["label"].to_numpy(np.int64)
    codes = pd.factorize(records["group"], sort=True)[0]
    effective = weakest_class(labels, codes) if len(np.unique(labels)) > 1 else 0.0
    folds = _folds(codes)
    found = []
    with threadpool_limits(limits=1):  # sums in another order would be another result
        for name, matrix in tqdm(features(records, tokens), desc="probes", unit="probe", mininterval=1):
            area = _cross_validated(matrix, labels, codes, folds)
            if effective < fewest:
                area = Auroc(area.value)
            found.append(Probe(name, area, len(records), effective))
    control = next(probe.auroc for probe in found if probe.name == CONTROL)
    return [_judged(probe, limit, control, meant=kind == "repeats" and probe.name == "periodicity") for probe in found]


def _folds(codes: np.ndarray) -> np.ndarray:
    """The fold of each record, (n,): groups are never divided, the largest are dealt out first."""
    folds = np.zeros(len(codes), dtype=np.int64)
    number = min(FOLDS, int(codes.max(initial=-1)) + 1)
    if number > 1:
        for fold, (_, rows) in enumerate(GroupKFold(number).split(codes, groups=codes)):
            folds[rows] = fold
    return folds


def _cross_validated(matrix: Features, labels: np.ndarray, codes: np.ndarray, folds: np.ndarray) -> Auroc:
    """AUROC of out-of-fold probabilities. A fold that leaves one class to fit on scores all its records alike."""
    if len(np.unique(labels)) < 2:
        return Auroc(None)
    matrix = _scaled(matrix)
    scores = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in np.unique(folds):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        if len(np.unique(labels[others])) < 2:
            continue
        model = LogisticRegression(max_iter=MAX_ITERATIONS).fit(matrix[others], labels[others])
        scores[np.ix_(rows, model.classes_)] = model.predict_proba(matrix[rows])
    return clustered_auroc(scores.round(9), labels, folds, codes)  # what differs by rounding alone is a tie


def _scaled(matrix: Features) -> Features:
    """Numbers with their squares and products, as both extremes may be of one class, on one scale; triplets as they are.

    The scale is that of all records, labels unseen.
    """
    if sparse.issparse(matrix):
        return matrix
    return make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler()).fit_transform(
        matrix
    )


def _judged(probe: Probe, limit: float, control: Auroc, meant: bool) -> Probe:
    """The probe with its status and note. control: of bases from inside; meant: whether the label means this property."""
    what, area = title(probe.name), probe.auroc
    if probe.name == CONTROL:
        note = "A control: what composition tells at any place; the ends are judged against it."
        return replace(probe, note=note, excused=True)
    if area.value is None:
        return replace(probe, status="warn", note="Not measured: no fold holds records of two classes.")
    if area.low is None or area.high is None:
        groups = f"{probe.groups_effective:.1f} effective groups in the scarcest class"
        status = "warn" if area.value > NOTEWORTHY else "pass"
        return replace(probe, status=status, note=f"Interval not given: {groups}, too few to judge {what} by.")
    if area.high < 0.5 and area.value < 1 - NOTEWORTHY:
        note = (
            f"Matching artifact, not clean: fitted on some groups, a model of {what} is wrong about the others more"
            " often than chance, as where matched records are not kept in one group."
        )
        return replace(probe, status="warn", note=note)
    if area.low <= 0.5 or area.value <= NOTEWORTHY:
        return replace(probe, note=f"No shortcut: next to nothing about the label shows in {what}.")
    if probe.name in ENDS and (control.value or 0.0) >= area.low:
        note = f"Composition, not the ends: as many bases from inside tell as much (AUROC {decimal(control.value)})."
        return replace(probe, status="warn", note=note, excused=True)
    if meant:
        note = (
            "This is what the label means, no flaw of the data: a model earns credit only by what it adds to this one"
            f" number (AUROC {decimal(area.value)}), so compare it with the baseline `periodicity`."
        )
        return replace(probe, status="warn", note=note, excused=True)
    if area.low > limit:
        return replace(probe, status="fail", note=f"A shortcut: the classes can be told apart by {what} alone.")
    return replace(probe, status="warn", note=f"A weak shortcut: something about the label shows in {what} alone.")
