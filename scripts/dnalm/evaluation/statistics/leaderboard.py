"""Run groups over several data sets: means by group of data sets, wins, and mean ranks with intervals.

On a data set, the rank of a run group is 1 + the number of those with a higher primary metric + half the number of
those that tie with it. Ranks and wins are over the data sets that all run groups have, so that none is ranked on easier
ones than another.

The interval of a mean rank is of results like these on data sets like these. A replicate draws, with replacement, the
data sets; in each, the groups of test records (the same for all run groups, which keeps them paired); and of each run
group its seeds. It is symmetric: the mean rank +- the quantile of the absolute difference of a replicate's mean rank
from their mean. (Ranks of replicates are nearer to each other than those of the data, as noise is added to noise:
percentiles would be off by that.) It is cut at the first and last rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIED = 1e-9
"""Values that differ by less are ties."""

FEWEST = 2
"""Fewest data sets over which ranks are averaged."""


@dataclass(frozen=True)
class Standing:
    """A run group on the leaderboard.

    means: mean by group of data sets, None if a data set of it is missing; overall: mean over all data sets, None
    likewise. wins: data sets in common where it is best, a tie of k counting 1 / k. rank, low, high: mean rank over the
    data sets in common and its interval; None without enough of them. missing: data sets without a result.
    """

    name: str
    means: dict[str, float | None]
    overall: float | None
    wins: float | None
    rank: float | None
    low: float | None
    high: float | None
    missing: list[str]


@dataclass(frozen=True)
class Leaderboard:
    """`standings` by mean rank, or by overall mean where there are no ranks; `common`: data sets that all have."""

    standings: list[Standing]
    common: list[str]


def leaderboard(
    values: Mapping[str, Mapping[str, Sequence[float]]],
    resampled: Mapping[str, Mapping[str, NDArray[np.float64]]],
    groups: Mapping[str, Sequence[str]],
    confidence: float,
    seed: int,
) -> Leaderboard:
    """Compare run groups over data sets.

    values: of each run group, by data set, the metric of each seed (larger is better); a data set without a value is
    missing. resampled: of each run group, by data set, the metrics (B, seeds) on B resamples of the test records, row b
    from the same resample for all run groups. groups: data sets by title.
    """
    datasets = [name for names in groups.values() for name in names]
    means = {
        name: {dataset: float(np.mean(found[dataset])) for dataset in datasets if len(found.get(dataset, ()))}
        for name, found in values.items()
    }
    common = [dataset for dataset in datasets if all(dataset in found for found in means.values())]
    names = list(means)
    placed: dict[str, tuple[float, float, float, float]] = {}
    if len(common) >= FEWEST and len(names) > 1:
        table = np.array([[means[name][dataset] for dataset in common] for name in names])
        rank, wins = ranks(table).mean(axis=1), winners(table).sum(axis=1)
        draws = _replicates([[resampled[name][dataset] for dataset in common] for name in names], seed)
        margin = np.quantile(np.abs(draws - draws.mean(axis=0)), confidence, axis=0, method="higher")
        low, high = np.clip(rank - margin, 1, len(names)), np.clip(rank + margin, 1, len(names))
        placed = dict(
            zip(names, zip(wins.tolist(), rank.tolist(), low.tolist(), high.tolist(), strict=True), strict=True)
        )
    standings = []
    for name, found in means.items():
        by_group = {title: _mean(found, members) for title, members in groups.items()}
        won, mean_rank, lower, upper = placed.get(name, (None, None, None, None))
        missing = [dataset for dataset in datasets if dataset not in found]
        standings.append(Standing(name, by_group, _mean(found, datasets), won, mean_rank, lower, upper, missing))
    standings.sort(key=lambda one: (one.rank or 0.0, -(-np.inf if one.overall is None else one.overall)))
    return Leaderboard(standings, common)


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of run groups, 1 for the largest value, ties sharing their mean; values and ranks (..., groups, sets)."""
    difference = values[..., None, :, :] - values[..., :, None, :]
    better, tied = difference > TIED, np.abs(difference) <= TIED
    found: NDArray[np.float64] = 1 + better.sum(axis=-2) + (tied.sum(axis=-2) - 1) / 2
    return found


def winners(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each run group's share of the win on each data set: 1 / k for each of k best; both (groups, sets)."""
    best = values >= values.max(axis=0) - TIED
    shares: NDArray[np.float64] = best / best.sum(axis=0)
    return shares


def _mean(found: Mapping[str, float], datasets: Sequence[str]) -> float | None:
    if any(dataset not in found for dataset in datasets):
        return None
    return float(np.mean([found[dataset] for dataset in datasets]))


def _replicates(resampled: Sequence[Sequence[NDArray[np.float64]]], seed: int) -> NDArray[np.float64]:
    """Mean ranks of run groups in each replicate, (B, groups); resampled: by run group and data set, (B, seeds)."""
    rng = np.random.default_rng(seed)
    count, sets = len(resampled[0][0]), len(resampled[0])
    drawn = rng.integers(sets, size=(count, sets))
    rows = np.arange(count)
    values = np.empty((count, len(resampled), sets))
    for i, by_set in enumerate(resampled):
        for j, seeds in enumerate(by_set):
            chosen = rng.integers(seeds.shape[1], size=seeds.shape)
            values[:, i, j] = seeds[rows[:, None], chosen].mean(axis=1)
    found: NDArray[np.float64] = np.take_along_axis(ranks(values), drawn[:, None, :], axis=2).mean(axis=2)
    return found
