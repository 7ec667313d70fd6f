"""A data set's manifest as tables and sentences, and cautions about its scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dnalm.evaluation.report.results import Dataset
from dnalm.evaluation.report.text import count, decimal, listed, plural, significant, spanned
from dnalm.names import SPLITS
from dnalm.tables.predictions import ClassPredictions

STAGES = {
    "import": "Import",
    "extract": "Extract positives",
    "place_catalogue": "Find its arrays on the genome",
    "split": "Cut the masked genome into pieces",
    "balance": "Balance the classes",
    "split_labels": "Divide into splits",
}
_COMPARED = {
    "gc": ("GC fraction", 3),
    "length": ("length in bp", 0),
    "motif_length": ("motif length in bp", 0),
    "copies": ("number of copies", 1),
    "divergence": ("divergence", 3),
}
DIFFERENT = 0.2
"""Kolmogorov-Smirnov statistic above which dropped records are reported as different from kept ones."""
MANY = 0.05
"""Fraction of dropped positives above which differences are reported."""
_SPLITTING = {
    "grouped": "related records stay in one split",
    "random": "records divided at random",
    "chromosome": "divided by chromosome",
    "stretch": "divided by stretch of the genome",
}
_OVERLONG = {"window": "cut into windows, scores averaged", "truncate": "cut off", "drop": "left out"}


@dataclass(frozen=True)
class Column:
    """A column of a table; text columns are left-aligned and wrap."""

    name: str
    is_text: bool = False


@dataclass(frozen=True)
class Table:
    """A table for a template; the first cell of a row is its header. remarks: (row, remark)."""

    title: str
    note: str
    columns: list[Column]
    rows: list[list[str]]
    remarks: Sequence[tuple[str, str]] = ()


def label_names(dataset: Dataset) -> list[str]:
    """A name for each class: the manifest's, or `label 0` ... if it has numbers only. Empty for regression."""
    named = dataset.manifest["labels"]
    scored = [run.predictions["test"] for _, run in dataset.members]
    classes = max([len(named), *(one.classes for one in scored if isinstance(one, ClassPredictions))])
    names = [named.get(str(k), str(k)) for k in range(classes)]
    return [f"label {name}" if name == str(k) else name for k, name in enumerate(names)]


def about(dataset: Dataset) -> str:
    """One sentence that describes the data set."""
    config = dataset.config
    records = sum(split["records"] for split in dataset.manifest["splits"].values())
    if config["kind"] == "repeats":
        sources = listed([source for source, weight in sorted(config["negatives"].items()) if weight])
        match = (
            listed(["GC" if what == "gc" else what for what in config["balance"]["match"]])
            if config["balance"]["match"]
            else ""
        )
        what = f"Tandem repeats of {config['catalogue']} against {sources} sequence of {config['genome']}, "
        what += f"matched by {match}" if match else "unmatched in length and GC"
    elif dataset.is_corpus:
        bases = sum(split["bases"] for split in dataset.manifest["splits"].values())
        genome = config.get("genome")
        source = listed([genome] if isinstance(genome, str) else genome) if genome else "a table"
        what = f"Unlabelled sequence of {source}, {bases:,} bases" + (
            f" in windows of {config['window']:,}" if genome else ""
        )
    elif target := config.get("target_column"):
        what = f"Table with a number to predict, {target}"
    else:
        what = f"Labelled table with {plural(len(dataset.manifest['labels']), 'class')}"
    splitting = _SPLITTING[config["split"]["method"]] if not config.get("train") else "splits as published"
    return f"{what}; {plural(records, 'record')}, {splitting}."


def cautions(dataset: Dataset) -> list[str]:
    """Cautions about the scores beside the audit: dropped records, and differences between the runs."""
    result = _selection(dataset)
    sizes = sorted({run.metrics["n"] for _, run in dataset.members})
    if len(sizes) > 1:
        result.append(
            f"The runs were not scored on the same test records ({sizes[0]:,} to {sizes[-1]:,} of them):"
            " compare with care."
        )
    for group in dataset.models:
        run = group.runs[0]
        counts = run.record.get("counts", {}).values()
        total, overlong, unknown = (
            sum(part.get(key, 0) for part in counts) for key in ("records", "overlong", "unknown_tokens")
        )
        mode = run.record["spec"]["recipe"]["overlong"]
        if overlong > (total / 100 if mode == "window" else 0):
            result.append(
                f"{group.name}: {overlong:,} of {total:,} train and validation records exceed its limit of"
                f" {run.record['max_tokens']:,} tokens ({_OVERLONG[mode]})."
            )
        if unknown:
            result.append(
                f"{group.name}: its tokenizer does not know {plural(unknown, 'token')} of train and validation."
            )
    return result


def _selection(dataset: Dataset) -> list[str]:
    """How dropped positives differ from kept ones, if many were dropped and they differ."""
    compared = dataset.manifest.get("kept_vs_dropped") or {}
    differences, kept, dropped = [], 0, 0
    for name, (title, places) in _COMPARED.items():
        if (part := compared.get(name)) and part["ks"] is not None and part["ks"] > DIFFERENT:
            kept, dropped = part["kept"]["n"], part["dropped"]["n"]
            medians = [decimal(part[side]["median"], places) for side in ("kept", "dropped")]
            differences.append(f"median {title} {medians[1]} against {medians[0]}")
    if dropped <= MANY * (kept + dropped):
        return []
    return [
        f"{plural(dropped, 'positive')} found no matching negative and were dropped; they differ from the {kept:,} kept"
        f" ({', '.join(differences)}), so the scores say little about such arrays."
    ]


def tables(dataset: Dataset) -> list[Table]:
    """The data as tables, without empty ones."""
    truth = _targets(dataset) if dataset.manifest["splits"]["test"].get("targets") else _splits(dataset)
    made = [truth, _composition(dataset), _checks(dataset), _ledger(dataset), _comparison(dataset)]
    return [table for table in made if table.rows]


def hashes(dataset: Dataset) -> list[tuple[str, str]]:
    """(split, SHA-256 of its table)."""
    return [(split, dataset.manifest["splits"][split]["sha256"]) for split in SPLITS]


def _splits(dataset: Dataset) -> Table:
    names = label_names(dataset)
    rows = []
    for split in SPLITS:
        facts = dataset.manifest["splits"][split]
        numbers = [facts["labels"].get(str(label), 0) for label in range(len(names))]
        if dataset.is_corpus:
            numbers = [facts["bases"], facts["soft_masked_bases"]]
        rows.append([split, *map(count, numbers), count(facts["records"]), count(facts["groups"])])
    names = ["Bases", "soft-masked"] if dataset.is_corpus else names
    columns = [Column("Split"), *map(Column, names), Column("All records"), Column("Groups")]
    return Table("Splits", "", columns, rows)


def _targets(dataset: Dataset) -> Table:
    rows = []
    for split in SPLITS:
        facts = dataset.manifest["splits"][split]
        summary = facts["targets"]
        numbers = [
            significant(summary["mean"]),
            significant(summary["sd"]),
            significant(summary["median"]),
            spanned(summary["quartile_1"], summary["quartile_3"]),
            spanned(summary["minimum"], summary["maximum"]),
            count(summary["distinct"]),
        ]
        rows.append([split, count(facts["records"]), count(facts["groups"]), *numbers])
    names = ["Split", "Records", "Groups", "Mean target", "SD", "Median", "quartiles", "range", "different"]
    return Table("Splits", "", list(map(Column, names)), rows)


def _composition(dataset: Dataset) -> Table:
    rows = []
    with_targets = dataset.is_corpus or bool(dataset.manifest["splits"]["test"].get("targets"))
    kinds = {"all": ""} if with_targets else {str(k): f"{name}, " for k, name in enumerate(label_names(dataset))}
    for key, name in kinds.items():
        for split in SPLITS:
            facts = dataset.manifest["splits"][split]
            if length := facts["length"].get(key):
                rows.append([f"{name}{split}", *_spread(length, 0), *_spread(facts["gc"][key], 3)])
    columns = [
        Column("Split" if with_targets else "Label, split"),
        Column("Length, bp"),
        Column("quartiles"),
        Column("GC fraction"),
        Column("quartiles"),
    ]
    note = "Medians, and lower to upper quartiles."
    if not with_targets:
        note += " Classes that differ here can be told apart without reading a motif."
    return Table("Length and GC", note, columns, rows)


def _spread(summary: dict[str, Any], places: int) -> list[str]:
    """Median, and quartiles, of a distribution."""
    low, high = decimal(summary["quartile_1"], places), decimal(summary["quartile_3"], places)
    return [decimal(summary["median"], places), f"{low} to {high}"]


def _checks(dataset: Dataset) -> Table:
    manifest = dataset.manifest
    groups = manifest["groups"]
    share = f"{100 * groups['largest_fraction']:.1f} %"
    rows = [
        ["Groups of related records", f"{groups['number']:,}; the largest has {groups['largest']:,} records ({share})"],
        ["Groups that lie in several splits", count(groups["in_several_splits"])],
    ]
    shared = [
        f"{' and '.join(pair.split('/'))} {number:,}"
        for pair, number in sorted(manifest.get("shared_sequences", {}).items())
    ]
    if shared:
        rows.append(["Sequences that two splits share", "; ".join(shared)])
    if inferred := groups.get("motifs_inferred"):
        rows.append(["Motifs inferred from the array", f"{inferred:,}: the catalogue names none for them"])
    if missing := groups.get("motifs_missing"):
        rows.append(["Arrays without a motif", f"{missing:,}; no motif family keeps them in one split"])
    for name, facts in (manifest.get("placed") or {}).items():
        several = f"{facts['at_several_places']:,} of them at several places"
        masked = f"{facts['places']:,} places with {facts['bases']:,} bases are masked"
        rows.append([f"Arrays of {name} found on the genome", f"{facts['arrays']:,}, {several}; {masked}"])
    rows.append(["Records are related by", "; ".join(groups["definition"])])
    return Table("Independence of the splits", "", [Column("Check"), Column("Found", True)], rows)


def _ledger(dataset: Dataset) -> Table:
    rows = [
        [
            STAGES.get(line["stage"], line["stage"].replace("_", " ").capitalize()),
            line["source"],
            count(line["in"]),
            count(line["kept"]),
            "; ".join(f"{count(number)} {reason}" for reason, number in sorted(line["dropped"].items())),
        ]
        for line in dataset.manifest["ledger"]
    ]
    columns = [
        Column("Stage"),
        Column("Source", True),
        Column("In"),
        Column("Kept"),
        Column("Dropped, by reason", True),
    ]
    return Table("Ledger", "In every line, in = kept + dropped.", columns, rows)


def _comparison(dataset: Dataset) -> Table:
    rows = []
    for name, (title, places) in _COMPARED.items():
        compared = (dataset.manifest.get("kept_vs_dropped") or {}).get(name)
        if compared and compared["dropped"]["n"]:
            sides = [*_spread(compared["kept"], places), *_spread(compared["dropped"], places)]
            rows.append([title[0].upper() + title[1:], *sides, decimal(compared["ks"])])
    columns = [
        Column("Of the arrays"),
        Column("Kept: median"),
        Column("quartiles"),
        Column("Dropped: median"),
        Column("quartiles"),
        Column("KS"),
    ]
    note = (
        "Positives without a matching negative are dropped. KS: largest distance between the two distributions, 0 to 1."
    )
    return Table("Kept against dropped positives", note, columns, rows)
