"""Assigning records to train, validation and test, and checking the result."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnalm.data.sampling import apportion
from dnalm.errors import UserError
from dnalm.names import LABEL, SPLITS
from dnalm.tables.sequences import truth_column

LARGE = 0.1
"""A group that is more than this part of a split is not placed at random."""

TARGET_STRATA = 10
"""Maximum number of quantile bins of the targets by which the splits are stratified."""
FEWEST_IN_STRATUM = 50
"""Least average number of records of such a bin: with fewer, rounding to whole records would favour a split."""

Assignment = NDArray[np.object_]
"""The split of each record, shape (n,)."""


def strata(records: pd.DataFrame) -> NDArray[np.int64]:
    """The stratum of each record, its label or the quantile bin of its target; shape (n,).

    records: column label or target. Strata are numbered from 0, in the order of the labels or targets. Equal targets
    are in one bin.
    """
    values = records[truth_column(records)].to_numpy()
    if truth_column(records) == LABEL:
        return np.unique(values, return_inverse=True)[1]
    number = min(TARGET_STRATA, max(1, len(values) // FEWEST_IN_STRATUM))
    cuts = np.unique(np.quantile(values, np.arange(1, number) / number, method="inverted_cdf"))
    return np.unique(np.searchsorted(cuts, values, side="left"), return_inverse=True)[1]


def split_grouped(records: pd.DataFrame, fractions: Mapping[str, float], seed: int) -> Assignment:
    """Assign whole groups, largest first, each to a random split with room for it, with probability by the room.

    records: columns id, group, and label or target; below, "label" means a target's quantile bin. So every split gets
    groups of every size, except that a group of more than a tenth of a split (by label) goes to the split with the most
    room, usually train. A group that fits nowhere goes to the split of which the largest part is still free. If each
    label has groups of its own, or the same proportion in every group, a split's number of records of a label is off by
    less than twice that of the largest group; with enough small groups, by one. Row order does not matter.
    """
    groups, group = np.unique(records["group"].to_numpy(str), return_inverse=True)
    stratum = strata(records)
    counts = np.zeros((len(groups), int(stratum.max()) + 1), np.int64)
    np.add.at(counts, (group, stratum), 1)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(groups))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    target = np.outer([fractions[split] for split in SPLITS], counts.sum(axis=0))
    home = np.empty(len(groups), np.int64)
    room, limit = target.tolist(), (LARGE * target).tolist()
    for index, chance in zip(order.tolist(), rng.random(len(groups)).tolist(), strict=True):
        split = _pick_split(counts[index].tolist(), room, limit, chance)
        home[index] = split
        room[split] = [free - n for n, free in zip(counts[index].tolist(), room[split], strict=True)]
    return np.array(SPLITS, object)[home[group]]


def _pick_split(size: list[int], room: list[list[float]], limit: list[list[float]], chance: float) -> int:
    """A split for a group of `size` (by label), given each split's room and the limit of a small group."""
    need = [sum(n * free for n, free in zip(size, row, strict=True)) for row in room]
    fits = [all(n <= free for n, free in zip(size, row, strict=True) if n) for row in room]
    small = [all(n <= most for n, most in zip(size, row, strict=True) if n) for row in limit]
    odds = [value * (fit and little) for value, fit, little in zip(need, fits, small, strict=True)]
    if (total := sum(odds)) > 0:
        return bisect_right(list(accumulate(odds)), chance * total)
    if any(fits):
        return max(range(len(room)), key=lambda split: need[split] * fits[split])
    relative = [
        sum(n * free / most for n, free, most in zip(size, *rows, strict=True))
        for rows in zip(room, limit, strict=True)
    ]
    return max(range(len(room)), key=lambda split: relative[split])


def split_random(records: pd.DataFrame, fractions: Mapping[str, float], seed: int) -> Assignment:
    """Assign single records at random, in the same proportions for every label, or quantile bin of the targets.

    records: columns id, and label or target. Row order does not matter.
    """
    result = np.empty(len(records), object)
    by_id = np.argsort(records["id"].to_numpy(str), kind="stable")
    stratum = strata(records)[by_id]
    rng = np.random.default_rng(seed)
    for value in np.unique(stratum):
        members = by_id[stratum == value]
        sizes = apportion(len(members), [fractions[split] for split in SPLITS])
        result[members] = rng.permutation(np.repeat(np.array(SPLITS, object), sizes))
    return result


def cap(records: pd.DataFrame, assigned: Assignment, caps: Mapping[str, int | None], seed: int) -> NDArray[np.bool_]:
    """Which records are kept if each split holds at most `caps[split]`: a random sample of whole units.

    A unit is the rows with the same `positive`, or a single row without that column. Units of every composition of
    labels (or quantile bins of the targets) are sampled in the same proportion. Returns booleans of shape (n,). Row
    order does not matter.
    """
    keep = np.ones(len(records), bool)
    stratum = strata(records)
    unit = records["positive" if "positive" in records else "id"].to_numpy(object)
    for number, split in enumerate(SPLITS):
        limit = caps.get(split)
        here = np.flatnonzero(assigned == split)
        if limit is None or len(here) <= limit:
            continue
        rng = np.random.default_rng([seed, number])
        composition = pd.crosstab(unit[here], stratum[here])
        kinds, kind_of = np.unique(composition.to_numpy(), axis=0, return_inverse=True)
        size = kinds.sum(axis=1)
        rows = apportion(limit, size * np.bincount(kind_of))
        units = composition.index.to_numpy(object)
        stay: set[str] = set()
        for kind, share in enumerate(rows // size):
            stay.update(rng.permutation(units[kind_of == kind])[:share])
        keep[here] = [name in stay for name in unit[here]]
    return keep


def check_splits(records: pd.DataFrame, assigned: Assignment, method: str) -> None:
    """Raise a `UserError` if a split is empty or holds only one label or target, or if train lacks a label.

    records: column label or target, shape (n,).
    """
    remedy = {
        "grouped": "give it a larger fraction or more data, or use method random and accept the leakage",
        "random": "give it a larger fraction or more data",
        "chromosome": "give it more chromosomes in split.chromosomes",
        "given": "correct its table",
        "max_records": "raise max_records",
    }[method]
    column = truth_column(records)
    truth, counts = records[column], _counts if column == LABEL else _target_counts
    for split in SPLITS:
        found = Counter(truth[assigned == split].tolist())
        if len(found) < 2:
            what = f"would hold {column} {next(iter(found))} only ({counts(found)})" if found else "would be empty"
            raise UserError(f"split ({method}): {split} {what}; there are {counts(Counter(truth.tolist()))}; {remedy}")
    if column == LABEL and (absent := set(truth) - set(truth[assigned == "train"])):
        raise UserError(f"split ({method}): train would hold no record of label {min(absent)}; {remedy}")


def _counts(labels: Counter[int]) -> str:
    return " and ".join(f"{count} records of label {label}" for label, count in sorted(labels.items()))


def _target_counts(targets: Counter[float]) -> str:
    return f"{targets.total()} records with {len(targets)} different target{'s' if len(targets) > 1 else ''}"
