"""The form of an audit check, and the checks of classes, tokens and groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dnalm.evaluation.audit.token_counts import TokenCounts
from dnalm.evaluation.report.text import listed, percent, plural
from dnalm.evaluation.statistics.clusters import Groups
from dnalm.names import LABEL, SPLITS

SEVERITY = ("pass", "warn", "fail")
FEW_RECORDS = 10
"""Fewer records of a class in a split than this give a warning: scores would depend on single records."""

Check = dict[str, Any]
"""name, title, status, value, threshold, found, why, fix, details."""


@dataclass(frozen=True)
class Subject:
    """The audited data set: name, kind, names of its labels by number, limits (`audit` in the config).

    truth: the column to predict, `label` or `target`.
    """

    dataset: str
    kind: str
    labels: Mapping[int, str]
    limits: Mapping[str, Any]
    truth: str = LABEL

    def key(self, path: str) -> str:
        """The config key of a setting of this data set."""
        return f"`datasets.{self.dataset}.{path}`"

    @property
    def grouping(self) -> str:
        """Advice on how to keep related records in one split."""
        divide = f"{self.key('split.method')}: grouped keeps related records in one split"
        if self.kind == "repeats":
            return f"{divide}."
        return f"{divide}; to divide published splits anew, give one table as {self.key('path')}."


def worst(statuses: Sequence[str]) -> str:
    """The most severe of some statuses; `pass` without any."""
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
    """A check's entry in audit.json; `fix` is dropped if it passes."""
    rounded = None if value is None else round(float(value), 6)
    words = {"title": heading, "found": found, "why": why, "fix": "" if status == "pass" else fix}
    return {"name": name, "status": status, "value": rounded, "threshold": threshold, "details": details, **words}


def report(subject: Subject, made: Sequence[Check], probes: Sequence[Any] = ()) -> dict[str, Any]:
    """The content of audit.json: the checks, the shortcut probes, and which failed checks stop the workflow."""
    failed = [check["name"] for check in made if check["status"] == "fail"]
    stopping = subject.limits["fail_on"]
    return {
        "dataset": subject.dataset,
        "checks": list(made),
        "shortcuts": [probe.as_json() for probe in probes],
        "status": worst([check["status"] for check in made]),
        "stops": [name for name in failed if name in stopping or "all" in stopping],
    }


def above(value: float, limit: float) -> str:
    """Fail above a limit, else pass."""
    return "fail" if value > limit else "pass"


def sentence(parts: Sequence[str], separator: str = "; ") -> str:
    """Parts joined as one sentence; empty without parts."""
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
        "A split without a class says nothing about it: a model that always answers another class would look perfect.",
        f"Give more records of the scarce class, or change {subject.key('split.fractions')},"
        f" {subject.key('split.seed')} or {subject.key('max_records')}.",
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
    rest = f"; {listed(unlimited)} without a known limit" if unlimited else ""
    text = f"{'; '.join(words)}{rest}." if words else f"Every record fits into one input{rest}."
    limit, value = subject.limits["overlong"], max(fractions.values(), default=0.0)
    return check(
        "overlong", "Records beyond a model's limit", above(value, limit), text,
        "A model does not see what is cut off; with windows it sees every part, but never the whole record.",
        "`recipes.*.overlong`: window uses the whole record; a higher `models.*.max_tokens`, or a model or tokenizer"
        " with longer tokens, avoids it.",
        value, limit,
        models={
            model: {"overlong": counts.overlong, "records": len(counts.lengths), "limit": counts.limit}
            for model, counts in tokens.items()
        },
    )  # fmt: skip


def unknown_tokens(subject: Subject, tokens: Mapping[str, TokenCounts]) -> Check:
    """Unknown tokens of each model's tokenizer."""
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
        "An unknown token hides its bases from the model, and where it marks rare letters it can be a shortcut.",
        "Use a model whose tokenizer knows these letters, or leave out records with letters other than ACGT.",
        value, limit,
        models={model: {"unknown": unknown, "tokens": total} for model, (unknown, total) in totals.items()},
    )  # fmt: skip


def effective_groups(subject: Subject, groups: Groups) -> Check:
    """The number of independent groups of the test split. groups: those of its records."""
    fewest, share = subject.limits["effective_groups"], subject.limits["largest_group"]
    few, large = groups.effective < fewest, groups.largest_fraction > share
    text = (
        f"The {groups.records:,} test records form {plural(groups.number, 'group')}, as many as"
        f" {groups.effective:.1f} of equal size; the largest holds {percent(groups.largest, groups.records)}."
    )
    if few:
        text += f" Below {fewest} no confidence interval is given."
    elif large:
        text += f" Above {percent(share, 1)} of the records, intervals are given with a caution."
    why = (
        "Predictions of related records are correlated, so a large group counts like few records; with too few groups"
        " intervals are too narrow."
    )
    fix = (
        f"Take more test records ({subject.key('split.fractions')}, {subject.key('max_records')}) from more loci or"
        f" families; the limits are {subject.key('audit.effective_groups')} and {subject.key('audit.largest_group')}."
    )
    return check(
        "effective_groups", "Independent groups of the test split", "warn" if few or large else "pass", text, why, fix,
        groups.effective, fewest,
        groups=groups.number, largest=groups.largest, largest_fraction=round(groups.largest_fraction, 6),
        largest_limit=share,
    )  # fmt: skip
