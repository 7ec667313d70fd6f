"""A table of sequences as a corpus: read in batches, checked, filtered and divided."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tqdm import tqdm

from dnalm.config.stages.data import WindowCorpusSettings
from dnalm.data.corpus_manifest import Tally, manifest
from dnalm.data.corpus_splits import OVER, make_plan
from dnalm.data.labelled_tables import column_of
from dnalm.data.table_formats import GivenTable, line_of
from dnalm.data.windows import SOFT, UNKNOWN
from dnalm.errors import UserError
from dnalm.files import atomic, user_table_batches
from dnalm.names import SPLITS
from dnalm.sequence.alphabet import IUPAC, reverse_complement
from dnalm.tables.corpora import SCHEMA, CorpusWriter
from dnalm.tables.ledger import entry
from dnalm.tables.sequences import TABLE

_LOWER = re.compile("[a-z]+")


def divide_table(path: Path, settings: WindowCorpusSettings, places: Mapping[str, Path]) -> dict[str, Any]:
    """Write the sequences of a table as three corpus tables, in its order, and return the manifest.

    places: the file of each split. Raises `UserError` naming file and line for what is no nucleotide sequence, and if
    no sequence is left or a split would be empty.
    """
    caps = {**settings.caps}
    if settings.both_strands and caps["train"] is not None:
        caps["train"] //= 2  # each sequence is two records
    lengths, reasons = _examine(path, settings)
    kept = lengths > 0
    if kept.sum() < len(SPLITS):
        told = "; ".join(f"{number:,} {reason}" for reason, number in reasons.most_common() if number)
        raise UserError(
            f"{path}: {int(kept.sum())} of {len(kept):,} sequences are left{f' ({told})' if told else ''}, and each "
            f"of the {len(SPLITS)} splits needs one"
        )
    plan = make_plan(kept.astype(np.int64), lengths, None, settings.split, caps)
    codes = np.where(kept, plan.counts.argmax(axis=1), OVER + 1)
    tallies = {split: Tally() for split in SPLITS}
    with ExitStack() as stack:
        writers = [stack.enter_context(CorpusWriter(stack.enter_context(atomic(places[split])))) for split in SPLITS]
        for first, given in _batches(path, settings.sequence_column, "write"):
            for code, split in enumerate(SPLITS):
                chosen = np.flatnonzero(codes[first : first + len(given)] == code).tolist()
                both = settings.both_strands and split == "train"
                rows = _rows([(first + row, given[row]) for row in chosen], both)
                writers[code].add(rows)
                tallies[split].add(rows)
    reasons["max_records"] = int((codes == OVER).sum())
    left = int((codes < OVER).sum())
    lines = [entry("window_corpus", TABLE, len(kept), left, reasons)]
    if settings.both_strands:
        turned = tallies["train"].turned[TABLE]
        lines.append(entry("reverse_complement", TABLE, turned, turned, {}))
    return manifest(lines, tallies, plan.counts[:, :OVER], settings)


def _batches(path: Path, column: str, what: str) -> Iterator[tuple[int, list[str]]]:
    """The sequences of a table, stripped of blanks, case kept; with the number of the first of each batch, from 0."""
    first = 0
    with tqdm(desc=what, unit=" sequences", unit_scale=True, mininterval=2) as bar:
        for rows in user_table_batches(path, column):
            given = column_of(GivenTable(TABLE, path, rows), column).str.strip().tolist()
            yield first, given
            first += len(given)
            bar.update(len(given))


def _examine(path: Path, settings: WindowCorpusSettings) -> tuple[NDArray[np.int64], Counter[str]]:
    """The length of each sequence, 0 for one that is dropped, and how many are dropped for which reason."""
    lengths: list[int] = []
    reasons: Counter[str] = Counter()
    known, letters = re.compile(f"[{IUPAC}{IUPAC.lower()}]+"), re.compile("[^ACGTacgt]")
    for first, given in _batches(path, settings.sequence_column, "read"):
        for row, sequence in enumerate(given, first):
            if not known.fullmatch(sequence):
                wrong = known.sub("", sequence)[:1]
                what = f"'{wrong}' is no nucleotide (IUPAC letters only: {IUPAC})" if sequence else "empty sequence"
                raise UserError(f"{line_of(path, row)}: {what}")
            length = len(sequence)
            lower = sum(map(len, _LOWER.findall(sequence)))
            if len(letters.findall(sequence)) > settings.max_unknown * length:
                reasons[UNKNOWN] += 1
                length = 0
            elif lower > settings.max_soft_masked * length:
                reasons[SOFT] += 1
                length = 0
            lengths.append(length)
    return np.array(lengths, np.int64), reasons


def _rows(chosen: list[tuple[int, str]], both: bool) -> pa.Table:
    """Rows of a corpus table from numbered sequences; both: each followed by its reverse complement."""
    strands = ("+", "-") if both else ("+",)
    each = [(number, given, strand) for number, given in chosen for strand in strands]
    turned = [reverse_complement(given) if strand == "-" else given for _, given, strand in each]
    columns = {
        "id": [f"table-{number + 1:06d}{':-' if strand == '-' else ''}" for number, _, strand in each],
        "sequence": [sequence.upper() for sequence in turned],
        "group": [f"table-{number + 1:06d}" for number, *_ in each],
        "source": [TABLE] * len(each),
        **{name: [None] * len(each) for name in ("chrom", "start", "end")},
        "strand": [strand for *_, strand in each] if both else [None] * len(each),
        "soft_masked": [[at for run in _LOWER.finditer(sequence) for at in run.span()] for sequence in turned],
    }
    return pa.table(columns, schema=SCHEMA)
