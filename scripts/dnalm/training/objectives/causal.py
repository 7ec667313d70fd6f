"""Causal language modelling: each token is predicted from those before it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dnalm.names import METRICS
from dnalm.training.objectives.base import CAUSAL_CLASS, CAUSAL_MODEL, IGNORED, Head, Records, Targets
from dnalm.training.objectives.language import UNIFORM, LanguageModel, to_bits


@dataclass(frozen=True, eq=False)
class Causal(LanguageModel):
    """Each token is predicted from those before it.

    A first token without a special token before it is not learnt, and scored as 2 bits a base.
    """

    name: ClassVar[str] = "causal"
    metrics: ClassVar[tuple[str, ...]] = METRICS["causal"]

    @property
    def head(self) -> Head:
        """A head for the next token."""
        return Head(CAUSAL_CLASS, CAUSAL_MODEL, None)

    def targets(
        self, records: Records, indices: NDArray[np.int64], ids: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Targets:
        """Each token's next, if that spells bases."""
        bases = self.spelt(records, indices, ids)
        learnt = _after_another(bases > 0, lengths)
        values = np.full(len(ids), IGNORED, dtype=np.int64)
        values[:-1][learnt[1:]] = ids[1:][learnt[1:]]
        weights = self.token_weights(records, indices, bases)
        shares = None if weights is None else _to_the_one_before(np.where(learnt, weights, 0.0))
        return Targets(ids, values, shares)

    def tally(
        self,
        records: Records,
        indices: NDArray[np.int64],
        ids: NDArray[np.int64],
        targets: Targets,
        losses: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Bases and bits of examples, (k, COLUMNS)."""
        bases = self.spelt(records, indices, ids)
        learnt = _after_another(bases > 0, records.lengths_of(indices))
        bits = np.where(learnt, to_bits(np.concatenate([[0.0], losses[:-1]])), UNIFORM * bases)
        return self.sums(records, indices, bases, bits, bases > 0, targets, losses)


def _after_another(wanted: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """`wanted` (total,) of tokens in a row, but for the first of each example."""
    found = wanted.copy()
    found[lengths.cumsum() - lengths] = False
    return found


def _to_the_one_before(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([values[1:], [0.0]])
