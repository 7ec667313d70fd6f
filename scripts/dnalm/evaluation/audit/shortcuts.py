"""The shortcut probes as one check."""

from collections.abc import Sequence

from dnalm.evaluation.audit.checks import Check, Subject, check, sentence, worst
from dnalm.evaluation.audit.measures import MEASURES, Measure
from dnalm.evaluation.audit.probes import Probe
from dnalm.evaluation.audit.properties import CONTROL_OF, title
from dnalm.evaluation.report.text import decimal, listed
from dnalm.names import TARGET


def shortcuts(subject: Subject, probes: Sequence[Probe], case_kept: bool) -> Check:
    """All probes in one entry: the most severe status, and the names of those that fail or warn."""
    measure = MEASURES[subject.truth]
    judged = [probe for probe in probes if probe.found.low is not None]
    failed = [probe for probe in probes if probe.status == "fail"]
    warned = [probe for probe in probes if probe.status == "warn"]
    words = []
    if failed:
        words.append(measure.summary.format(listed([_described(probe, measure) for probe in failed])))
    if warned:
        words.append(f"Weaker signals: {listed([_described(probe, measure) for probe in warned])}")
    if not judged:
        words.append("There are too few groups of records to assess any shortcut")
    text = f"{'. '.join(words)}." if words else measure.clean
    strongest = max(
        (probe for probe in judged if not probe.excused), key=lambda probe: probe.found.low or 0.0, default=None
    )
    notes = {} if case_kept else {"case": "not checked: the tables, and so the models' inputs, are upper case only"}
    return check(
        "shortcuts", "Shortcuts", worst([probe.status for probe in probes] + ["warn"] * (not judged)), text,
        "A model can use such a property instead of the biology: a high score may come from it alone.",
        _against_shortcuts(subject, failed or warned),
        strongest.found.low if strongest else None, subject.limits[measure.limit],
        judged=strongest.name if strongest else None, not_looked_at=notes,
    )  # fmt: skip


def _described(probe: Probe, measure: Measure) -> str:
    found = probe.found
    if found.value is None:
        return f"{title(probe.name)} (not measured)"
    bounds = "no interval" if found.low is None else f"95 % interval {decimal(found.low)} to {decimal(found.high)}"
    return f"{title(probe.name)} ({measure.title} {decimal(found.value)}, {bounds})"


_COMPOSITION = frozenset({"length", "gc", "length_gc", "tokens"})
_PARITY = frozenset({"length_parity"})
_DETAILED = frozenset({"dinucleotide_entropy", "gc_skew", "homopolymer", "kmers"})
_PLACES = frozenset(CONTROL_OF)
_LETTERS = frozenset({"case", "ambiguity"})
_PERIODICITY = frozenset({"periodicity"})


def _against_shortcuts(subject: Subject, found: Sequence[Probe]) -> str:
    """Advice against the shortcuts that were found."""
    names = {probe.name.partition("/")[0] for probe in found if not (probe.excused and probe.name in _PLACES)}
    return sentence([advice for shortcuts, advice in _advice(subject) if names & shortcuts])


def _advice(subject: Subject) -> list[tuple[frozenset[str], str]]:
    """(Names of shortcuts, advice against them)."""
    return [
        *_by_kind(subject),
        (_PARITY, "cut all sequences to lengths drawn in the same way (whole codons in one class, say, tell it)"),
        (_DETAILED, "compare with the baselines `kmer` and `boosting`: only what a model adds to them counts"),
    ]


def _by_kind(subject: Subject) -> list[tuple[frozenset[str], str]]:
    if subject.kind == "repeats":
        matching = f"{subject.key('balance.match')}: [length, gc] with a lower {subject.key('balance.gc_tolerance')}"
        return [
            (_COMPOSITION, f"{matching} matches the classes"),
            (_PLACES, f"a {subject.key('flank')} above 0 hides where an array begins and ends"),
            (_LETTERS, f"give `interspersed` negatives a weight in {subject.key('negatives')}"),
            (_PERIODICITY, f"compare with the baseline `periodicity`; {subject.key('negatives')}: shuffled is harder"),
        ]
    if subject.truth == TARGET:
        return [
            (
                _COMPOSITION,
                "unless the model should learn length or GC, choose records whose targets do not correlate with it;"
                " compare with the baseline `length_gc`",
            ),
            (
                _PLACES,
                "unless the model should learn what lies at these places, cut all sequences in the same way, without"
                " adapters or restriction sites",
            ),
            (
                _LETTERS,
                "take all records from sequence of one quality, or leave out those with letters other than ACGT",
            ),
            (
                _PERIODICITY,
                "compare with the baseline `periodicity`: the target correlates with how repetitive a sequence is",
            ),
        ]
    return [
        (_COMPOSITION, "match the classes of the table by length and GC"),
        (
            _PLACES,
            "cut the sequences of all classes in the same way, without adapters or restriction sites, unless they are"
            " centred on what is to be learnt (a start of transcription, a splice site)",
        ),
        (
            _LETTERS,
            "take the classes from sequence of one quality, or leave out records with letters other than ACGT",
        ),
        (_PERIODICITY, "check whether one class is merely repetitive; if so, sample the other one in the same way"),
    ]
