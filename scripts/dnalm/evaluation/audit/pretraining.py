"""The check of what models saw in pre-training."""

from collections.abc import Mapping, Sequence
from typing import Any

from dnalm.evaluation.audit.checks import Check, Subject, check, sentence
from dnalm.evaluation.report.text import listed, percent, plural


def pretraining(
    subject: Subject, models: Mapping[str, Sequence[str]], facts: Sequence[Mapping[str, Any]]
) -> Check | None:
    """Test records that lie in the corpus that a model on the data set was pre-trained on; None without such a model.

    models: those that descend from a run on each corpus. facts: the output of `compare_pretraining.py` for each.
    """
    if not facts:
        return None
    words, shares = [], []
    for one in facts:
        test, names = one["splits"]["test"], [f"'{name}'" for name in models[one["corpus"]]]
        shares.append(test["found"] / max(test["compared"], 1))
        where = f" ({test['by_position']:,} by position)" if test["by_position"] else ""
        some = "" if test["compared"] == test["records"] else f" that were looked for, of {test['records']:,},"
        short = (
            f"; {plural(test['too_short'], 'record')} under {one['k']} bases not looked for"
            if test["too_short"]
            else ""
        )
        words.append(
            f"{test['found']:,} of {test['compared']:,} test records{some} ({percent(test['found'], test['compared'])})"
            f"{where} lie in '{one['corpus']}', the corpus of {listed(names)}{short}"
        )
    return check(
        "pretraining", "Test records seen in pre-training", "warn" if any(shares) else "pass", sentence(words),
        "A model that was pre-trained on the test sequences has an advantage that it will not have on new ones. Labels"
        " were not seen, so this is no leak of answers.",
        "Leave these chromosomes out of the corpus (`split.method`: chromosome, or other `chromosomes` of its genome),"
        " or read the scores as those on known sequence.",
        max(shares), 0.0,
        corpora={one["corpus"]: {"models": list(models[one["corpus"]]), **one["splits"]} for one in facts},
    )  # fmt: skip
