"""Single linkage of many items: connected components."""

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def components(size: int, left: Indices, right: Indices, labels: Indices | None = None) -> Indices:
    """The connected component of each of `size` nodes under the edges (left[i], right[i]), as its smallest node.

    `labels`: earlier components, which are joined further. Hooking and pointer jumping, vectorised (Shiloach and
    Vishkin 1982). Why not scipy: its connected_components is as fast on a million nodes (.14 s against .16 s; joining
    further .14 s against .08 s) and takes 60 MiB more.
    """
    labels = np.arange(size) if labels is None else labels.copy()
    while True:
        a, b = labels[left], labels[right]
        if np.array_equal(a, b):
            return labels
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(labels, jumped := labels[labels]):
            labels = jumped


def first_members(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters renamed to the index of their first member; shape (n,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first[inverse])


def ranges(starts: Indices, counts: Indices) -> Indices:
    """The integers starts[0] .. starts[0] + counts[0] - 1, then counts[1] integers from starts[1], and so on."""
    ends = np.cumsum(counts)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts))
