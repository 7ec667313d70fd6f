"""Tables in the formats that users have: CSV, TSV, parquet, JSON Lines and labelled FASTA, all of their values as text.

The suffix tells the format; any text format may be gzipped (`.gz`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from dnalm.errors import UserError
from dnalm.files import open_text, read_user_table
from dnalm.sequence.fasta import read_fasta

FASTA = frozenset({".fa", ".fasta", ".fna", ".fas"})
TABLES = frozenset({".csv", ".tsv", ".txt", ".parquet"})
JSON_LINES = frozenset({".jsonl", ".ndjson", ".json"})


@dataclass(frozen=True)
class GivenTable:
    """A user's table. part: the split that it is, or `all`; lines: the line of each row, None to be counted."""

    part: str
    path: Path
    rows: pd.DataFrame
    lines: Sequence[int] | None = None

    @property
    def is_fasta(self) -> bool:
        """Whether it is read from FASTA."""
        return _suffix(self.path) in FASTA

    def place(self, row: int) -> str:
        """Where a row (from 0) is: the line of a text file, or the row of a parquet table."""
        return line_of(self.path, row) if self.lines is None else f"{self.path}, line {self.lines[row]}"


def line_of(path: Path, row: int) -> str:
    """Where a row (from 0) of a CSV, TSV or parquet table is, by reading the file again."""
    if path.suffix == ".parquet":
        return f"{path}, row {row + 1}"
    with open_text(path) as stream:  # blank lines are not rows, and the first is the header
        filled = [number for number, line in enumerate(stream, start=1) if line.strip()]
    return f"{path}, line {filled[row + 1]}"


def read_given_table(part: str, path: Path, sequence_column: str, truth_column: str) -> GivenTable:
    """Read a table of any format. The last two arguments name the columns of what a FASTA header and record hold.

    Raises `UserError` naming file and line for what is not of its format.
    """
    suffix = _suffix(path)
    if suffix in FASTA:
        return GivenTable(part, path, *_fasta(path, sequence_column, truth_column))
    if suffix in JSON_LINES:
        return GivenTable(part, path, *_json_lines(path))
    if suffix not in TABLES:
        raise UserError(
            f"{path}: unknown table format '{path.suffix}'; use .csv, .tsv, .txt, .jsonl, .fa (all also .gz) or"
            " .parquet"
        )
    return GivenTable(part, path, read_user_table(path))


def _suffix(path: Path) -> str:
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


def _fasta(path: Path, sequence_column: str, truth_column: str) -> tuple[pd.DataFrame, list[int]]:
    """The records of a FASTA file, and the line of each header.

    Of a header `>name key=value ...`, `name` and every key is a column. In `>name|1`, what follows the last `|` of the
    name is the value of `truth_column`, unless a key gives it.
    """
    rows, lines = [], []
    for line, record in groupby(read_fasta(path, whole_header=True), key=lambda piece: piece.line):
        pieces = list(record)
        first, *words = pieces[0].name.split()
        name, bar, last = first.rpartition("|")
        row = {"name": name, truth_column: last} if bar else {"name": first}
        for word in words:
            key, equals, value = word.partition("=")
            if equals and key:
                row[key] = value
        row[sequence_column] = b"".join(piece.bases for piece in pieces).decode()
        rows.append(row)
        lines.append(line)
    return pd.DataFrame(rows).fillna(""), lines


def _json_lines(path: Path) -> tuple[pd.DataFrame, list[int]]:
    """The objects of a JSON Lines file, one a line, and the line of each; numbers are text as they are written.

    A key that is missing or null is an empty value.
    """
    rows, lines = [], []
    with open_text(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict):
                raise UserError(f"{path}, line {number}: not a JSON object; JSON Lines have one on each line")
            rows.append({key: _text(value) for key, value in row.items()})
            lines.append(number)
    if not rows:
        raise UserError(f"{path}: the file is empty")
    return pd.DataFrame(rows).fillna(""), lines


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
