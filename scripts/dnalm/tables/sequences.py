"""The sequence table: one row a record."""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dnalm.errors import UserError
from dnalm.files import read_table
from dnalm.names import LABEL, SEQUENCE, SEQUENCE_COLUMNS, TARGET, sequence_columns

LOCUS = ("locus_chrom", "locus_start", "locus_end")
"""Columns of an array's locus on the catalogue's own assembly, if that is not the genome; for groups and audit."""


TABLE, SHUFFLED = "table", "shuffled"
"""Sources of records: a user's table; shuffles of positives."""


GIVEN_GROUP, BATCH = "given_group", "batch"
"""Columns of a user's table: what must stay in one split, and the batch that a record comes from."""


SOFT_MASKED = "soft_masked"
"""Column of the fraction of a sequence's letters that were lower case in its table or genome."""


_TYPES = {
    **dict.fromkeys(SEQUENCE_COLUMNS, "str"),
    LABEL: "int64",
    TARGET: "float64",
    "start": "Int64",
    "end": "Int64",
    "motif_length": "Int64",
    "copies": "float64",
    "divergence": "float64",
    "locus_start": "Int64",
    "locus_end": "Int64",
    SOFT_MASKED: "float64",
}


def sequence_table(columns: Mapping[str, Any] | pd.DataFrame, extra: Iterable[str] = ()) -> pd.DataFrame:
    """A sequence table from some of its columns, with `target` in place of `label` where that is given.

    The other columns are filled with missing values; `extra` ones (text, `LOCUS` or `SOFT_MASKED`) come last.
    """
    names = [*sequence_columns(truth_column(columns)), *extra]
    return pd.DataFrame(columns).reindex(columns=names).astype({name: _TYPES.get(name, "str") for name in names})


def truth_column(table: Iterable[Hashable]) -> str:
    """The column that is learnt, given a sequence table or its columns' names.

    `target` if present; `sequence` if there is a group, as in every finished table, and no `label`; else `label`.
    """
    if TARGET in table:
        return TARGET
    return SEQUENCE if "group" in table and LABEL not in table else LABEL


def read_records(path: Path | str, columns: Iterable[str]) -> pd.DataFrame:
    """Some columns of a sequence table on disk, followed by the one that is learnt, `label` or `target`."""
    try:
        present = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid):
        present = []  # read_table reports what is wrong with the file
    return read_table(path, [*columns, truth_column(present)])


def check_table(table: pd.DataFrame, path: Path) -> None:
    """Raise a `UserError` if a sequence table lacks a column or a record has no sequence."""
    for column in sequence_columns(truth_column(table)):
        if column not in table:
            raise UserError(f"{path}: no column '{column}'; compare the tables that split_labels.py writes")
    missing = table["sequence"].isna().to_numpy()
    if missing.any():
        raise UserError(f"{path}, row {int(missing.argmax()) + 1}: no sequence")


def unique_ids(ids: Iterable[str]) -> list[str]:
    """The ids with repeated ones made unique: the second gets `-2`, the third `-3` (or the next unused number)."""
    ids = list(ids)
    taken, seen, result = set(ids), Counter[str](), []
    for name in ids:
        seen[name] += 1
        unique = name
        while seen[name] > 1 and (unique := f"{name}-{seen[name]}") in taken:
            seen[name] += 1
        taken.add(unique)
        result.append(unique)
    return result
