"""Checks of the output of `compare_splits.py`: duplicates, leaks between splits, conflicting labels."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from dnalm.evaluation.audit.checks import Check, Subject, above, check, sentence
from dnalm.evaluation.report.text import percent, plural
from dnalm.names import SCORED_SPLITS, SPLITS

OF_REPEATS = ("locus_overlap", "motif_families")
OF_NEGATIVES = ("negatives_in_catalogue", "negatives_called_by_trf")
"""Checks for data sets of tandem repeats only."""


def duplicates(subject: Subject, facts: Mapping[str, Any]) -> Check:
    """Records that repeat an earlier one of their split, on either strand."""
    fractions, words = {}, []
    for split in SPLITS:
        within, records = facts["within"][split], facts["splits"][split]["records"]
        repeated = within["exact"] + within["reverse_complement"]
        fractions[split] = repeated / records if records else 0.0
        if repeated:
            strand = within["reverse_complement"]
            words.append(
                f"{repeated:,} of {records:,} in {split}" + (f" ({strand:,} as reverse complements)" if strand else "")
            )
    value, limit = max(fractions.values()), subject.limits["duplicates"]
    found = (
        f"Records that repeat an earlier one: {'; '.join(words)}."
        if words
        else "No record repeats another one of its split."
    )
    fix = (
        f"{subject.key('deduplicate')}: true keeps one of several identical arrays."
        if subject.kind == "repeats"
        else "Remove repeated sequences, on either strand, from the table."
    )
    why = "Duplicates are weighted more, in training and in every score: a few sequences may dominate."
    return check(
        "duplicates", "Duplicates within a split", above(value, limit), found, why, fix, value, limit,
        within={split: dict(facts["within"][split]) for split in SPLITS},
    )  # fmt: skip


def shared_sequences(subject: Subject, facts: Mapping[str, Any]) -> Check:
    """Sequences of one split that occur in another, as they are or as their reverse complement."""
    fractions, words, details = [0.0], [], {}
    for pair, (left, right) in _pairs():
        found = facts["across"][pair]
        exact, turned = found["exact"], found["reverse_complement"]
        details[pair] = {"exact": exact, "reverse_complement": turned}
        if exact + turned:
            more = f" and {turned:,} more as reverse complements" if turned else ""
            words.append(f"{exact:,} in both {left} and {right}{more}")
        sizes = [facts["splits"][split]["sequences"] for split in (left, right) if split in SCORED_SPLITS]
        fractions += [(exact + turned) / size for size in sizes if size]
    text = (
        f"Sequences in two splits: {'; '.join(words)}."
        if words
        else "No sequence occurs in two splits, on either strand."
    )
    value, limit = max(fractions), subject.limits["leaked"]
    why = "Sequences seen in training, or when settings were chosen, are scored again: memory counts as skill."
    return check(
        "shared_sequences", "Sequences shared by splits", above(value, limit), text, why, subject.grouping,
        value, limit, across=details, examples=_examples(facts, "exact", "reverse_complement"),
    )  # fmt: skip


_RELATIVES = {
    "near_duplicates": (
        "near", "Similar sequences across splits", "a similar sequence",
        "A relative of a training record can be answered from memory; scores say little about new sequences.",
    ),
    "locus_overlap": (
        "locus", "Loci shared by splits", "an overlapping locus",
        "Overlapping records share bases, so one memorised in training answers the other.",
    ),
    "motif_families": (
        "motif_family", "Motif families shared by splits", "the same motif family",
        "Arrays of one family repeat the same unit: a model can memorise the unit without learning what a repeat is.",
    ),
    "given_groups": (
        "given_group", "Groups of the table shared by splits", "a record of the same group",
        "The table says that these records belong together; a model can recognise one by the other.",
    ),
}  # fmt: skip


def relatives(name: str, subject: Subject, facts: Mapping[str, Any]) -> Check | None:
    """Records with a relative in another split; None if that relation was not searched for.

    name: near_duplicates, given_groups, locus_overlap or motif_families.
    """
    fact, heading, relation, why = _RELATIVES[name]
    fractions, words, details = [0.0], [], {}
    for pair, (left, right) in _pairs():
        found = facts["across"][pair].get(fact)
        if found is None:
            return None
        details[pair] = dict(found)
        for split, other, number in ((right, left, found["records_right"]), (left, right, found["records_left"])):
            records = facts["splits"][split]["records"]
            if split in SCORED_SPLITS and records and number:
                fractions.append(number / records)
                words.append(
                    f"{number:,} of {records:,} {split} records ({percent(number, records)}) have {relation} in {other}"
                )
    if not any(found.get("located_left", 1) + found.get("located_right", 1) for found in details.values()):
        return None  # no record has coordinates
    text = sentence(words) or f"No record of test or validation has {relation} in another split."
    rest = (
        "If that is set already, this relation is wider than that of its groups (see the definition);"
        f" {subject.key('audit.leaked')} can allow a few."
    )
    more = {"definition": facts["definitions"].get(fact, ""), "examples": _examples(facts, fact)}
    if fact == "near":
        more["within"] = {split: facts["within"][split]["near"] for split in SPLITS}
    value, limit = max(fractions), subject.limits["leaked"]
    return check(
        name, heading, above(value, limit), text, why, f"{subject.grouping} {rest}", value, limit,
        across=details, **more,
    )  # fmt: skip


def _examples(facts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Example pairs of ids, by relation and pair of splits."""
    return {
        key: pairs
        for key, pairs in sorted(facts["examples"].items())
        if any(key == f"{name} {pair}" for name in names for pair, _ in _pairs())
    }


def _pairs() -> list[tuple[str, tuple[str, str]]]:
    return [(f"{left}/{right}", (left, right)) for left, right in combinations(SPLITS, 2)]


def conflicting_labels(subject: Subject, facts: Mapping[str, Any]) -> Check:
    """The same or similar sequences with several labels."""
    found = facts["conflicting_labels"]
    same, near = found["same"], found["near"]
    records = sum(facts["splits"][split]["records"] for split in SPLITS)
    conflicts = same["records"] + near["records"]
    value, limit = conflicts / records if records else 0.0, subject.limits["duplicates"]
    words = []
    if same["records"]:
        words.append(
            f"{plural(same['sequences'], 'sequence')} ({plural(same['records'], 'record')}) with more than one label,"
            " on either strand"
        )
    if near["records"]:
        words.append(
            f"{plural(near['records'], 'record')} ({percent(near['records'], records)}) similar to a record with"
            f" another label, of {near['with_relatives']:,} that have a similar sequence at all"
        )
    text = sentence(words) or "No sequence has two labels, nor have similar ones."
    status = "fail" if value > limit else "warn" if words else "pass"
    fix = (
        f"{subject.key('mask.catalogues')}: name every catalogue of repeats, so that no negative is cut from one."
        if subject.kind == "repeats"
        else "Decide on one label for each of these sequences in the table, or leave them out; negatives cut from"
        " positives make a task of their own (which part of a sequence it is), and should be described as such."
    )
    why = (
        "No model can be right about both records of one sequence. Similar records with different labels turn what was"
        " learnt in training into errors, or show that one class was cut from the other."
    )
    return check(
        "conflicting_labels", "Conflicting labels", status, text, why, fix, value, limit,
        same=dict(same), near=dict(near), examples=found["examples"],
    )  # fmt: skip


_CALLERS = {
    "negatives_in_catalogue": ("in_catalogue", "Negatives in a catalogue", "overlap an interval of a catalogue"),
    "negatives_called_by_trf": (
        "called_by_trf",
        "Negatives called by TRF",
        "hold a repeat that Tandem Repeats Finder calls",
    ),
}


def negatives(name: str, subject: Subject, facts: Mapping[str, Any]) -> Check:
    """Negatives that may be positives. name: negatives_in_catalogue or negatives_called_by_trf."""
    fact, heading, what = _CALLERS[name]
    found, total, limit = facts["negatives"][fact], facts["negatives"]["n"], subject.limits["negatives_called"]
    why = "A repeat among the negatives is a wrong label: it lowers the score of a good model and misleads training."
    by_catalogue = name == "negatives_in_catalogue"
    if found is None:
        unknown = "no catalogue lies on this genome" if by_catalogue else "trf is not installed"
        fix = (
            f"{subject.key('mask.catalogues')}: name a catalogue that lies on the genome, such as one with `find: trf`."
            if by_catalogue
            else "Install trf (conda: bioconda::trf, Debian: trf) and run again with `--forcerun call_repeats`."
        )
        return check(name, heading, "warn", f"Not checked: {unknown}.", why, fix, None, limit)
    number = found["number"]
    value = number / total if total else 0.0
    sources = [f"{source} {percent(part['number'], part['of'])}" for source, part in sorted(found["by_source"].items())]
    text = f"{number:,} of {total:,} negatives ({percent(number, total)}) {what}" + (
        f" ({', '.join(sources)})." if number and len(sources) > 1 else "."
    )
    fix = (
        f"{subject.key('mask.catalogues')}: name every catalogue of repeats that lies on the genome."
        if by_catalogue
        else f"{subject.key('balance.exclude_trf')}: true leaves them out with their positives; a catalogue with"
        f" `find: trf` in {subject.key('mask.catalogues')} keeps them out of windows; shuffles of simple arrays stay"
        " repetitive."
    )
    return check(name, heading, above(value, limit), text, why, fix, value, limit, by_source=dict(found["by_source"]))
