"""Means, wins and mean ranks over data sets."""

import numpy as np
import pytest
from closeness import close

from dnalm.evaluation.statistics.leaderboard import leaderboard, ranks, winners

GROUPS = {"one": ["a", "b"], "two": ["c"]}
VALUES = {
    "x": {"a": [0.5, 0.7], "b": [0.2], "c": [0.9]},
    "y": {"a": [0.6], "b": [0.1], "c": [0.9]},
    "z": {"a": [0.1], "b": [0.3], "c": [0.0]},
}


def still(values, count=200):
    """Resamples that do not vary."""
    return {name: {d: np.tile(seeds, (count, 1)) for d, seeds in found.items()} for name, found in values.items()}


def board(values, resampled=None):
    return leaderboard(values, resampled or still(values), GROUPS, 0.95, 1)


def test_ranks_and_wins_share_ties():
    found = board(VALUES)
    by_name = {one.name: one for one in found.standings}
    assert found.common == ["a", "b", "c"]
    assert {name: one.rank for name, one in by_name.items()} == {
        "x": (1.5 + 2 + 1.5) / 3, "y": (1.5 + 3 + 1.5) / 3, "z": (3 + 1 + 3) / 3,
    }  # fmt: skip
    assert {name: one.wins for name, one in by_name.items()} == {"x": 1.0, "y": 1.0, "z": 1.0}
    assert close([by_name["x"].means["one"], by_name["x"].overall], [0.4, (0.6 + 0.2 + 0.9) / 3])
    assert [one.name for one in found.standings] == ["x", "y", "z"]


def test_only_data_sets_that_all_have_are_ranked_and_the_missing_are_named():
    values = VALUES | {"z": {"a": [0.1], "c": [0.0]}}
    found = board(values)
    z = found.standings[-1]
    assert found.common == ["a", "c"] and z.name == "z" and z.missing == ["b"]
    assert z.overall is None and z.means == {"one": None, "two": 0.0} and z.rank == 3.0
    assert {one.name: one.rank for one in found.standings[:2]} == {"x": 1.5, "y": 1.5}
    few = board(VALUES | {"z": {"a": [0.1], "b": []}})
    assert few.common == ["a"] and all(one.rank is None and one.wins is None for one in few.standings)
    assert [one.name for one in few.standings] == ["x", "y", "z"] and few.standings[2].missing == ["b", "c"]


def test_the_interval_holds_what_varies():
    """It is a point if nothing varies, wider with seeds that differ, and wider with records that do."""
    sets = list("abcdefgh")
    groups, level = {"all": sets}, {"x": 0.9, "y": 0.5, "z": 0.1}
    values = {name: {key: [value, value] for key in sets} for name, value in level.items()}
    exact = leaderboard(values, still(values), groups, 0.95, 1).standings
    assert [(one.low, one.rank, one.high) for one in exact] == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    seeds = {name: {key: [value, value + 0.5] for key in sets} for name, value in level.items()}
    noisy = leaderboard(seeds, still(seeds), groups, 0.95, 1).standings
    assert all(one.high - one.low > 0.1 for one in noisy)
    rng = np.random.default_rng(1)
    records = {name: {d: rng.normal(v, 0.4, (300, 2)) for d in sets} for name, v in level.items()}
    assert all(one.high - one.low > 0.1 for one in leaderboard(values, records, groups, 0.95, 1).standings)


@pytest.mark.parametrize("count", [8, 28])
def test_intervals_cover_the_expected_rank(count):
    """Of results like these on data sets like these, in at least 19 of 20 benchmarks up to what 250 of them show."""
    rng, skill, spread, noise = np.random.default_rng(5), np.array([0.0, 0.1, 0.1, 0.4]), 0.3, 0.15

    def results(number):
        return skill[:, None] + spread * rng.normal(size=(4, number)), noise * rng.normal(size=(4, number))

    expected = ranks(np.add(*results(200_000))).mean(axis=1)
    sets, inside = [f"d{i}" for i in range(count)], np.zeros(4)
    for _ in range(250):
        observed = np.add(*results(count))
        values = {str(m): {d: [observed[m, i]] for i, d in enumerate(sets)} for m in range(4)}
        resampled = {
            name: {d: seeds[0] + noise * rng.normal(size=(200, 1)) for d, seeds in found.items()}
            for name, found in values.items()
        }
        for one in leaderboard(values, resampled, {"all": sets}, 0.95, 1).standings:
            inside[int(one.name)] += one.low <= expected[int(one.name)] <= one.high
    assert (inside / 250 >= 0.92).all(), inside / 250


def test_shares_of_wins_add_up():
    values = np.random.default_rng(1).integers(0, 3, (5, 40)).astype(float)
    assert close(winners(values).sum(axis=0), np.ones(40)) and close(ranks(values).sum(axis=0), np.full(40, 15.0))
