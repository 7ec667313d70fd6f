"""Targets that contradict each other: one sequence, or two near-identical ones, with numbers far apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import Indices
from dnalm.data.relatives_by_split import EXAMPLES

APART = 0.5
"""Standard deviations of all targets; a larger difference contradicts."""


def conflicting_targets(
    form_of: Indices, left: Indices, right: Indices, targets: NDArray[np.float64]
) -> tuple[dict[str, Any], list[tuple[int, int]]]:
    """Records of one sequence, and of near-identical ones, whose targets are more than `APART` deviations apart.

    form_of: a number of each record's sequence, a reverse complement being the same, (n,); left, right: those of pairs of
    near-identical sequences, of which some may be in no record, (pairs,); targets: (n,). Returns `apart`, the difference in
    the targets' unit; `same`, the sequences with such targets and all their records; `near`, the other records of a pair of
    near-identical sequences with such targets; and examples, as pairs of numbers of records.
    """
    apart = float(APART * targets.std()) if len(targets) else 0.0
    forms, form = np.unique(form_of, return_inverse=True)
    order = np.lexsort((targets, form))
    lowest, highest = (order[np.searchsorted(form[order], np.arange(len(forms)), side) - back] for side, back in _ENDS)
    low, high = targets[lowest], targets[highest]
    same = high - low > apart
    known = np.isin(left, forms) & np.isin(right, forms)
    a, b = np.searchsorted(forms, left[known]), np.searchsorted(forms, right[known])
    upwards = high[b] - low[a] > high[a] - low[b]
    a, b = np.where(upwards, b, a), np.where(upwards, a, b)  # the first one has the higher target
    far = high[a] - low[b] > apart
    near = np.zeros(len(forms), bool)
    near[a[far]] = near[b[far]] = True
    near &= ~same
    pairs = [*zip(lowest[same], highest[same], strict=True), *zip(highest[a[far]], lowest[b[far]], strict=True)]
    facts = {
        "apart": apart,
        "same": {"sequences": int(same.sum()), "records": int(same[form].sum())},
        "near": {"records": int(near[form].sum())},
    }
    return facts, [(int(min(pair)), int(max(pair))) for pair in pairs[:EXAMPLES]]


_ENDS: tuple[tuple[Any, int], ...] = (("left", 0), ("right", 1))
"""Where the records of a sequence begin in their order, and end."""
