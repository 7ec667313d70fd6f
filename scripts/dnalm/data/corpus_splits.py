"""Which windows of a corpus are in which split, decided from the number of windows in each stretch."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dnalm.config.corpora import CorpusSplitting
from dnalm.data.sampling import apportion
from dnalm.errors import UserError
from dnalm.names import SPLITS

OVER = len(SPLITS)
"""Code of a window beyond `max_records`, after those of the splits."""

MOST = 10**9
"""numpy's hypergeometric distribution takes fewer objects than this."""


class Plan:
    """How many windows of each stretch go to each split; which ones is drawn from the seed and the stretch's number."""

    def __init__(self, counts: NDArray[np.int64], seed: int) -> None:
        """counts: (stretches, splits + 1), the last column being the windows beyond `max_records`."""
        self.counts, self._seed = counts, seed
        self._mixed = (counts > 0).sum(axis=1) > 1
        self._only = counts.argmax(axis=1).astype(np.uint8)

    def splits(self, stretch: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Codes of the splits of some windows, shape (m,). stretch: of each, ascending; rank: in its stretch."""
        codes: NDArray[np.uint8] = self._only[stretch]
        for one in np.unique(stretch[self._mixed[stretch]]).tolist():
            here = slice(*np.searchsorted(stretch, [one, one + 1]))
            dealt = np.repeat(np.arange(OVER + 1, dtype=np.uint8), self.counts[one])
            codes[here] = np.random.default_rng([self._seed, one]).permutation(dealt)[rank[here]]
        return codes


def make_plan(
    windows: NDArray[np.int64],
    bases: NDArray[np.int64],
    home: NDArray[np.int64] | None,
    splitting: CorpusSplitting,
    caps: Mapping[str, int | None],
) -> Plan:
    """Divide a corpus.

    windows, bases: of each stretch, shape (stretches,). home: the split of each stretch, with method chromosome. caps:
    windows of each split, at most. The result depends on the seed and the
    arguments only. Raises `UserError` if a split would be empty.
    """
    fractions = splitting.fractions.model_dump()
    seed = splitting.seed
    filled = np.flatnonzero(windows)
    counts = np.zeros((len(windows), OVER + 1), np.int64)
    if splitting.method == "random":
        sizes = apportion(int(windows.sum()), [fractions[split] for split in SPLITS])
        counts[:, :OVER] = deal(windows, sizes, np.random.default_rng([seed, 0]))
    else:
        if home is None:
            if len(filled) < len(SPLITS):
                raise UserError(
                    f"split.stretch: windows are left in {len(filled)} only, and each of the {len(SPLITS)} splits "
                    "needs one; give a shorter split.stretch, or method: random"
                )
            home = np.zeros(len(windows), np.int64)
            home[filled] = assign(bases[filled], [fractions[split] for split in SPLITS], seed)
        counts[np.arange(len(windows)), home] = windows
    for code, split in enumerate(SPLITS):
        number, most = int(counts[:, code].sum()), caps.get(split)
        if not number:
            remedy = {
                "chromosome": "list more chromosomes in split.chromosomes",
                "random": "give it a larger fraction or a smaller window",
            }.get(splitting.method, "give a shorter split.stretch")
            raise UserError(f"split ({splitting.method}): {split} would be empty; {remedy}")
        if most is not None and most < number:
            drawn = deal(counts[:, code], np.array([most, number - most]), np.random.default_rng([seed, 1 + code]))
            counts[:, code] = drawn[:, 0]
            counts[:, OVER] += drawn[:, 1]
    return Plan(counts, seed)


def assign(bases: NDArray[np.int64], fractions: Sequence[float], seed: int) -> NDArray[np.int64]:
    """The split of each stretch, shape (n,), so that bases follow the fractions and no split is empty; n >= splits.

    Largest first, equal ones in random order: each to the split that lacks most of its share once half of the stretch
    is counted (Webster's rounding), the last ones to splits that are still empty.
    """
    order = np.random.default_rng(seed).permutation(len(bases))
    order = order[np.argsort(-bases[order], kind="stable")]
    result = np.empty(len(bases), np.int64)
    filled = [0.0] * len(fractions)
    for left, (stretch, size) in zip(
        range(len(order), 0, -1), zip(order.tolist(), bases[order].tolist(), strict=True), strict=True
    ):
        empty = [split for split, bases_so_far in enumerate(filled) if not bases_so_far]
        among = empty if left <= len(empty) else range(len(fractions))
        split = min(among, key=lambda one: (filled[one] + size / 2) / fractions[one])
        result[stretch] = split
        filled[split] += size
    return result


def deal(hands: NDArray[np.int64], sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Divide hands of windows at random among parts of the given sizes, which sum to all windows.

    Every assignment of single windows is equally likely (multivariate hypergeometric). Returns the number of windows
    of each hand in each part, shape (hands, parts).
    """
    if (total := int(sizes.sum())) >= MOST:
        raise UserError(
            f"{total:,} windows cannot be divided at random; give a longer stride (at most {MOST:,} windows)"
        )
    left, dealt = sizes.copy(), np.zeros((len(hands), len(sizes)), np.int64)
    for hand in np.flatnonzero(hands).tolist():
        dealt[hand] = rng.multivariate_hypergeometric(left, int(hands[hand]), method="marginals")
        left -= dealt[hand]
    return dealt
