"""Comparison of run groups, paired on the test records: who is compared with whom, and p values of several tests.

The statistic is the difference in the mean over seeds of the primary metric (MCC of classes, Spearman correlation of
numbers, bits per base of language models, where smaller is better); its interval and p value are those of
`differences`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dnalm.config.stages.evaluation import CompareSettings, PairLimits
from dnalm.errors import UserError
from dnalm.evaluation.statistics.clusters import Groups, match
from dnalm.evaluation.statistics.differences import Difference, side
from dnalm.evaluation.statistics.primary import primary_metric, primary_value, sign
from dnalm.evaluation.statistics.resampling import caution, too_few
from dnalm.evaluation.statistics.strata import strata
from dnalm.tables.predictions import BitPredictions, Predictions

REFERENCE = "trf"
"""The baseline that made the labels of tandem repeats: compared like a model, never chosen as the baseline to beat."""
ALONE = "This p value is of this data set alone: it is not corrected for the other data sets of the workflow."


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
    def objective(self) -> str:
        """What the runs were trained for."""
        return self.runs[0]["test"].objective

    @property
    def on_validation(self) -> float:
        """Mean over the runs of their primary metric on validation, with its sign changed if smaller is better."""
        values = [primary_value(run["validation"]) for run in self.runs]
        return sign(primary_metric(self.runs[0]["validation"])) * float(np.mean(values))


def compare(groups: Sequence[RunGroup], table: pd.DataFrame, settings: CompareSettings) -> dict[str, Any]:
    """The content of a comparison.json.

    Keys: `primary`, `others`, `twins`, `references`, `rivals`, `apart`, `detectable`, `strata`, `note`.

    The primary comparison is between the model and the baseline with the best primary metric on validation, chosen
    without using test. The others compare every other model and the reference with the same baseline; they are
    exploratory and Holm-corrected together. Of tied groups the first is taken. `twins` compares each pre-trained model
    with its random twin (`settings.twins`) of the same recipe, `references` each model with the baseline that made the
    labels; each list is Holm-corrected together too. On a corpus, `rivals` compares the primary comparison's model with
    every other baseline, and `apart` names masked language models: what a masked base costs, given the bases on both of
    its sides, is another quantity, so that they are compared with nothing but their twins.

    table: the test split's sequence table. settings: kind, confidence, effective_groups, largest_group, twins. Raises
    `UserError` for a prediction that does not match the table, and for runs without a test record in common.
    """
    paired, clusters, missing = _paired(groups, table)
    apart = [group.name for group in groups if group.is_model and group.objective == "masked"]
    rival = max((group for group in groups if group.is_rival), key=lambda group: group.on_validation, default=None)
    able = [group for group in groups if group.is_model and group.name not in apart]
    best = max(able, key=lambda group: group.on_validation, default=None)
    by_name = {group.name: group for group in paired}
    named = [group for group in paired if not group.is_rival and group.name not in apart]
    results = [_against(group, by_name[rival.name], clusters, settings) for group in named] if rival else []
    chosen = [best is not None and group.name == best.name for group in named]
    primary = next((one for one, first in zip(results, chosen, strict=False) if first), None)
    others = [one for one, first in zip(results, chosen, strict=False) if not first]
    pairs = [(one, by_name.get(f"{settings.twins.get(one.model)}/{one.recipe}")) for one in paired if one.is_model]
    twins = [_against(one, twin, clusters, settings) for one, twin in pairs if twin]
    made_labels = [group for group in paired if not group.is_model and group.recipe == REFERENCE]
    references = [_against(one, label, clusters, settings) for label in made_labels for one in paired if one.is_model]
    rivals = []
    if best and rival and settings.kind == "corpus":
        beaten = [group for group in paired if group.is_rival and group.name != rival.name]
        rivals = [_against(by_name[best.name], one, clusters, settings) for one in beaten]
    alpha = 1 - settings.confidence
    notes = [
        "" if best or apart else "There is no model to compare.",
        f"{', '.join(apart)}: bits per masked base are another quantity, compared neither with those of causal models"
        " nor with the baselines'."
        if apart
        else "",
        _unlike(paired),
        "" if rival else "There is no baseline to compare with.",
        f"{missing:,} of {len(table):,} test records were not scored by every run and are left out of the comparison."
        if missing
        else "",
    ]
    return {
        "primary": primary
        and {**primary, "p_holm": None, "p_note": ALONE, "significant": _is_small(primary["p"], alpha)},
        "others": _corrected(others, alpha),
        "twins": _corrected(twins, alpha),
        "references": _corrected(references, alpha),
        "rivals": _corrected(rivals, alpha),
        "apart": apart,
        "detectable": primary and primary["detectable"],
        "strata": strata({group.name: _tests(group) for group in groups}, table, settings.kind)
        if settings.kind != "corpus"
        else [],
        "note": " ".join(filter(None, notes)),
    }


def _unlike(groups: Sequence[RunGroup]) -> str:
    """A sentence if causal runs scored different numbers of bases of the same records; or an empty string."""
    scored = {
        int(run.truth.sum())
        for group in groups
        for run in _tests(group)
        if isinstance(run, BitPredictions) and group.objective == "causal"
    }
    if len(scored) < 2:
        return ""
    return (
        f"The runs scored {min(scored):,} to {max(scored):,} bases of the same records: a tokenizer may not know all"
        " of them."
    )


def _against(group: RunGroup, other: RunGroup, clusters: np.ndarray, settings: CompareSettings) -> dict[str, Any]:
    names = {
        "model": group.model,
        "recipe": group.recipe,
        "seeds": len(group.runs),
        "against": other.model if other.is_model else other.recipe,
    }
    sides = (_tests(group), group.is_model), (_tests(other), other.is_model)
    return names | difference(*sides, clusters, settings)


def difference(
    one: tuple[Sequence[Predictions], bool],
    other: tuple[Sequence[Predictions], bool],
    groups: np.ndarray,
    settings: PairLimits,
) -> dict[str, Any]:
    """Compare two sides on the same records, whose `groups` are (n,). A side: its runs, and whether seeds vary them.

    Keys: those of `Difference.entry`; low, high, p, detectable (if None, `note` says why); note.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    facts = Groups.of(codes)
    found = Difference(side(one[0], codes, facts, one[1]), side(other[0], codes, facts, other[1]), facts.effective)
    entry = found.entry() | dict.fromkeys(("low", "high", "p", "detectable"))
    if reason := too_few(facts, settings):
        return entry | {"note": reason}
    if not found.tells_apart:
        return entry | {"note": "the two do not differ on any group of records"}
    alpha = 1 - settings.confidence
    low, high = found.limits(alpha)
    tested = {"low": low, "high": high, "p": found.p, "detectable": found.detectable(alpha)}
    return entry | tested | {"note": caution(facts, settings)}


def _corrected(entries: Sequence[dict[str, Any]], alpha: float) -> list[dict[str, Any]]:
    ps = holm([one["p"] for one in entries])
    return [{**one, "p_holm": p, "significant": _is_small(p, alpha)} for one, p in zip(entries, ps, strict=True)]


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
