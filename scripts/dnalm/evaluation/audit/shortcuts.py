"""What the shortcut probes found, as one check."""

from collections.abc import Sequence

from dnalm.evaluation.audit.checks import Check, Subject, check, sentence, worst
from dnalm.evaluation.audit.probes import ENDS, Probe
from dnalm.evaluation.audit.properties import title
from dnalm.evaluation.report.text import decimal, listed


def shortcuts(subject: Subject, probes: Sequence[Probe], case_kept: bool) -> Check:
    """What the probes found, in one entry: the gravest, and all that are not clean by name."""
    limit = subject.limits["shortcut_auroc"]
    judged = [probe for probe in probes if probe.auroc.low is not None]
    failed = [probe for probe in probes if probe.status == "fail"]
    warned = [probe for probe in probes if probe.status == "warn"]
    words = []
    if failed:
        words.append(f"The classes can be told apart by {listed([_area(probe) for probe in failed])} alone")
    if warned:
        words.append(f"To be kept in mind: {listed([_area(probe) for probe in warned])}")
    if not judged:
        words.append("There are too few groups of records to judge any shortcut")
    text = f"{'. '.join(words)}." if words else "No simple property tells the classes apart."
    gravest = max(
        (probe for probe in judged if not probe.excused), key=lambda probe: probe.auroc.low or 0.0, default=None
    )
    notes = (
        {} if case_kept else {"case": "not looked at: the tables hold upper case only, and so does what a model sees"}
    )
    return check(
        "shortcuts", "Shortcuts", worst([probe.status for probe in probes]), text,
        "What one number tells, a model need not learn: a high score may be nothing but that number.",
        _against_shortcuts(subject, failed or warned),
        gravest.auroc.low if gravest else None, limit,
        judged=gravest.name if gravest else None, not_looked_at=notes,
    )  # fmt: skip


def _area(probe: Probe) -> str:
    area = probe.auroc
    if area.value is None:
        return f"{title(probe.name)} (not measured)"
    bounds = "no interval" if area.low is None else f"95 % interval {decimal(area.low)} to {decimal(area.high)}"
    return f"{title(probe.name)} (AUROC {decimal(area.value)}, {bounds})"


def _against_shortcuts(subject: Subject, found: Sequence[Probe]) -> str:
    """What to do about the shortcuts that were found."""
    names = {probe.name.partition("/")[0] for probe in found if not (probe.excused and probe.name in ENDS)}
    repeats = subject.kind == "repeats"
    advice = []
    if names & {"length", "gc", "length_gc", "tokens"}:
        advice.append(
            f"{subject.key('balance.match')}: [length, gc] with a lower {subject.key('balance.gc_tolerance')} matches the classes"
            if repeats
            else "match the classes of the table by length and GC"
        )
    if names & ENDS:
        advice.append(
            f"a {subject.key('flank')} above 0 hides where an array begins and ends"
            if repeats
            else "cut the sequences of all classes in the same way, without adapters or sites"
        )
    if names & {"case", "ambiguity"}:
        advice.append(
            f"give `interspersed` negatives a weight in {subject.key('negatives')}"
            if repeats
            else "take the classes from sequence of one quality, or leave out records with letters other than ACGT"
        )
    if "periodicity" in names:
        advice.append(
            f"compare with the baseline `periodicity`; {subject.key('negatives')}: shuffled is harder"
            if repeats
            else "ask whether one class is merely repetitive; if so, sample the other one alike"
        )
    return sentence(advice)
