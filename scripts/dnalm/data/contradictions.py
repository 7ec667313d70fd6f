"""Targets that contradict each other: one sequence, or two near-identical ones, with numbers far apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import Indices
from dnalm.data.relatives import EXAMPLES, link_similar_sequences

APART = 0.5
"""Standard deviations of all targets; a larger difference contradicts."""


def conflicting_targets(
    forms: Sequence[str], form_of: Indices, targets: NDArray[np.float64]
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Records of one sequence, and of near-identical ones, whose targets are more than `APART` deviations apart.

    forms: the different sequences, a reverse complement being the same; form_of: which of them each record is, (n,);
    targets: (n,). Returns `apart`, the difference in the targets' unit; `same`, the sequences with such targets and all
    their records; `near`, the other records of a pair of near-identical sequences with such targets; and examples, as
    pairs of numbers of records.
    """
    apart = float(APART * targets.std()) if len(targets) else 0.0
    near = _Contradictions(len(forms), form_of, targets, apart)
    same = near.high - near.low > apart
    link_similar_sequences(near, forms)
    beside = near.found & ~same
    pairs = [(near.lowest[form], near.highest[form]) for form in np.flatnonzero(same)[:EXAMPLES]]
    facts = {
        "apart": apart,
        "same": {"sequences": int(same.sum()), "records": int(same[form_of].sum())},
        "near": {"records": int(beside[form_of].sum())},
    }
    return facts, [(int(min(pair)), int(max(pair))) for pair in [*pairs, *near.examples]][:EXAMPLES]


class _Contradictions:
    """Links of near-identical sequences whose targets are far apart; the others are not looked at."""

    def __init__(self, number: int, form_of: Indices, targets: NDArray[np.float64], apart: float) -> None:
        """Note the lowest and highest target of each of `number` sequences, and the records that have them."""
        self.apart = apart
        order = np.lexsort((targets, form_of))
        starts = np.searchsorted(form_of[order], np.arange(number))
        ends = np.searchsorted(form_of[order], np.arange(number), side="right") - 1
        self.lowest, self.highest = order[starts], order[ends]
        self.low, self.high = targets[self.lowest], targets[self.highest]
        self.found = np.zeros(number, bool)
        self.examples: list[tuple[int, int]] = []

    def wanted(self, left: Indices, right: Indices) -> NDArray[np.bool_]:
        """Whether the targets of two sequences are far apart, and one of them is not known to contradict any yet."""
        distance = np.maximum(self.high[left] - self.low[right], self.high[right] - self.low[left])
        return np.asarray((distance > self.apart) & ~(self.found[left] & self.found[right]))

    def link(self, left: Indices, right: Indices) -> None:
        """Note these pairs as contradicting."""
        self.found[left] = self.found[right] = True
        for one, other in zip(left[:EXAMPLES].tolist(), right[:EXAMPLES].tolist(), strict=True):
            if len(self.examples) < EXAMPLES:
                if self.high[one] - self.low[other] < self.high[other] - self.low[one]:
                    one, other = other, one
                self.examples.append((int(self.highest[one]), int(self.lowest[other])))
