"""All tests of one audit as a family: their p values are corrected together, so that few clean data sets warn.

Holm's method (Holm 1979) over every probe, marker search, origin and comparison of splits: on a data set without any
flaw, the chance of one or more warnings is at most `LEVEL`. The intervals that are printed are those of single tests.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dnalm.evaluation.statistics.comparison import holm

LEVEL = 0.05
"""A corrected p value below this is beyond chance."""
SEED = 1
"""Seed of the samples of large data sets."""


def correct(*families: Sequence[Any]) -> list[list[Any]]:
    """The same tests with `p_holm` filled in, corrected over all of them.

    A test is a frozen dataclass with `p`, None if it was not tested, and `p_holm`.
    """
    corrected = iter(holm([test.p for tests in families for test in tests]))
    return [[replace(test, p_holm=next(corrected)) for test in tests] for tests in families]


def beyond_chance(test: Any) -> bool:
    """Whether a corrected p value is below `LEVEL`."""
    return test.p_holm is not None and bool(test.p_holm < LEVEL)


def sample_groups(codes: np.ndarray, most: int) -> np.ndarray:
    """Rows, ascending, of whole groups drawn at random until they hold `most` records; all rows if there are no more.

    codes: the group of each record, (n,), integers from 0. A group that does not fit is passed over.
    """
    if len(codes) <= most:
        return np.arange(len(codes))
    sizes = np.bincount(codes)
    taken, left = np.zeros(len(sizes), dtype=bool), most
    for group in np.random.default_rng(SEED).permutation(len(sizes)):
        if sizes[group] <= left:
            taken[group] = True
            left -= int(sizes[group])
    return np.flatnonzero(taken[codes])


def one_of_each(codes: np.ndarray, classes: np.ndarray, most: int) -> np.ndarray:
    """Rows, ascending, of one random record of each class in each group, at most `most`.

    Related records count once, so that exact tests, which need independent records, hold. codes, classes: (n,),
    integers from 0.
    """
    order = np.random.default_rng(SEED).permutation(len(codes))
    keys = codes.astype(np.int64) * (int(classes.max(initial=0)) + 1) + classes
    first = order[np.unique(keys[order], return_index=True)[1]]
    return np.sort(np.random.default_rng(SEED).permutation(first)[:most])
