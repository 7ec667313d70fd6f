"""From counts after contexts to probabilities, and the mixture of finite-context models."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from dnalm.evaluation.baselines.contexts import Text
from dnalm.sequence.kmers import OTHER

_SMALL = (1.0, 1 / 4, 1 / 16, 1 / 64)
ALPHAS = {"uniform": _SMALL, "lower": (16.0, 4.0, *_SMALL)}
"""Pseudocounts of a base that are tried with each prior. Large ones make a model alone better, but add to a
mixture only what shorter models know better."""
_ROUNDS = 30
"""Rounds of expectation maximisation of the initial weights."""
_CELLS = 2**22
"""Probabilities mixed at a time."""
_LEAST = 1e-9
"""Least initial weight of a model."""

Follows = NDArray[np.uint32]
Chances = NDArray[np.float32]
"""(models, T): each model's probability of the base that is there."""


def estimate(
    follows: Follows, alpha: float, lower: Chances | None, ready: NDArray[np.bool_], prior: str
) -> NDArray[np.float32]:
    """One model's probability of each base, (T,): (n(cb) + alpha 4 q) / (n(c) + 4 alpha).

    follows: (T, 2), n(cb) and n(c) of a base b after its context c; lower: the next shorter model's probabilities, None
    for order 0; prior: q is 1/4 (`uniform`) or the shorter model's probability (`lower`). Where fewer bases are known
    than the context needs (`ready` is False), at the beginning of a record, it is the shorter model's probability.
    """
    shorter = np.full(len(follows), 0.25, np.float32) if lower is None else lower
    start = shorter if prior == "lower" else np.float32(0.25)
    here, any_base = follows[:, 0].astype(np.float32), follows[:, 1].astype(np.float32)
    chances = (here + np.float32(4 * alpha) * start) / (any_base + np.float32(4 * alpha))
    return np.where(ready, chances, shorter)


def readiness(text: Text, orders: Sequence[int]) -> list[NDArray[np.bool_]]:
    """For each order, which bases have enough known bases before them: (T,) each."""
    return [text.known >= order for order in orders]


def mean_bits(chances: NDArray[np.floating], scored: NDArray[np.bool_]) -> float:
    """Mean of -log2 p over the scored bases."""
    return float(-np.log2(chances[scored].astype(np.float64)).mean())


@dataclass(frozen=True)
class Mixture:
    """Finite-context models with weights that follow their performance.

    alphas: the pseudocount of each model; weights: initial ones, which sum to 1. After each base, a model's weight is
    raised to the power `gamma` and multiplied by the probability that it gave to that base; then the weights are
    normalised, as in the compressor GeCo (Pratas, Pinho and Ferreira 2016, "Efficient compression of genomic
    sequences", Data Compression Conference). With `start` `kept`, gamma is not applied to the initial weights, so that
    they are never forgotten. prior: as in `estimate`.
    """

    orders: tuple[int, ...]
    alphas: tuple[float, ...]
    prior: str
    weights: tuple[float, ...]
    gamma: float
    start: str

    def settings(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self) | {"weights": [round(weight, 6) for weight in self.weights]}

    def chances(self, follows: Follows, text: Text) -> Chances:
        """Each model's probability of each base. follows: (models, T, 2)."""
        return stacked(follows, self.alphas, readiness(text, self.orders), self.prior)

    def bits(self, follows: Follows, text: Text) -> NDArray[np.float64]:
        """Bits of each base, (T,); 0 for letters that are no known base."""
        return mixed(self.chances(follows, text), text, self.weights, self.gamma, self.start)


def stacked(follows: Follows, alphas: Sequence[float], ready: Sequence[NDArray[np.bool_]], prior: str) -> Chances:
    """Each model's probabilities, (models, T)."""
    chances = np.empty(follows.shape[:2], np.float32)
    for model, alpha in enumerate(alphas):
        lower = chances[model - 1] if model else None
        chances[model] = estimate(follows[model], alpha, lower, ready[model], prior)
    return chances


def best_alphas(follows: Follows, text: Text, orders: Sequence[int], prior: str) -> tuple[tuple[float, ...], Chances]:
    """The pseudocount of each model with the fewest bits of its own, shorter models first, and the probabilities."""
    scored = text.codes != OTHER
    chances = np.empty(follows.shape[:2], np.float32)
    alphas = []
    for model, ready in enumerate(readiness(text, orders)):
        lower = chances[model - 1] if model else None
        tried = {alpha: estimate(follows[model], alpha, lower, ready, prior) for alpha in ALPHAS[prior]}
        alphas.append(min(ALPHAS[prior], key=lambda alpha: mean_bits(tried[alpha], scored)))
        chances[model] = tried[alphas[-1]]
    return tuple(alphas), chances


def best_weights(chances: Chances, scored: NDArray[np.bool_]) -> tuple[float, ...]:
    """Constant weights of the models with the fewest bits, by expectation maximisation from equal ones."""
    models = len(chances)
    weights = np.full(models, 1 / models)
    known = np.flatnonzero(scored)
    for _ in range(_ROUNDS):
        share = np.zeros(models)
        for at in range(0, len(known), _CELLS // models):
            part = weights[:, None] * chances[:, known[at : at + _CELLS // models]]
            share += (part / part.sum(axis=0)).sum(axis=1)
        weights = share / len(known)
    weights = np.maximum(weights, _LEAST)
    return tuple(float(weight) for weight in weights / weights.sum())


def mixed(chances: Chances, text: Text, weights: Sequence[float], gamma: float, start: str) -> NDArray[np.float64]:
    """Bits of each base under the mixture (`Mixture`), (T,); each record begins with the initial weights."""
    bits = np.zeros(len(text))
    initial = np.log(np.asarray(weights))
    for records in _alike(np.diff(text.offsets), _CELLS // len(chances)):
        lengths = np.diff(text.offsets)[records]
        longest = int(lengths.max())
        inside = np.arange(longest) < lengths[:, None]
        places = np.where(inside, text.offsets[:-1][records][:, None] + np.arange(longest), 0)
        logs = np.log(chances[:, places].astype(np.float64))
        logs[:, (text.codes[places] == OTHER) | ~inside] = 0.0  # a letter that is not scored says nothing
        past = np.zeros_like(logs)
        past[:, :, 1:] = logs[:, :, :-1]
        score = lfilter([1.0], [1.0, -gamma], past, axis=2)
        faded = gamma ** np.arange(longest) if start == "forgotten" else np.ones(longest)
        score += initial[:, None, None] * faded
        score -= score.max(axis=0)
        shares = np.exp(score)
        chance = (shares * np.exp(logs)).sum(axis=0) / shares.sum(axis=0)
        bits[places[inside]] = -np.log2(chance)[inside]
    return np.where(text.codes == OTHER, 0.0, bits)


def _alike(lengths: NDArray[np.int64], bases: int) -> list[NDArray[np.int64]]:
    """Records of similar lengths together, at most so many bases with padding; empty records left out."""
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    batches, at = [], 0
    while at < len(order):
        size = max(1, bases // int(lengths[order[at]]))
        batches.append(order[at : at + size])
        at += size
    return batches
