"""Checks of a data set, each with what was found, why it matters, and which setting mends it; and those of its make-up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.report.text import listed, percent, plural
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import LABEL, SPLITS

SEVERITY = ("pass", "warn", "fail")
FEW_RECORDS = 10
"""Records of a class in a split below which its scores hang on single records."""

Check = dict[str, Any]
"""name, title, status, value, threshold, found, why, fix, details."""


@dataclass(frozen=True)
class Subject:
    """What is audited: the data set's name and kind, names of its labels by number, its limits (config `audit`).

    truth: the column of what is to be learnt, `label` or `target`.
    """

    dataset: str
    kind: str
    labels: Mapping[int, str]
    limits: Mapping[str, Any]
    truth: str = LABEL

    def key(self, path: str) -> str:
        """A setting of this data set, as it is called in the config."""
        return f"`datasets.{self.dataset}.{path}`"

    @property
    def grouping(self) -> str:
        """How relatives are kept in one split."""
        divide = f"{self.key('split.method')}: grouped keeps related records in one split"
        if self.kind == "repeats":
            return f"{divide}."
        return f"{divide}; splits as published have to be given as one table, {self.key('path')}, to be divided anew."


def worst(statuses: Sequence[str]) -> str:
    """The gravest of some statuses; pass of none."""
    return max(statuses, key=SEVERITY.index, default="pass")


def check(
    name: str,
    heading: str,
    status: str,
    found: str,
    why: str,
    fix: str,
    value: float | None = None,
    threshold: float | None = None,
    **details: Any,
) -> Check:
    """A check's entry in audit.json; one that passes needs no mending."""
    rounded = None if value is None else round(float(value), 6)
    words = {"title": heading, "found": found, "why": why, "fix": "" if status == "pass" else fix}
    return {"name": name, "status": status, "value": rounded, "threshold": threshold, "details": details, **words}


def above(value: float, limit: float) -> str:
    """Fail above a limit, else pass."""
    return "fail" if value > limit else "pass"


def sentence(parts: Sequence[str], separator: str = "; ") -> str:
    """Parts as one sentence; empty of none."""
    text = separator.join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def classes(subject: Subject, counts: Mapping[str, Mapping[int, int]]) -> Check:
    """Every class in every split? counts: records by split and label."""
    every = sorted({label for split in counts.values() for label in split} | set(subject.labels))
    table = {split: {label: counts[split].get(label, 0) for label in every} for split in SPLITS}
    missing = [
        f"{split} has no record of {_label(subject, k)}" for split in SPLITS for k in every if not table[split][k]
    ]
    missing += [f"{split} has no records" for split in SPLITS if not sum(table[split].values())]
    smallest = min((number for split in table.values() for number in split.values()), default=0)
    few = [
        f"{split} has only {plural(table[split][label], 'record')} of {_label(subject, label)}"
        for split in SPLITS
        for label in every
        if 0 < table[split][label] < FEW_RECORDS
    ]
    if len(every) < 2:
        missing.append("there are fewer than two classes")
    split_counts = [
        f"{split} " + " + ".join(f"{number:,}" for number in table[split].values()) for split in SPLITS if table[split]
    ]
    found = sentence([*missing, *few]) if missing or few else f"Records: {'; '.join(split_counts)}."
    return check(
        "classes", "Every class in every split", "fail" if missing else "warn" if few else "pass", found,
        "A split without a class measures nothing about it: always answering the other one looks perfect, at an MCC of 0.",
        f"Give more records of the scarce class, or move them by {subject.key('split.fractions')}, another"
        f" {subject.key('split.seed')}, or a higher {subject.key('max_records')}.",
        smallest, FEW_RECORDS,
        records={split: {str(label): number for label, number in of.items()} for split, of in table.items()},
    )  # fmt: skip


def _label(subject: Subject, label: int) -> str:
    name = subject.labels.get(label, str(label))
    return f"label {label}" if name == str(label) else f"label {label} ({name})"


def overlong(subject: Subject, tokens: Mapping[str, TokenCounts]) -> Check:
    """Records that exceed a model's limit of tokens."""
    fractions = {model: counts.overlong / max(len(counts.lengths), 1) for model, counts in tokens.items()}
    words = [
        f"{model}: {counts.overlong:,} of {len(counts.lengths):,} records exceed its {counts.limit:,} tokens"
        f" ({counts.special} of them special)"
        for model, counts in tokens.items()
        if counts.limit is not None and counts.overlong
    ]
    unlimited = [model for model, counts in tokens.items() if counts.limit is None]
    rest = f"; no limit is known of {listed(unlimited)}" if unlimited else ""
    text = f"{'; '.join(words)}{rest}." if words else f"Every record fits into one input{rest}."
    limit, value = subject.limits["overlong"], max(fractions.values(), default=0.0)
    return check(
        "overlong", "Records beyond a model's limit", above(value, limit), text,
        "What is cut off is not seen; in windows it is seen, but never all at once.",
        "`recipes.*.overlong`: window keeps all of it; a higher `models.*.max_tokens`, or a model or tokenizer with longer tokens, avoids it.",
        value, limit,
        models={
            model: {"overlong": counts.overlong, "records": len(counts.lengths), "limit": counts.limit}
            for model, counts in tokens.items()
        },
    )  # fmt: skip


def unknown_tokens(subject: Subject, tokens: Mapping[str, TokenCounts]) -> Check:
    """Tokens that a model's tokenizer does not know."""
    totals = {model: (counts.unknown, int(counts.lengths.sum())) for model, counts in tokens.items()}
    words = [
        f"{model}: {unknown:,} of {total:,} tokens ({percent(unknown, total)}) are unknown"
        for model, (unknown, total) in totals.items()
        if unknown
    ]
    limit = subject.limits["unknown"]
    value = max((unknown / total for unknown, total in totals.values() if total), default=0.0)
    text = f"{'; '.join(words)}." if words else "Every token is known to its model."
    return check(
        "unknown_tokens", "Unknown tokens", above(value, limit), text,
        "An unknown token hides the bases it stands for, and where they are rare letters it can give the answer away.",
        "Take a model whose tokenizer knows these letters, or leave out records with letters other than ACGT.",
        value, limit,
        models={model: {"unknown": unknown, "tokens": total} for model, (unknown, total) in totals.items()},
    )  # fmt: skip


def effective_groups(subject: Subject, groups: Groups) -> Check:
    """How many independent observations the test split amounts to. groups: those of its records."""
    fewest, share = subject.limits["effective_groups"], subject.limits["largest_group"]
    few, large = groups.effective < fewest, groups.largest_fraction > share
    text = (
        f"The {groups.records:,} test records form {plural(groups.number, 'group')}, worth {groups.effective:.1f} of equal size;"
        f" the largest holds {percent(groups.largest, groups.records)}."
    )
    if few:
        text += f" Below {fewest} no confidence interval is given."
    elif large:
        text += f" Above {percent(share, 1)} of the records, intervals are given with a caution."
    why = "Related records are right or wrong together, so that many of them weigh like few: intervals of too few groups are too narrow."
    fix = (
        f"More test records by {subject.key('split.fractions')} or {subject.key('max_records')}, from more loci or families;"
        f" the limits are {subject.key('audit.effective_groups')} and {subject.key('audit.largest_group')}."
    )
    return check(
        "effective_groups", "Independent groups of the test split", "warn" if few or large else "pass", text, why, fix,
        groups.effective, fewest,
        groups=groups.number, largest=groups.largest, largest_fraction=round(groups.largest_fraction, 6), largest_limit=share,
    )  # fmt: skip
