"""Comparison of run groups, paired on the test records and resampled by group of records; trained models are fixed.

The statistic is the difference in the mean over seeds of the primary metric (MCC of classes, Spearman correlation of
numbers). Its interval and p value come from the same symmetric studentised bootstrap (Hall 1992, chapter 3.5), so the
interval excludes 0 exactly if p <= 1 - confidence. Neither includes the variation over seeds, which is in `by_seed`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from dnalm.config.stages.evaluation import CompareSettings, IntervalSettings
from dnalm.errors import UserError
from dnalm.evaluation.statistics.clusters import Groups, match
from dnalm.evaluation.statistics.grouped import standard_errors
from dnalm.evaluation.statistics.primary import Statistic, primary_metric, primary_statistic, primary_value
from dnalm.evaluation.statistics.resampling import SMALLEST_ERROR, caution, critical, draws, studentised, too_few
from dnalm.evaluation.statistics.strata import strata
from dnalm.tables.predictions import Predictions

REFERENCE = "trf"
"""The baseline that made the labels of tandem repeats: compared like a model, never chosen as the baseline to beat."""
POWER = 0.8
"""Probability of finding a difference of the detectable size."""


@dataclass(frozen=True)
class RunGroup:
    """The runs of one model and recipe, or of one baseline, one per seed: predictions by split."""

    model: str
    recipe: str
    runs: Sequence[dict[str, Predictions]]

    @property
    def name(self) -> str:
        """The group's name in files: `model/recipe`, or `baseline/name`."""
        return f"{self.model}/{self.recipe}"

    @property
    def is_model(self) -> bool:
        """Whether this is a model, not a baseline."""
        return self.model != "baseline"

    @property
    def is_rival(self) -> bool:
        """Whether this is a baseline that models are compared with."""
        return not self.is_model and self.recipe != REFERENCE

    @property
    def on_validation(self) -> float:
        """Mean over the runs of their primary metric on validation."""
        return float(np.mean([primary_value(run["validation"]) for run in self.runs]))


def compare(groups: Sequence[RunGroup], table: pd.DataFrame, settings: CompareSettings) -> dict[str, Any]:
    """The content of a comparison.json: `primary`, `others`, `detectable`, `strata`, `note`.

    The primary comparison is between the model and the baseline with the highest primary metric on validation, chosen
    without using test. The others compare every other model and the reference with the same baseline; they are
    exploratory and Holm-corrected together. Of tied groups the first is taken.

    table: the test split's sequence table. settings: kind, confidence, replicates, seed, effective_groups,
    largest_group. Raises `UserError` for a prediction that does not match the table, and for runs without a test record
    in common.
    """
    paired, clusters, missing = _paired(groups, table)
    rival = max((group for group in groups if group.is_rival), key=lambda group: group.on_validation, default=None)
    best = max((group for group in groups if group.is_model), key=lambda group: group.on_validation, default=None)
    named = [group for group in paired if not group.is_rival]
    results = []
    if rival:
        against = next(group for group in paired if group.name == rival.name)
        found = differences(_tests(against), [_tests(group) for group in named], clusters, settings)
        results = [_names(group, rival) | difference for group, difference in zip(named, found, strict=True)]
    chosen = [best is not None and group.name == best.name for group in named]
    primary = next((one for one, first in zip(results, chosen, strict=False) if first), None)
    others = [one for one, first in zip(results, chosen, strict=False) if not first]
    alpha = 1 - settings.confidence
    corrected = holm([one["p"] for one in others])
    notes = [
        "" if best else "There is no model to compare.",
        "" if rival else "There is no baseline to compare with.",
        f"{missing:,} of {len(table):,} test records were not scored by every run and are left out of the comparison."
        if missing
        else "",
    ]
    return {
        "primary": primary and {**primary, "p_holm": None, "significant": _is_small(primary["p"], alpha)},
        "others": [
            {**one, "p_holm": p, "significant": _is_small(p, alpha)} for one, p in zip(others, corrected, strict=True)
        ],
        "detectable": primary and primary["detectable"],
        "strata": strata({group.name: _tests(group) for group in groups}, table, settings.kind),
        "note": " ".join(filter(None, notes)),
    }


def differences(
    rival: Sequence[Predictions],
    candidates: Sequence[Sequence[Predictions]],
    groups: np.ndarray,
    settings: IntervalSettings,
) -> list[dict[str, Any]]:
    """Compare the runs of each candidate with those of a rival on the same records, whose `groups` are (n,).

    Keys: metric (mcc or spearman), value, against_value, difference; low, high, p, detectable (if None, `note` says
    why); by_seed (the metric of each run of the candidate); groups_effective; note.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    facts = Groups.of(codes)
    statistics = [[primary_statistic(run, codes, facts.number) for run in runs] for runs in (rival, *candidates)]
    reason = too_few(facts, settings)
    with threadpool_limits(limits=1):  # the order of sums would change results
        observed = _resampled(statistics, np.ones((1, facts.number)))
        weightings = draws(facts.number, 0 if reason else settings.replicates, settings.seed)
        drawn = [_resampled(statistics, weights) for weights in weightings]
    result = []
    for i, runs in enumerate(candidates):
        value, error = observed[0][i][0], observed[1][i][0]
        by_seed = [primary_value(run) for run in runs]
        entry = {
            "metric": primary_metric(runs[0]),
            "value": float(np.mean(by_seed)),
            "against_value": float(np.mean([primary_value(run) for run in rival])),
            "difference": float(value),
            **dict.fromkeys(("low", "high", "p", "detectable")),
            "by_seed": by_seed,
            "groups_effective": facts.effective,
            "note": reason,
        }
        if not reason and error < SMALLEST_ERROR:
            entry["note"] = "the two do not differ in any resample"
        elif not reason:
            values, errors = (np.concatenate([part[j][i] for part in drawn]) for j in (0, 1))
            entry |= _tested(value, error, values, errors, settings.confidence)
            entry["note"] = caution(facts, settings)
        result.append(entry)
    return result


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """P values corrected for multiple testing (Holm 1979); None (not tested) stays None and is not counted."""
    tested = [i for i, p in enumerate(ps) if p is not None]
    corrected: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: ps[i] or 0.0)):
        highest = max(highest, min(1.0, (len(tested) - rank) * (ps[i] or 0.0)))
        corrected[i] = highest
    return corrected


def _is_small(p: float | None, alpha: float) -> bool:
    return p is not None and p <= alpha + 1e-12


def _tests(group: RunGroup) -> list[Predictions]:
    return [run["test"] for run in group.runs]


def _names(group: RunGroup, rival: RunGroup) -> dict[str, Any]:
    return {"model": group.model, "recipe": group.recipe, "seeds": len(group.runs), "against": rival.recipe}


def _paired(groups: Sequence[RunGroup], table: pd.DataFrame) -> tuple[list[RunGroup], np.ndarray, int]:
    """Run groups with the test records that all runs scored, in the table's order; their clusters; records left out."""
    rows = [[match(run, table, f"{group.name}: test") for run in _tests(group)] for group in groups]
    scored = np.zeros(len(table), int)
    for found in (found for runs in rows for found in runs):
        scored[found] += 1
    common = np.flatnonzero(scored == sum(map(len, rows)))
    if not len(common):
        raise UserError("the runs have no test record in common; predict again on this data set")
    paired = []
    for group, places in zip(groups, rows, strict=True):
        runs = []
        for run, found in zip(group.runs, places, strict=True):
            where = np.empty(len(table), int)
            where[found] = np.arange(len(found))
            runs.append({**run, "test": run["test"].take(where[common])})
        paired.append(replace(group, runs=runs))
    return paired, table["group"].to_numpy(dtype=str)[common], len(table) - len(common)


def _resampled(
    statistics: Sequence[Sequence[Statistic]], weights: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Differences of each candidate from the rival (the first) under B weightings (B, groups), and standard errors."""
    means = []
    for runs in statistics:
        values, derivatives = np.zeros(len(weights)), np.zeros(weights.shape)
        for statistic in runs:
            value, slope = statistic(weights)
            values += value / len(runs)
            derivatives += slope / len(runs)
        means.append((values, derivatives))
    (against, base), *others = means
    return [value - against for value, _ in others], [standard_errors(weights, slope - base) for _, slope in others]


def _tested(
    value: float, error: float, values: np.ndarray, errors: np.ndarray, confidence: float
) -> dict[str, float | None]:
    distances = studentised(value, values, errors)
    margin = error * critical(distances, confidence)
    beyond = int(np.sum(distances >= abs(value) / error))
    return {
        "low": float(max(value - margin, -2.0)),
        "high": float(min(value + margin, 2.0)),
        "p": (1 + beyond) / (1 + len(distances)),
        "detectable": float(error * (norm.ppf((1 + confidence) / 2) + norm.ppf(POWER))),
    }
