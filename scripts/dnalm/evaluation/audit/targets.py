"""Checks of regression targets: enough of them, the same distribution in every split, no conflicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp, kstwobign

from dnalm.evaluation.audit.checks import FEW_RECORDS, Check, Subject, check, sentence
from dnalm.evaluation.audit.family import beyond_chance
from dnalm.evaluation.report.text import decimal, percent, plural
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import SPLITS, TARGET

DIFFERENT = 0.1
"""Kolmogorov-Smirnov distance of two splits' targets above which a significant difference gives a warning."""


@dataclass(frozen=True)
class Distance:
    """Kolmogorov-Smirnov distance of the targets of two splits, and the p value of no difference."""

    pair: tuple[str, str]
    distance: float
    medians: tuple[float, float]
    p: float | None
    p_holm: float | None = None


def sizes(subject: Subject, tables: Mapping[str, pd.DataFrame]) -> Check:
    """Are there enough records and distinct targets in every split?"""
    targets = {split: tables[split][TARGET].to_numpy(np.float64) for split in SPLITS}
    distinct = {split: len(np.unique(values)) for split, values in targets.items()}
    empty = [f"{split} has no records" for split in SPLITS if not len(targets[split])]
    empty += [f"every target of {split} is the same" for split in SPLITS if distinct[split] == 1]
    few = [
        f"{split} has only {plural(distinct[split], 'different target')}"
        for split in SPLITS
        if 1 < distinct[split] < FEW_RECORDS
    ]
    counts = [f"{split} {len(values):,} ({distinct[split]:,} different)" for split, values in targets.items()]
    return check(
        "sizes", "Enough targets in every split", "fail" if empty else "warn" if few else "pass",
        sentence([*empty, *few]) or f"Targets: {'; '.join(counts)}.",
        "With a single target no model can beat a constant; with few distinct values a correlation says little.",
        f"Give more records, or change {subject.key('split.fractions')}, {subject.key('split.seed')} or"
        f" {subject.key('max_records')}; targets with few distinct values may be labels"
        f" ({subject.key('label_column')}).",
        min(distinct.values()), FEW_RECORDS,
        records={split: len(values) for split, values in targets.items()}, distinct=distinct,
    )  # fmt: skip


def distances(tables: Mapping[str, pd.DataFrame]) -> list[Distance]:
    """The targets of each two splits compared, not yet judged.

    p: of the asymptotic Kolmogorov distribution (Smirnov 1948), with the effective groups in place of the records.
    """
    effective = {split: Groups.of(pd.factorize(tables[split]["group"])[0]).effective for split in SPLITS}
    found = []
    for pair in combinations(SPLITS, 2):
        one, other = (tables[split][TARGET].to_numpy(np.float64) for split in pair)
        if len(one) and len(other):
            distance = float(ks_2samp(one, other, method="asymp").statistic)
            p = float(kstwobign.sf(distance / np.sqrt(sum(1 / effective[split] for split in pair))))
            medians = (float(np.median(one)), float(np.median(other)))
            found.append(Distance((pair[0], pair[1]), distance, medians, p))
    return found


def target_distributions(subject: Subject, found: Sequence[Distance]) -> Check:
    """Do targets have the same distribution in all splits? It warns, given the corrected p values of the distances."""
    different = [
        f"the targets of {' and '.join(one.pair)} differ (distance {decimal(one.distance)};"
        f" median {' against '.join(f'{median:.4g}' for median in one.medians)})"
        for one in found
        if one.distance > DIFFERENT and beyond_chance(one)
    ]
    listed_distances = "; ".join(f"{' and '.join(one.pair)} {decimal(one.distance)}" for one in found)
    return check(
        "target_distributions", "Same targets in every split", "warn" if different else "pass",
        sentence(different) or f"Kolmogorov-Smirnov distances of the targets: {listed_distances}.",
        "If targets of a split differ from those of train, scores are for another range, and R2 may be below 0 despite"
        " a good ranking.",
        f"Try another {subject.key('split.seed')} or more records; {subject.key('split.method')}: random, if no records"
        " are related.",
        max((one.distance for one in found), default=None), DIFFERENT,
        distances={"/".join(one.pair): round(one.distance, 6) for one in found},
    )  # fmt: skip


def conflicting_targets(subject: Subject, facts: Mapping[str, Any]) -> Check:
    """Identical or similar sequences with very different targets."""
    found = facts["conflicting_targets"]
    total = sum(facts["splits"][split]["records"] for split in SPLITS)
    same, near = found["same"], found["near"]
    value, limit = same["records"] / total if total else 0.0, subject.limits["duplicates"]
    apart = f"targets more than {found['apart']:.4g} apart (half a standard deviation)"
    words = []
    if same["records"]:
        words.append(
            f"{plural(same['sequences'], 'sequence')} ({plural(same['records'], 'record')},"
            f" {percent(same['records'], total)}), either strand, with {apart}"
        )
    if near["records"]:
        beside, share = "more " if words else "", percent(near["records"], total)
        words.append(
            f"{near['records']:,} {beside}records ({share}) have a similar sequence with"
            f" {'such a difference' if words else apart}"
        )
    status = "fail" if value > limit else "warn" if words else "pass"
    return check(
        "conflicting_targets", "Conflicting targets", status, sentence(words) or f"No similar sequences have {apart}.",
        "No model can be right about both records of one sequence, and hardly about similar ones, unless single"
        " bases matter.",
        "Decide on one target for each of these sequences in the table (such as the median of its measurements), or"
        " leave them out.",
        value, limit, same=dict(same), near=dict(near), apart=found["apart"], examples=found["examples"],
    )  # fmt: skip
