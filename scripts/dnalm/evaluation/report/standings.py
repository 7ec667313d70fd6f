"""The leaderboard of the index: run groups over several data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.config.stages.evaluation import ReportSettings
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.table_links import file
from dnalm.evaluation.report.text import MISSING, between, decimal, listed, plural
from dnalm.evaluation.statistics.clusters import read_clusters
from dnalm.evaluation.statistics.leaderboard import FEWEST, Leaderboard, Standing, leaderboard
from dnalm.evaluation.statistics.primary import primary_statistic
from dnalm.evaluation.statistics.resampling import draws


def standings(datasets: Sequence[Dataset], settings: ReportSettings) -> dict[str, Any] | None:
    """The leaderboard's table and notes; None if the config has none. The baseline that made labels is left out."""
    if not settings.leaderboard:
        return None
    named = {dataset.name: dataset for dataset in datasets}
    groups = dict(settings.leaderboard)
    members = [named[name] for names in groups.values() for name in names]
    metric = members[0].description.primary
    kinds: dict[str, Group] = {}
    values: dict[str, dict[str, list[float]]] = {}
    resampled: dict[str, dict[str, NDArray[np.float64]]] = {}
    for dataset in members:
        compared = [group for group in dataset.groups if group.kind != "reference"]
        for group in compared:
            kinds.setdefault(group.key, group)
            if found := group.values(metric.name):
                values.setdefault(group.key, {})[dataset.name] = found
        for key, metrics in _resampled(dataset, compared, settings).items():
            resampled.setdefault(key, {})[dataset.name] = metrics
    values = {key: values.get(key, {}) for key in kinds}
    board = leaderboard(values, resampled, groups, settings.confidence, settings.seed)
    titles = list(groups)
    best = {title: max((one.means[title] or -2 for one in board.standings), default=None) for title in titles}
    return {
        "metric": metric.prose,
        "groups": [{"title": title, "size": len(groups[title])} for title in titles],
        "rows": [_row(one, kinds[one.name], best, len(members)) for one in board.standings],
        "note": _note(board, kinds, len(members)),
        "missing": [
            f"{kinds[one.name].name}: no result on {listed(one.missing)}." for one in board.standings if one.missing
        ],
        "file": _file(board, titles, metric.name),
        "by_dataset": _by_dataset(members, kinds, metric.name),
    }


def with_clusters(dataset: Dataset, results: Path) -> Dataset:
    """The data set with the group of each of its test records."""
    table = read_clusters(results / dataset.name / "data" / "test.parquet")
    return replace(dataset, clusters=dict(zip(table["id"], table["group"].astype(str), strict=True)))


def _resampled(dataset: Dataset, groups: Sequence[Group], settings: ReportSettings) -> dict[str, NDArray[np.float64]]:
    """The primary metric of every run on resamples of the test records' groups, by run group, (B, seeds)."""
    numbered = np.unique(list(dataset.clusters.values()), return_inverse=True)[1]
    codes, number = dict(zip(dataset.clusters, numbered, strict=True)), int(numbered.max()) + 1
    measured = []
    for run in (run for group in groups for run in group.runs):
        tested = run.predictions["test"]
        measured.append(primary_statistic(tested, np.array([codes[one] for one in tested.ids]), number))
    blocks = [
        np.stack([statistic(weights)[0] for statistic in measured], axis=1)
        for weights in draws(number, settings.replicates, settings.seed)
    ]
    columns = np.nan_to_num(np.concatenate(blocks))
    found, at = {}, 0
    for group in groups:
        found[group.key] = columns[:, at : at + len(group.runs)]
        at += len(group.runs)
    return found


def _row(one: Standing, group: Group, best: Mapping[str, float | None], sets: int) -> dict[str, Any]:
    around = "" if one.low is None or one.high is None else between(one.low, one.high, 2)
    cells = [
        _cell(decimal(one.rank, 2), one.rank, around),
        _cell(MISSING if one.wins is None else f"{one.wins:.3g}", one.wins),
        _cell(decimal(one.overall), one.overall, f"{sets - len(one.missing)} of {sets}" if one.missing else ""),
    ]
    cells += [
        _cell(decimal(value), value) | {"best": value is not None and value == best[title]}
        for title, value in one.means.items()
    ]
    return {"name": group.name, "kind": group.kind, "cells": cells}


def _cell(text: str, sort: float | None, below: str = "") -> dict[str, Any]:
    return {"text": text, "sort": sort, "range": below, "best": False}


def _note(board: Leaderboard, kinds: Mapping[str, Group], sets: int) -> str:
    if len(board.standings) < 2:
        return "No ranks: there is one run group only."
    if len(board.common) < FEWEST:
        worst = max(board.standings, key=lambda one: len(one.missing))
        return (
            f"No ranks: all run groups have {plural(len(board.common), 'data set')} in common, and {FEWEST} are needed;"
            f" {kinds[worst.name].name} has {sets - len(worst.missing)} of {sets}."
        )
    over = f"the {sets} data sets" if len(board.common) == sets else f"the {len(board.common)} of {sets} that all have"
    return (
        f"Mean ranks (1 is best, ties share) and wins are over {over}. The interval is of results like these on data"
        " sets like these: data sets, groups of test records and seeds are resampled."
    )


def _file(board: Leaderboard, titles: Sequence[str], metric: str) -> dict[str, str] | None:
    columns = [
        "run_group",
        "metric",
        "mean_rank",
        "low",
        "high",
        "wins",
        "data_sets_ranked",
        "mean",
        *titles,
        "missing",
    ]
    rows = [
        [
            one.name, metric, one.rank, one.low, one.high, one.wins, len(board.common), one.overall,
            *(one.means[title] for title in titles), ",".join(one.missing) or None,
        ]
        for one in board.standings
    ]  # fmt: skip
    return file("leaderboard", columns, rows)


def _by_dataset(members: Sequence[Dataset], kinds: Mapping[str, Group], metric: str) -> dict[str, str] | None:
    rows = []
    for dataset in members:
        groups = [dataset.group(key) for key in kinds]
        rows.append([dataset.name, *(group.mean(metric) if group else None for group in groups)])
    return file("leaderboard-by-data-set", ["dataset", *kinds], rows)
