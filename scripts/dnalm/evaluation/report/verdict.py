"""The verdict on a data set's runs, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dnalm.evaluation.report import seeds
from dnalm.evaluation.report.descriptions import Description
from dnalm.evaluation.report.results import Dataset, Group
from dnalm.evaluation.report.text import between, chance, decimal, listed, per_cent, plural, signed

MODELS = "models"
"""What a comparison is about if it has too few seeds to say anything of the methods."""


@dataclass(frozen=True)
class Verdict:
    """The first section of a page.

    tone: above, level, below or none; headline: one sentence; details: sentences that support it; audit: a sentence on
    the audit's findings (audit_status: pass, warn or fail); caveat: limits.
    """

    tone: str
    headline: str
    details: Sequence[str]
    audit_status: str
    audit: str
    caveat: str


def verdict(dataset: Dataset, confidence: float) -> Verdict:
    """The verdict from the primary comparison and the audit. confidence: level of the intervals."""
    status, found = audit_summary(dataset.audit)
    description, primary_metric = dataset.description, dataset.description.primary
    primary = dataset.comparison["primary"]
    model = primary and dataset.group(f"{primary['model']}/{primary['recipe']}")
    rival = primary and dataset.group(f"baseline/{primary['against']}")
    if primary and model and rival:
        subject = "The best model" if len(dataset.models) > 1 else "The model"
        subject += " as trained here" if primary["about"] == MODELS else ""
        tone, headline, meaning = compared(primary, subject, description, confidence)
        if tone == "above" and status == "fail":
            headline = f"{headline.removesuffix('.')}, but the audit of the data failed."
        details = [
            f"{meaning} {primary['about_note']}".strip(),
            _origin("model", model, description),
            _origin("baseline", rival, description),
        ]
        for one in dataset.comparison["rivals"]:
            _, said, facts = compared(one, subject, description, confidence)
            details.append(f"{said} {facts}")
        caution = primary["note"] if primary["low"] is not None else ""
        return Verdict(
            tone, headline, details, status, found, _caveat(model, description, caution, dataset.comparison["note"])
        )
    best = _best(dataset.models, description) or _best(
        [one for one in dataset.baselines if one.kind == "baseline"], description
    )
    if best is None:
        return Verdict("none", "Nothing was run on this data set.", [], status, found, "")
    score = f"has a test {primary_metric.prose} of {primary_metric.text(best.mean(primary_metric.name))}"
    if best.is_baseline:
        rule = description.rules[best.runs[0].recipe]
        headline = f"No language model was run here. The best baseline, {rule}, {score}."
    else:
        nothing = "baselines predict something else" if dataset.apart else "no baseline was run to compare with"
        headline = f"{best.name} {score}; {nothing}."
    what = "baseline" if best.is_baseline else "model"
    caveat = _caveat(best, description, best.runs[0].metrics["intervals_note"])
    return Verdict("none", headline, [_origin(what, best, description)], status, found, caveat)


def compared(found: dict[str, Any], subject: str, description: Description, confidence: float) -> tuple[str, str, str]:
    """Tone, headline and meaning of a comparison ({against, value, against_value, difference ...}) with a baseline."""
    metric, rule = description.metric(found["metric"]), description.rules[found["against"]]
    figures = f"{metric.prose} {metric.text(found['value'])} against {metric.text(found['against_value'])}"
    difference = f"The difference in {metric.prose} is {signed(found['difference'])}"
    if found["low"] is None:
        gain = metric.sign * found["difference"]
        direction = "better" if gain > 0 else "worse" if gain < 0 else "no better"
        headline = f"{subject} scores {direction} than {rule} on this test set ({figures}), and no more can be said."
        return "level", headline, f"{difference}. Its interval is withheld: {found['note'].rstrip('.')}."
    facts = (
        f"{difference} ({per_cent(confidence)} interval {between(found['low'], found['high'])}, {chance(found['p'])})"
    )
    gain = metric.sign * found["difference"]
    if found["significant"] and gain > 0:
        return (
            "above",
            f"{subject} {description.better} {rule} on this test set ({figures}).",
            f"{facts}: more than chance explains.",
        )
    if found["significant"]:
        return (
            "below",
            f"{subject} {description.worse} {rule} on this test set ({figures}).",
            f"{facts}: chance does not explain it.",
        )
    least = found["detectable"]
    power = f" Four times of five, this test set shows a difference of {decimal(least)} or more." if least else ""
    headline = f"{subject} is not shown to differ from {rule} on this test set ({figures})."
    return "level", headline, f"{facts}: it may be chance.{power}"


def audit_summary(audit: dict[str, Any]) -> tuple[str, str]:
    """The audit's status, and one sentence on which checks failed or warn."""
    titles = {
        status: [check["title"] for check in audit["checks"] if check["status"] == status]
        for status in ("fail", "warn")
    }
    number = plural(len(audit["checks"]), "check")
    if not titles["fail"] and not titles["warn"]:
        return audit["status"], f"All {number} of the data passed."
    parts = [
        f"{len(names)} of {number} {verb} ({'; '.join(_lower(name) for name in names)})"
        for names, verb in ((titles["fail"], "failed"), (titles["warn"], "gave a warning"))
        if names
    ]
    return audit["status"], f"{listed(parts)}."


def _lower(title: str) -> str:
    """A title for use inside a sentence; a leading abbreviation keeps its case."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _best(groups: Sequence[Group], description: Description) -> Group | None:
    """The group with the best mean of the primary metric on validation; of ties the first."""
    metric = description.primary
    return max(groups, key=lambda group: metric.sign * (group.mean(metric.name, "validation") or 0.0), default=None)


def _origin(what: str, group: Group, description: Description) -> str:
    """A sentence on how a group was chosen and how well it does."""
    metric, beside = description.primary, description.metric(description.beside)
    values = group.values(metric.name)
    note = seeds.brief(group, description)
    span = f"from {metric.text(min(values))} to {metric.text(max(values))}" if values[1:] else ""
    said = "; ".join(filter(None, (span, note)))
    spread = f" ({said})" if said else ""
    chosen = f"{metric.prose} ({metric.text(group.mean(metric.name, 'validation'))})"
    scores = f"{metric.prose} {metric.text(group.mean(metric.name))}{spread}"
    return (
        f"The best {what} by validation {chosen} is {group.name}:"
        f" test {scores}, {beside.prose} {beside.text(group.mean(beside.name))}."
    )


def _caveat(group: Group, description: Description, *notes: str) -> str:
    metrics = group.runs[0].metrics
    groups = metrics["groups"]
    sentences = [
        f"{description.trivial(metrics)} the {metrics['n']:,} test records, which"
        f" lie in {plural(groups['number'], 'independent group')} (worth {groups['effective']:,.0f} equal ones).",
        *notes,
    ]
    return " ".join(sentence for sentence in sentences if sentence)
