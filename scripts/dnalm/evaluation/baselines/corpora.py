"""Baselines of a corpus: what a language model has to beat in bits per base.

They learn counts from train, choose their settings on validation, and predict each base of a record from those before
it in the record, as a causal language model does. The counts are frozen: nothing is learnt from the test split, so the
figures are not those of a compressor, which learns from the sequence that it compresses.
"""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.errors import UserError
from dnalm.evaluation.baselines import mixing
from dnalm.evaluation.baselines.contexts import LONGEST_DENSE, Tables, Text
from dnalm.evaluation.baselines.outcome import Outcome
from dnalm.names import SCORED_SPLITS, SEQUENCE, spread
from dnalm.sequence.kmers import OTHER, encode
from dnalm.tables.corpora import read_batches
from dnalm.tables.predictions import BitPredictions

MARKOV_ORDERS = tuple(range(LONGEST_DENSE + 1))
MIXTURE_ORDERS = (0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20)
TOLERANT = 20
"""Order of the tolerant context model."""
GAMMAS = (0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
MOST_SORTED = 100_000_000
"""Bases of train above which the mixture has no orders above `LONGEST_DENSE`: a sorted table would take over 5 GB."""
MOST_BYTES = 3 * 2**30
"""Tables kept in memory together; further ones are made again for each slab of records."""
SLAB = 2**21
"""Bases that are scored together, and at most of validation that settings are chosen on."""

_MARKOV = (
    "Markov chain: each base from the k before it, with pseudocounts alpha; at the beginning of a record, where there"
    " are fewer, from those that there are"
)
_MIXTURE = (
    "Mixture of finite-context models with inverted repeats and a tolerant context model, as DNA compressors use,"
    " with counts frozen after train; its weights follow each model's performance within a record"
)


def fit_corpus_baseline(name: str, folder: Path, most_settings: int | None = None) -> Outcome:
    """Fit a baseline on a corpus' train.parquet, choose its settings on validation, and score validation and test.

    folder: of the corpus tables. most_settings: how many settings are tried at most, evenly spread over the grid; None
    for all. Of settings that tie the first is taken. Memory: a byte for each base of train, up to `MOST_BYTES` of
    tables, and about 200 bytes for each base of a slab. Raises `UserError` for a baseline that predicts no sequence and
    for a split without known bases.
    """
    if name not in BASELINES:
        raise UserError(f"baselines: '{name}' predicts no {SEQUENCE}; use one of {', '.join(BASELINES)}")
    scored = {split: _Split.read(folder / f"{split}.parquet") for split in SCORED_SPLITS}
    bits, record = BASELINES[name](folder, scored, most_settings)
    predictions = {split: part.predictions(bits[split]) for split, part in scored.items()}
    return Outcome({**predictions}, record)


class _Split:
    """The records of a split: ids, text, and which bases are soft-masked."""

    def __init__(self, ids: NDArray[Any], text: Text, soft_masked: NDArray[np.bool_]) -> None:
        self.ids, self.text, self.soft_masked = ids, text, soft_masked

    @classmethod
    def read(cls, path: Path) -> "_Split":
        """Read a corpus table."""
        ids: list[str] = []
        texts, masks = [], []
        for batch in read_batches(path, ["id", "sequence", "soft_masked"]):
            ids += batch["id"].to_pylist()
            codes, offsets = encode(batch["sequence"].to_pylist())
            change = np.zeros(len(codes) + 1, np.int32)
            for start, intervals in zip(offsets[:-1], batch["soft_masked"].to_pylist(), strict=True):
                for place, sign in zip(intervals or (), _SIGNS * (len(intervals or ()) // 2), strict=True):
                    change[start + place] += sign
            texts.append((codes, offsets))
            masks.append(np.cumsum(change)[:-1] > 0)
        text = _joined(texts, path)
        return cls(np.array(ids, dtype=object), text, np.concatenate(masks))

    def predictions(self, bits: NDArray[np.float64]) -> BitPredictions:
        """Bits of each base, (T,), as sums of each record; soft-masked ones apart."""
        known = self.text.codes != OTHER
        soft = known & self.soft_masked
        columns = (known, bits * known, soft, bits * soft)
        counts = np.column_stack([_sums(column.astype(np.float64), self.text.offsets) for column in columns])
        return BitPredictions(self.ids, counts)


_SIGNS = (1, -1)
"""What the start and the end of a soft-masked interval add to the number of intervals that a base lies in."""


def _sums(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of each record, (n,)."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    sums: NDArray[np.float64] = np.bincount(owners, values, len(offsets) - 1).astype(np.float64)
    return sums


def read_text(path: Path) -> Text:
    """The sequences of a corpus table, a byte for each base."""
    return _joined([encode(batch["sequence"].to_pylist()) for batch in read_batches(path, ["sequence"])], path)


def _joined(texts: list[tuple[NDArray[np.uint8], NDArray[np.int64]]], path: Path) -> Text:
    codes = np.concatenate([codes for codes, _ in texts] or [np.zeros(0, np.uint8)])
    if not (codes != OTHER).any():
        raise UserError(f"{path}: holds no bases A, C, G or T")
    lengths = np.concatenate([np.diff(offsets) for _, offsets in texts])
    return Text(codes, np.concatenate(([0], np.cumsum(lengths))))


_Scored = Mapping[str, _Split]
_Fitted = tuple[dict[str, NDArray[np.float64]], dict[str, Any]]
"""Bits of each base of each split, and what goes into run.json."""


def _uniform(folder: Path, scored: _Scored, most_settings: int | None) -> _Fitted:
    record = {"description": "2 bits for every base", "chosen": {}, "tried": [], "grid": 1, "converged": True}
    return {split: np.full(len(part.text), 2.0) for split, part in scored.items()}, record


def _markov(folder: Path, scored: _Scored, most_settings: int | None) -> _Fitted:
    train, sample = read_text(folder / "train.parquet"), _sample(scored["validation"].text)
    grid = list(product((False, True), MARKOV_ORDERS, (1.0, 1 / 16)))
    kept = [grid[i] for i in spread(len(grid), most_settings)]
    known = sample.codes != OTHER
    tried: list[dict[str, Any]] = []
    for inverted in sorted({setting[0] for setting in kept}):
        tables = Tables(train, MARKOV_ORDERS, inverted, most_bytes=0)
        follows = tables.follows(sample)
        for alpha in dict.fromkeys(setting[2] for setting in kept):
            chances = mixing.stacked(follows, [alpha] * len(MARKOV_ORDERS), _ready(sample, MARKOV_ORDERS), "uniform")
            tried += [
                {"k": k, "alpha": alpha, "inverted_repeats": inverted}
                | {"validation_bits_per_base": round(mixing.mean_bits(chances[k], known), 6)}
                for k in MARKOV_ORDERS
                if (inverted, k, alpha) in kept
            ]
    best: dict[str, Any] = min(tried, key=lambda one: (one["validation_bits_per_base"], one["k"]))
    orders = tuple(range(best["k"] + 1))
    tables = Tables(train, orders, best["inverted_repeats"], MOST_BYTES)
    alphas = [best["alpha"]] * len(orders)

    def bits(text: Text) -> NDArray[np.float64]:
        chances = mixing.stacked(tables.follows(text), alphas, _ready(text, orders), "uniform")
        return np.where(text.codes == OTHER, 0.0, -np.log2(chances[-1].astype(np.float64)))

    chosen = {key: best[key] for key in ("k", "alpha", "inverted_repeats")}
    record = {"description": _MARKOV, "chosen": chosen, "tried": tried, "grid": len(grid), "converged": True}
    return {split: _in_slabs(part.text, bits, split) for split, part in scored.items()}, record


def _mixture(folder: Path, scored: _Scored, most_settings: int | None) -> _Fitted:
    train, sample = read_text(folder / "train.parquet"), _sample(scored["validation"].text)
    dropped = [order for order in MIXTURE_ORDERS if order > LONGEST_DENSE and len(train) > MOST_SORTED]
    orders = tuple(order for order in MIXTURE_ORDERS if order not in dropped)
    tolerant = TOLERANT if TOLERANT in orders else None
    members = orders if tolerant is None else (*orders, tolerant)
    tables = Tables(train, orders, inverted=True, most_bytes=MOST_BYTES)
    follows = tables.follows(sample, tolerant)
    known = sample.codes != OTHER
    fitted = {}
    for prior in mixing.ALPHAS:
        alphas, chances = mixing.best_alphas(follows, sample, members, prior)
        fitted[prior] = (alphas, chances, mixing.best_weights(chances, known))
    grid = list(product(fitted, ("forgotten", "kept"), GAMMAS))
    tried: list[dict[str, Any]] = []
    for index in tqdm(spread(len(grid), most_settings), desc="mixture", unit="fit", mininterval=1):
        prior, start, gamma = grid[index]
        _, chances, weights = fitted[prior]
        found = mixing.mixed(chances, sample, weights, gamma, start)[known].mean()
        tried.append(
            {"prior": prior, "start": start, "gamma": gamma, "validation_bits_per_base": round(float(found), 6)}
        )
    best = min(tried, key=lambda one: one["validation_bits_per_base"])
    alphas, _, weights = fitted[best["prior"]]
    mixture = mixing.Mixture(members, alphas, best["prior"], weights, best["gamma"], best["start"])
    del follows, fitted

    def bits(text: Text) -> NDArray[np.float64]:
        return mixture.bits(tables.follows(text, tolerant), text)

    record = {
        "description": _MIXTURE,
        "chosen": {key: best[key] for key in ("prior", "start", "gamma")},
        "tried": tried,
        "grid": len(grid),
        "converged": True,
        "mixture": mixture.settings() | {"tolerant": tolerant},
        "dropped_orders": dropped,
        "dropped_because": f"train has more than {MOST_SORTED:,} bases" if dropped else "",
    }
    return {split: _in_slabs(part.text, bits, split) for split, part in scored.items()}, record


def _ready(text: Text, orders: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    return mixing.readiness(text, orders)


def _sample(text: Text) -> Text:
    """Evenly spaced records of at most `SLAB` bases, or one record."""
    if len(text) <= SLAB:
        return text
    records = spread(text.records, max(1, SLAB * text.records // len(text)))
    parts = [text.codes[text.offsets[i] : text.offsets[i + 1]] for i in records]
    return Text(np.concatenate(parts), np.concatenate(([0], np.cumsum([len(part) for part in parts]))))


def _in_slabs(text: Text, bits: Callable[[Text], NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """Bits of each base, (T,), a slab of records at a time."""
    found = np.empty(len(text))
    for first, last in tqdm(list(text.parts(SLAB)), desc=name, unit="slab", mininterval=1):
        found[text.offsets[first] : text.offsets[last]] = bits(text.part(first, last))
    return found


BASELINES: dict[str, Callable[[Path, _Scored, int | None], _Fitted]] = {
    "uniform": _uniform,
    "markov": _markov,
    "mixture": _mixture,
}
"""By name: a function of the tables' folder, the scored splits and the most settings to try."""
