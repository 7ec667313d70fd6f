"""Masked language modelling: some tokens are hidden or replaced, and predicted from all others."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dnalm.config.recipes import Masking
from dnalm.names import METRICS
from dnalm.training.objectives.base import IGNORED, MASKED_CLASS, MASKED_MODEL, Head, Records, Targets
from dnalm.training.objectives.language import LanguageModel, to_bits

MASKING = "masking"
"""Key of a finished model's config.json: how tokens were masked."""

_START, _GO_ON, _KIND, _OTHER = range(1, 5)
"""What a random number is drawn for."""


@dataclass(frozen=True, eq=False)
class Masked(LanguageModel):
    """Tokens chosen at random are predicted; most of them are hidden (Devlin et al., 2019, BERT).

    They depend on the records' seed and epoch, the record and the window, so not on batches, processes or a resume;
    validation and test records have one seed and epoch, so always the same masks.
    """

    masking: Masking = field(default_factory=Masking)

    name: ClassVar[str] = "masked"
    metrics: ClassVar[tuple[str, ...]] = METRICS["masked"]

    @property
    def head(self) -> Head:
        """A head for hidden tokens, with the masking in the config, so that a finished model is scored the same way."""
        return Head(MASKED_CLASS, MASKED_MODEL, {MASKING: self.masking.model_dump(mode="json")})

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """The chosen tokens, which are replaced in the input by the mask token, by a random token, or not at all."""
        bases, masking = self.spelt(records, indices, ids), self.masking
        keys = _keys(records, indices, lengths)
        chosen = spans(keys, lengths, masking.fraction, masking.span) & (bases > 0)
        kind = uniform(keys, _KIND)
        shown = ids.copy()
        shown[chosen & (kind < masking.masked)] = self.letters.mask or 0
        other = chosen & (kind >= masking.masked) & (kind < masking.masked + masking.random)
        tokens = np.flatnonzero(self.letters.bases)
        shown[other] = tokens[(uniform(keys[other], _OTHER) * len(tokens)).astype(np.int64)]
        weights = self.token_weights(records, indices, bases)
        return Targets(
            shown, np.where(chosen, ids, IGNORED), None if weights is None else np.where(chosen, weights, 0.0)
        )

    def tally(
        self,
        records: Records,
        indices: NDArray[np.int64],
        ids: NDArray[np.int64],
        targets: Targets,
        losses: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Bases and bits of the tokens that were chosen, (k, COLUMNS)."""
        bases = self.spelt(records, indices, ids)
        return self.sums(records, indices, bases, to_bits(losses), targets.values != IGNORED, targets, losses)


def masking_of(config: Any) -> Masking:
    """How a finished model's tokens were masked: BERT's way if its config does not say."""
    return Masking.model_validate(getattr(config, MASKING, None) or {})


def spans(keys: NDArray[np.uint64], lengths: NDArray[np.int64], fraction: float, mean: float) -> NDArray[np.bool_]:
    """Which tokens of examples in a row are chosen, (total,): each with probability `fraction`.

    A span begins at any token with the same probability, its length is geometric with this mean, and spans may overlap.
    So after a chosen token the next is chosen if the span goes on, with probability g = 1 - 1 / mean, or another
    begins, with probability fraction * (1 - g) / (1 - g * fraction), which keeps the share at `fraction`. With mean 1
    tokens are chosen independently.
    """
    goes_on = 1 - 1 / mean
    begins = fraction * (1 - goes_on) / (1 - goes_on * fraction)
    first = np.zeros(len(keys), dtype=bool)
    first[lengths.cumsum() - lengths] = True
    started = uniform(keys, _START) < np.where(first, fraction, begins)
    if not goes_on:
        return started
    place = np.arange(len(keys))
    broken = first | (uniform(keys, _GO_ON) >= goes_on)
    # a token is chosen if no span was broken off since the last one began
    last_start, last_break = (
        np.maximum.accumulate(np.where(where, place, -1)) for where in (started, broken & ~started)
    )
    return last_start > last_break


def _keys(records: Records, indices: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A key for each token of examples in a row, (total,), that its random numbers are made from."""
    key = np.zeros(len(indices), dtype=np.uint64)
    for number in (records.seed, records.epoch, *records.origin_of(indices)):
        key = _mixed(key + np.asarray(number).astype(np.uint64))
    within = np.arange(lengths.sum()) - np.repeat(lengths.cumsum() - lengths, lengths)
    return _mixed(np.repeat(key, lengths) + within.astype(np.uint64))


def uniform(keys: NDArray[np.uint64], purpose: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each key and purpose, the same each time: a generator for each record would be slow."""
    return (_mixed(keys + np.uint64(purpose)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's output for states `keys` (Steele et al., 2014, "Fast splittable pseudorandom number generators")."""
    keys = keys * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
