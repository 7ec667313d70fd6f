"""Precision where label 1 is rare: data sets are balanced, genomes are not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.evaluation.report.text import per_cent
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.evaluation.statistics.effective import grouped_share
from dnalm.evaluation.statistics.thresholds import best_threshold
from dnalm.names import BACKGROUND
from dnalm.tables.predictions import ClassPredictions

LOW_RATE = 0.01
"""False-positive rate at which recall is given."""


def prevalence(
    predictions: dict[str, ClassPredictions], groups: Mapping[str, np.ndarray], settings: EvaluateSettings
) -> dict[str, Any] | None:
    """Precision at each of `settings.prevalences`, at the threshold chosen on validation.

    None with more than two classes, or without positives or negatives. Positives are those of the test split; negatives
    are the `background`, or those of the test split if there is none (`negatives` says which). groups: the group of
    each record, (n,), of `test` and `background`.

    precision = prevalence * tpr / (prevalence * tpr + (1 - prevalence) * fpr). Its limits take tpr and fpr at opposite
    ends of their intervals (`grouped_share`), each at level 1 - alpha / 2, so that both hold at `confidence`
    (Bonferroni). Without a false positive the precision is None, as 1 would be no estimate; `low` is its lower bound.
    `recall_at_1_percent_fpr` is None if there are too few negatives to measure that rate.
    """
    test = predictions["test"]
    name = BACKGROUND if BACKGROUND in predictions else "test"
    positive, negative = test.labels == 1, predictions[name].labels == 0
    positives, negatives = test.scores[positive, 1], predictions[name].scores[negative, 1]
    if test.classes != 2 or not len(positives) or not len(negatives):
        return None
    codes, others = (
        np.unique(groups[split][rows], return_inverse=True)[1] for split, rows in (("test", positive), (name, negative))
    )
    value, _ = best_threshold(predictions["validation"])
    found, alarm = positives > value, negatives > value
    alarms = int(alarm.sum())
    alpha = 1 - settings.confidence
    low, high = grouped_share(alarm, others, alpha)
    tpr = (float(found.mean()), *grouped_share(found, codes, alpha / 2))
    fpr = (float(alarm.mean()), *grouped_share(alarm, others, alpha / 2))
    effective = {"positives": Groups.of(codes).effective, "negatives": Groups.of(others).effective}
    return {
        "negatives": name,
        "n_negatives": len(negatives),
        "groups": effective,
        "threshold": value,
        "false_positives": alarms,
        "tpr": tpr[0],
        "fpr": fpr[0],
        "fpr_low": low,
        "fpr_high": high,
        "recall_at_1_percent_fpr": recall_at(LOW_RATE, positives, negatives),
        "precision": [
            {
                "prevalence": share,
                "precision": precision(share, tpr[0], fpr[0]) if alarms else None,
                "low": precision(share, tpr[1], fpr[2]) or 0.0,
                "high": precision(share, tpr[2], fpr[1]),
            }
            for share in settings.prevalences
        ],
        "note": _note(name, len(negatives), effective["negatives"], alarms, high, settings.confidence),
    }


def precision(prevalence: float, tpr: float, fpr: float) -> float | None:
    """Probability that a record called positive is one (Bayes); None if nothing is called."""
    hits, alarms = prevalence * tpr, (1 - prevalence) * fpr
    return hits / (hits + alarms) if hits + alarms else None


def recall_at(rate: float, positives: NDArray[np.float64], negatives: NDArray[np.float64]) -> float | None:
    """The highest recall with a false-positive rate of at most `rate`.

    None for fewer than 1 / rate negatives.
    """
    allowed = int(rate * len(negatives) + 1e-9)
    if not allowed:
        return None
    return float(np.mean(positives > np.sort(negatives)[-allowed - 1]))


def _note(name: str, size: int, groups: float, alarms: int, high: float, confidence: float) -> str:
    if name == BACKGROUND:
        what = (
            f"False positives are counted in {size:,} windows at random places of the genome outside the masked"
            " catalogues; a repeat missing from the catalogues counts as one, so the rate may be too high."
        )
    else:
        what = (
            f"False positives are counted among the {size:,} test negatives, which were chosen for the data set and do"
            f" not represent a genome; the smallest rate they can show is {1 / size:.2g}."
        )
    bound = f" There were none: the rate is below {high:.2g} ({per_cent(confidence)} interval)." if not alarms else ""
    few = (
        f" They are too few to measure recall at a rate of {per_cent(LOW_RATE)}." if size * LOW_RATE < 1 - 1e-9 else ""
    )
    alone = groups > (1 - 1e-9) * size
    related = "" if alone else f" They lie in groups of related records, worth {groups:,.0f} equal ones."
    return f"{what}{bound}{few}{related}"
