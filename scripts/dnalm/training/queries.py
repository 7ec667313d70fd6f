"""Read the sequences that a user wants scored, from FASTA or a table."""

import re
from itertools import groupby
from pathlib import Path

from dnalm.errors import UserError
from dnalm.files import read_user_table
from dnalm.sequence.alphabet import BASES, IUPAC
from dnalm.sequence.fasta import read_fasta

FASTA_SUFFIXES = frozenset({".fa", ".fasta", ".fna", ".ffn", ".fas"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".parquet"})

_FOREIGN = re.compile(f"[^{IUPAC}]")


def read_sequences(path: Path, sequence_column: str, id_column: str) -> tuple[list[str], list[str]]:
    """Ids and upper-case sequences of a FASTA file or a table; the file's suffix (before any `.gz`) tells which.

    Rows of a table without an `id` column are named row1, row2, ... Raises `UserError` for an unknown format, a missing
    column, no records, or a record that is empty or has letters other than IUPAC codes.
    """
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix in FASTA_SUFFIXES:
        ids, sequences = [], []
        for _, record in groupby(read_fasta(path), key=lambda piece: piece.line):
            pieces = list(record)
            ids.append(pieces[0].name)
            sequences.append(b"".join(piece.bases for piece in pieces).decode())
    elif suffix in TABLE_SUFFIXES:
        if not path.is_file():
            raise UserError(f"{path}: no such file")
        table = read_user_table(path)
        if sequence_column not in table.columns:
            columns = ", ".join(map(str, table.columns))
            raise UserError(f"{path}: no column '{sequence_column}' (columns: {columns}); set --sequence-column")
        sequences = table[sequence_column].fillna("").astype(str).tolist()
        has_ids = id_column in table.columns
        if not has_ids and id_column != "id":
            raise UserError(f"{path}: no column '{id_column}' for --id-column")
        ids = table[id_column].astype(str).tolist() if has_ids else [f"row{i + 1}" for i in range(len(table))]
    else:
        known = " ".join(sorted(FASTA_SUFFIXES | TABLE_SUFFIXES))
        raise UserError(f"{path}: unknown format '{suffix}'; use one of {known} (all but parquet also with .gz)")
    if not sequences:
        raise UserError(f"{path}: holds no records")
    sequences = [sequence.strip().upper() for sequence in sequences]
    for name, sequence in zip(ids, sequences, strict=True):
        if not sequence:
            raise UserError(f"{path}: record '{name}' is empty")
        if foreign := _FOREIGN.search(sequence):
            raise UserError(f"{path}: record '{name}' is not DNA: letter '{foreign[0]}' at {foreign.start() + 1}")
        if not any(base in sequence for base in BASES):
            raise UserError(f"{path}: record '{name}' holds no A, C, G or T")
    return ids, sequences
