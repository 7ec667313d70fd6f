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

LARGEST = 0.5
"""A group is not drawn for a split of which it would fill more than this part."""

DRAWS = 4
"""Splits that are drawn for a group, of which the best is taken."""

SWAPS, PAIRS = 300, 200
"""Swaps of smaller groups that are made afterwards, and pairs that are looked at for each."""

LARGE, ATTEMPTS, TRIED = 0.1, 16, 20_000
"""Groups of at most this part of a split are placed up to so many times, and up to so many groups in all."""

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
    """Assign whole groups so that the splits have their fractions of every label, and alike GC and lengths.

    records: columns id, group, sequence, and label or target; below, "label" means a target's quantile bin. Groups go
    largest first: four splits are drawn for each, with probability by the room, of those that have room for it and of
    which it fills at most half (by label). It goes to the one among them that it makes most like the others: with the
    least mean difference of the `traits` from all records of a label, in the direction of the group's own. So the first
    and largest group is in a different split for another seed. A group that fills more than half of any split, or fits
    nowhere, goes where most room is. With few groups the smaller ones (at most a tenth of a split) are placed several
    times, and the best assignment is kept: with the least sum, over splits and traits, of the squared difference of the
    means, weighed by the number of records. Swaps of groups of the same size make that sum smaller still.

    If each label has groups of its own, or the same proportion in every group, a split's number of records of a label
    is off by less than twice that of the largest group; with enough small groups, by one. Row order does not matter.
    """
    by_id = np.argsort(records["id"].to_numpy(str), kind="stable")
    table = records.iloc[by_id]
    groups, group = np.unique(table["group"].to_numpy(str), return_inverse=True)
    stratum = strata(table)
    counts = np.zeros((len(groups), int(stratum.max()) + 1), np.int64)
    np.add.at(counts, (group, stratum), 1)
    sums = _sums(traits(table, stratum), group, stratum)
    target = np.outer([fractions[split] for split in SPLITS], counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(groups))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    chances = rng.random((len(groups), DRAWS))
    small = np.flatnonzero(counts[order].sum(axis=1) <= LARGE * target.sum(axis=1).min())
    best, least = np.zeros(len(groups), np.int64), np.inf
    for attempt in range(max(1, min(ATTEMPTS, TRIED // len(groups)))):
        chances[small] = np.random.default_rng([seed, attempt]).random((len(small), DRAWS))
        home, unlike = _place(order, counts, sums, target, chances.tolist())
        if unlike < least:
            best, least = home, unlike
    _swap(best, order[small], counts, sums, 1 / target.sum(axis=1), rng)
    result = np.empty(len(records), object)
    result[by_id] = np.array(SPLITS, object)[best[group]]
    return result


def traits(records: pd.DataFrame, stratum: NDArray[np.int64]) -> NDArray[np.float64]:
    """GC fraction and log length of each record's sequence, their squares and product; shape (n, 5).

    Each in standard deviations from the mean of its stratum (label or bin of targets; shape (n,)), at most four. So
    splits with the same means have the same means, spreads and correlation of GC and length for every label.
    """
    sequences = records["sequence"].tolist()
    length = np.fromiter(map(len, sequences), np.float64, len(sequences))
    counts = (sequence.count("G") + sequence.count("C") for sequence in sequences)  # a tenth of `gc_counts`' memory
    gc = np.fromiter(counts, np.float64, len(sequences)) / np.maximum(length, 1)
    first, second = _standardised(gc, stratum), _standardised(np.log(np.maximum(length, 1)), stratum)
    columns = (first, second, first**2, second**2, first * second)
    return np.stack([_standardised(column, stratum) for column in columns], axis=1)


def _standardised(values: NDArray[np.float64], stratum: NDArray[np.int64]) -> NDArray[np.float64]:
    n = np.maximum(np.bincount(stratum), 1)
    centred = values - (np.bincount(stratum, values) / n)[stratum]
    spread = np.sqrt(np.bincount(stratum, centred**2) / n)
    scale = np.where(spread > 1e-9 * np.abs(values).max(initial=0), spread, np.inf)
    clipped = np.clip(centred / scale[stratum], -4, 4)
    return np.asarray(clipped - (np.bincount(stratum, clipped) / n)[stratum])


def _sums(values: NDArray[np.float64], group: NDArray[np.int64], stratum: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of traits (n, 5) over the records of each group and stratum; shape (groups, 5 x strata).

    Of more than `TARGET_STRATA` strata only the sums over all of them, shape (groups, 5).
    """
    strata = int(stratum.max()) + 1
    if strata > TARGET_STRATA:
        stratum, strata = np.zeros_like(stratum), 1
    cell = group * strata + stratum
    size = (int(group.max()) + 1) * strata
    columns = [np.bincount(cell, column, size) for column in values.T]
    return np.asarray(np.stack(columns, axis=1, dtype=np.float64).reshape(size // strata, -1))


def _place(
    order: NDArray[np.int64],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
    target: NDArray[np.float64],
    chances: list[list[float]],
) -> tuple[NDArray[np.int64], float]:
    """The split (0, 1, 2) of each group, in this order, and how unlike the splits are.

    counts: records by group and label. sums: of traits by group. target: records by split and label. chances:
    random numbers below 1, `DRAWS` for each turn.
    """
    home = np.empty(len(order), np.int64)
    room, most = target.tolist(), (LARGEST * target).tolist()
    weight = 1 / np.maximum(target.sum(axis=1), 1e-9)
    off = np.zeros((len(target), sums.shape[1]))
    for turn, index in enumerate(order.tolist()):
        size = counts[index].tolist()
        need = [sum(n * free for n, free in zip(size, row, strict=True)) for row in room]
        fits = [value if _within(size, row) else 0.0 for value, row in zip(need, room, strict=True)]
        odds = [value * _within(size, row) for value, row in zip(fits, most, strict=True)]
        bounds = list(accumulate(odds))
        if not bounds[-1]:
            split = _roomiest(size, fits, room, most)
        else:
            worse = (off @ sums[index] * weight).tolist()
            drawn = dict.fromkeys(bisect_right(bounds, chance * bounds[-1]) for chance in chances[turn])
            split = min(drawn, key=worse.__getitem__)
        home[index] = split
        off[split] += sums[index]
        room[split] = [free - n for n, free in zip(size, room[split], strict=True)]
    return home, float((off**2 * weight[:, None]).sum())


def _swap(
    home: NDArray[np.int64],
    movable: NDArray[np.int64],
    counts: NDArray[np.int64],
    sums: NDArray[np.float64],
    weight: NDArray[np.float64],
    rng: np.random.Generator,
) -> None:
    """Swap movable groups between splits (in `home`) if that makes the splits more alike: of `PAIRS` the best one.

    Only groups with as many records of every label are swapped, so that the splits keep their sizes.
    """
    kind = np.unique(counts[movable], axis=0, return_inverse=True)[1]
    movable, kind = movable[np.argsort(kind, kind="stable")], np.sort(kind)
    first, number = np.searchsorted(kind, kind), np.bincount(kind)[kind]
    off = np.stack([sums[home == split].sum(axis=0) for split in range(len(weight))])
    for _ in range(SWAPS if len(movable) else 0):
        one = rng.integers(len(movable), size=PAIRS)
        a, b = movable[one], movable[first[one] + rng.integers(number[one])]
        gain = sums[b] - sums[a]
        here, there = home[a], home[b]
        change = weight[here] * ((2 * off[here] + gain) * gain).sum(axis=1)
        change -= weight[there] * ((2 * off[there] - gain) * gain).sum(axis=1)
        change[here == there] = 0
        pick = int(change.argmin())
        if change[pick] < 0:
            off[here[pick]] += gain[pick]
            off[there[pick]] -= gain[pick]
            home[a[pick]], home[b[pick]] = there[pick], here[pick]


def _within(size: list[int], limit: list[float]) -> bool:
    return all(n <= most for n, most in zip(size, limit, strict=True) if n)


def _roomiest(size: list[int], fits: list[float], room: list[list[float]], scale: list[list[float]]) -> int:
    """The split for a group of `size` (by label) that fills more than half of any: the one with the most room."""
    if any(fits):
        return max(range(len(room)), key=fits.__getitem__)
    relative = [
        sum(n * free / most for n, free, most in zip(size, *rows, strict=True))
        for rows in zip(room, scale, strict=True)
    ]
    return max(range(len(room)), key=relative.__getitem__)


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
    labels (or quantile bins of the targets) are sampled in the same proportion: each composition's units are put in
    random order and spread evenly over one list, of which the first are kept. So what a lower cap keeps, a higher one
    keeps too. Returns booleans of shape (n,). Row order does not matter.
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
        place, shift = np.empty(len(kind_of)), rng.random(len(kinds))
        for kind in range(len(kinds)):
            members = np.flatnonzero(kind_of == kind)
            place[rng.permutation(members)] = (np.arange(len(members)) + shift[kind]) / len(members)
        order = np.lexsort((kind_of, place))
        rows = np.cumsum(kinds.sum(axis=1)[kind_of[order]])
        stay = set(composition.index.to_numpy(object)[order[rows <= limit]])
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
        "max_records": "raise max_records or max_train_records",
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
