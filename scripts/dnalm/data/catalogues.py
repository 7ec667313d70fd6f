"""Catalogues of tandem repeats: one table from any format, checked against their genome."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from dnalm.data.catalogue_formats import Repeat, read_catalogue
from dnalm.data.genomes import chromosome_lengths, open_genome
from dnalm.errors import UserError
from dnalm.sequence.kmers import OTHER, encode

COLUMNS = (
    "id", "chrom", "start", "end", "sequence", "motif", "motif_length", "copies", "divergence", "filter",
)  # fmt: skip

TOLERANCE = 0.01
"""Fraction of records that may disagree with the genome; above it, the genome must be another assembly."""

_TYPES = {
    "id": "str", "chrom": "str", "start": "Int64", "end": "Int64", "sequence": "str", "motif": "str",
    "motif_length": "Int64", "copies": "float64", "divergence": "float64", "filter": "str",
}  # fmt: skip


class Record(NamedTuple):
    """A repeat, and the file and line it comes from."""

    path: Path
    line: int
    repeat: Repeat


class Imported(NamedTuple):
    """A catalogue's table (columns `COLUMNS`), records read, records dropped by reason, and other counts."""

    table: pd.DataFrame
    read: int
    dropped: dict[str, int]
    counts: dict[str, int]


def import_catalogue(
    files: Sequence[Path], layout: str, filters: Sequence[str] | None, genome: Path | None
) -> Imported:
    """Read catalogue files (of one format) into one table.

    `filters` are the values of FILTER to keep. Records are sorted along the genome; without a genome they keep the
    files' order. Ids are the records' names, or else `chrom:start-end`; a repeated id gets `#2`, `#3` ... Duplicates
    are kept. `counts`: records with the sequence or interval of an earlier one, and records compared with the genome.
    Raises `UserError`: no record; none left; names, positions or sequences that are not the genome's.
    """
    with tqdm(unit="record", desc="import", mininterval=1) as bar:
        records = []
        for path in files:
            for line, repeat in read_catalogue(path, layout):
                records.append(Record(path, line, repeat))
                bar.update()
    read = len(records)
    if not records:
        raise UserError(f"{files[0]}: no record in the catalogue")
    dropped: Counter[str] = Counter()
    counts: dict[str, int] = {}
    if filters is not None:
        records = _filter(records, set(filters), dropped)
    if genome is not None and records:
        records, counts = _locate(records, genome, dropped)
    if not records:
        reasons = ", ".join(f"{count:,}: {reason}" for reason, count in sorted(dropped.items()) if count)
        raise UserError(f"{files[0]}: none of {read:,} records is left ({reasons})")
    table = pd.DataFrame([record.repeat for record in records], columns=Repeat._fields)
    table["id"] = _ids(table)
    counts["duplicate_intervals"] = int(table.duplicated(["chrom", "start", "end"]).sum())
    counts["duplicate_sequences"] = int(table["sequence"].dropna().duplicated().sum())
    return Imported(catalogue_table(table), read, dict(dropped), counts)


def catalogue_table(records: pd.DataFrame | Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A catalogue's table (columns `COLUMNS`) from some of its columns; the others are missing."""
    return pd.DataFrame(records).reindex(columns=COLUMNS).astype(_TYPES)


def _filter(records: list[Record], filters: set[str], dropped: Counter[str]) -> list[Record]:
    kept = []
    for record in records:
        status = record.repeat.filter or "."
        if set(status.split(";")) <= filters:
            kept.append(record)
        else:
            dropped[f"FILTER is {status}"] += 1
    return kept


def _ids(table: pd.DataFrame) -> "pd.Series[str]":
    locus = table["chrom"] + ":" + table["start"].astype(str) + "-" + table["end"].astype(str)
    ids = table["name"].where(table["name"].notna(), locus).astype(str)
    earlier = ids.groupby(ids).cumcount()
    return ids.where(earlier == 0, ids + "#" + (earlier + 1).astype(str))


def _locate(records: list[Record], path: Path, dropped: Counter[str]) -> tuple[list[Record], dict[str, int]]:
    """Sort along the genome; drop records on unknown chromosomes or of another sequence; refuse another assembly."""
    with open_genome(path) as genome:
        lengths = chromosome_lengths(genome)
        rank = {name: index for index, name in enumerate(lengths)}
        known = [record for record in records if record.repeat.chrom in rank]
        if not known:
            raise UserError(_names_differ(records, path, lengths))
        dropped["chromosome not in the genome"] = len(records) - len(known)
        known.sort(key=lambda record: (rank[record.repeat.chrom], record.repeat.start, record.repeat.end))
        outside = [record for record in known if record.repeat.end > lengths[record.repeat.chrom]]
        matches = [_matches(record.repeat, lengths, genome) for record in known]
    differing = [record for record, match in zip(known, matches, strict=True) if match is False]
    if len(differing) > TOLERANCE * len(known):
        raise UserError(_other_assembly(known, differing, outside, path))
    if outside:
        first, *_ = outside
        raise UserError(
            f"{first.path}, line {first.line}: the interval ends at {first.repeat.end:,}, past the end of "
            f"{first.repeat.chrom} ({lengths[first.repeat.chrom]:,} bases in {path}), and {len(outside):,} of "
            f"{len(known):,} records do; is it another assembly?"
        )
    dropped["sequence differs from the genome"] = len(differing)
    kept = [record for record, match in zip(known, matches, strict=True) if match is not False]
    return kept, {"compared_with_genome": sum(match is not None for match in matches)}


def _matches(repeat: Repeat, lengths: dict[str, int], genome: Any) -> bool | None:
    """Whether a record's sequence equals the genome's where both are A, C, G or T; None if nothing can be compared."""
    if repeat.sequence is None:
        return None
    if repeat.end > lengths[repeat.chrom]:
        return False
    there = genome.fetch(repeat.chrom, repeat.start, repeat.end).upper()
    if repeat.sequence == there:
        return True
    if len(repeat.sequence) != len(there):
        return False
    own, genomic = (encode([text])[0] for text in (repeat.sequence, there))
    certain = (own < OTHER) & (genomic < OTHER)
    return bool((own == genomic)[certain].all()) if certain.any() else None


def _other_assembly(known: list[Record], differing: list[Record], outside: list[Record], path: Path) -> str:
    examples = ", ".join(f"line {r.line} at {r.repeat.chrom}:{r.repeat.start + 1:,}" for r in differing[:3])
    return (
        f"{known[0].path}: wrong assembly? {len(differing):,} of {len(known):,} records disagree with {path} "
        f"({len(outside):,} lie past a chromosome's end, {len(differing) - len(outside):,} have another sequence; "
        f"e.g. {examples}); give the genome they were called on, or none to use their sequences alone"
    )


def _names_differ(records: list[Record], path: Path, lengths: dict[str, int]) -> str:
    there = list(dict.fromkeys(record.repeat.chrom for record in records))
    hint = ""
    for name in there:
        other = name.removeprefix("chr") if name.startswith("chr") else f"chr{name}"
        if other in lengths:
            hint = f"; '{name}' is called '{other}' there: rename the chromosomes of one of the two"
            break
    shown, known = (", ".join(some[:3]) + (", ..." if len(some) > 3 else "") for some in (there, list(lengths)))
    return f"{records[0].path}: none of its chromosomes ({shown}) is in {path} ({known}){hint}"
