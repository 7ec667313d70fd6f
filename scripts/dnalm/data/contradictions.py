"""Contradictions: the same sequence, or similar ones, with different labels or with targets far apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.data.linkage import Indices
from dnalm.data.relatives_by_split import EXAMPLES

APART = 0.5
"""Targets that differ by more than this many standard deviations of all targets are in conflict."""

Found = tuple[dict[str, Any], list[tuple[int, int]]]


def conflicting_labels(form_of: Indices, left: Indices, right: Indices, labels: NDArray[np.int64]) -> Found:
    """Records with the same or similar sequences and different labels; arguments and facts as `conflicting_targets`."""
    return _conflicts(form_of, left, right, labels.astype(np.float64), 0.0)


def conflicting_targets(form_of: Indices, left: Indices, right: Indices, targets: NDArray[np.float64]) -> Found:
    """Records with the same or similar sequences whose targets are more than `APART` deviations apart.

    form_of: number of each record's sequence, the same for a reverse complement, shape (n,). left, right: those
    numbers for pairs of similar sequences, some of which may be in no record, shape (pairs,). targets: shape (n,).
    Returns facts and examples (pairs of indices of records). Facts: `apart`, the limit in the targets' unit; `same`,
    sequences whose records are in conflict, and their records; `near`, other records of similar sequences in conflict,
    and how many records have a similar sequence at all.
    """
    apart = float(APART * targets.std()) if len(targets) else 0.0
    facts, examples = _conflicts(form_of, left, right, targets, apart)
    return {"apart": apart, **facts}, examples


def _conflicts(form_of: Indices, left: Indices, right: Indices, values: NDArray[np.float64], apart: float) -> Found:
    forms, form = np.unique(form_of, return_inverse=True)
    order = np.lexsort((values, form))
    lowest, highest = (order[np.searchsorted(form[order], np.arange(len(forms)), side) - back] for side, back in _ENDS)
    low, high = values[lowest], values[highest]
    same = high - low > apart
    known = np.isin(left, forms) & np.isin(right, forms)
    a, b = np.searchsorted(forms, left[known]), np.searchsorted(forms, right[known])
    similar = np.zeros(len(forms), bool)
    similar[a] = similar[b] = True
    upwards = high[b] - low[a] > high[a] - low[b]
    a, b = np.where(upwards, b, a), np.where(upwards, a, b)  # the first one has the higher value
    far = high[a] - low[b] > apart
    near = np.zeros(len(forms), bool)
    near[a[far]] = near[b[far]] = True
    near &= ~same
    pairs = [*zip(lowest[same], highest[same], strict=True), *zip(highest[a[far]], lowest[b[far]], strict=True)]
    facts = {
        "same": {"sequences": int(same.sum()), "records": int(same[form].sum())},
        "near": {"records": int(near[form].sum()), "with_relatives": int(similar[form].sum())},
    }
    return facts, [(int(min(pair)), int(max(pair))) for pair in pairs[:EXAMPLES]]


_ENDS: tuple[tuple[Any, int], ...] = (("left", 0), ("right", 1))
"""Arguments of searchsorted, and offsets, for the first and the last record of each sequence in sorted order."""
