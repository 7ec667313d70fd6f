"""A user's tables with labels or targets as sequence tables, checked row by row."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from dnalm.data.table_formats import GivenTable
from dnalm.errors import UserError
from dnalm.names import LABEL, TARGET
from dnalm.sequence.alphabet import IUPAC
from dnalm.tables.sequences import BATCH, GIVEN_GROUP, SOFT_MASKED, TABLE, sequence_table

WHOLE = "all"
"""Name of the part that is one table, still to be divided."""

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"


def import_tables(
    given: Sequence[GivenTable],
    sequence_column: str,
    label_column: str,
    labels: Mapping[int, str] | None,
    target_column: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows of all tables as one sequence table with the column `SOFT_MASKED`, and facts about them.

    given: tables of one part called `all`, or of splits; with splits the result has a column `split`. Tables of the
    same part are joined. labels: names by number; a table may hold either. target_column: column of the numbers to
    predict; the result then has a column `target` instead of `label`, and label_column and labels are not used. extra:
    columns of groups, chromosomes and batches, by their name in the result (`GIVEN_GROUP`, chrom, `BATCH`); an empty
    value is missing there. Other columns of the tables are ignored. Sequences are stripped of blanks and in upper case.
    Ids are the part (`table` for all) and the row's number in it, from 1. Facts: `ambiguous`, the number of sequences
    of each part with a letter other than A, C, G, T; `missing`, the number of rows without a value in each extra
    column. Raises `UserError` naming file and line for a row that is not a nucleotide sequence with a label or target.
    """
    extra = extra or {}
    tables, ambiguous = [], dict.fromkeys((table.part for table in given), 0)
    numbered: dict[str, int] = {}
    for table in given:
        cased = column_of(table, sequence_column).str.strip()
        sequences = cased.str.upper()
        if target_column:
            truth = {TARGET: _targets(column_of(table, target_column).str.strip(), table)}
        else:
            truth = {LABEL: _labels(column_of(table, label_column).str.strip(), labels, table)}
        _check_sequences(sequences, table)
        name = "table" if table.part == WHOLE else table.part
        first = numbered.get(name, 0) + 1
        numbered[name] = first + len(cased) - 1
        columns = {
            "id": [f"{name}-{row:06d}" for row in range(first, numbered[name] + 1)],
            "sequence": sequences,
            **truth,
            SOFT_MASKED: cased.str.count("[a-z]") / cased.str.len(),
            **{name: _named(column_of(table, column)) for name, column in extra.items()},
        }
        others = [SOFT_MASKED, *(name for name in (GIVEN_GROUP, BATCH) if name in extra)]
        others += [] if table.part == WHOLE else ["split"]
        tables.append(sequence_table({**columns, "group": "", "source": TABLE, "split": table.part}, others))
        ambiguous[table.part] += int(sequences.str.contains("[^ACGT]").sum())
    records = pd.concat(tables, ignore_index=True)
    places = ", ".join(str(table.path) for table in given)
    if target_column:
        _check_targets(records[TARGET], target_column, places)
    else:
        _check_labels(records[LABEL], labels, places)
    facts: dict[str, Any] = {"ambiguous": ambiguous}
    if extra:
        facts["missing"] = {column: int(records[name].isna().sum()) for name, column in extra.items()}
    return records, facts


def labelled_by_file(table: GivenTable, label: str, label_column: str) -> GivenTable:
    """The table with `label` in every row. Raises `UserError` for a row that says otherwise itself."""
    if label_column in table.rows.columns:
        own = table.rows[label_column].fillna("").astype(str).str.strip()
        if (row := _first(~own.isin(["", label]))) is not None:
            raise UserError(
                f"{table.place(row)}: label '{own.iloc[row]}', and the file is given as that of '{label}'; give one of "
                "the two, or set `label_column` to another name"
            )
    return replace(table, rows=table.rows.assign(**{label_column: label}))


def on_listed_chromosomes(
    records: pd.DataFrame, zones: Mapping[str, list[str]], column: str, given: Sequence[GivenTable]
) -> tuple[pd.DataFrame, int]:
    """The records of tables on the chromosomes that `zones` lists for the splits, with a column `split`; and the
    number of the others, which are in no split.

    given: the tables that the records are from, one after the other; column: their name of chromosomes. Raises
    `UserError` for a row without one, and if no record is left.
    """
    if (row := _first(records["chrom"].isna())) is not None:
        ends = np.cumsum([len(table.rows) for table in given])
        which = int(np.searchsorted(ends, row, side="right"))
        place = given[which].place(row - int(ends[which]) + len(given[which].rows))
        raise UserError(f"{place}: no {column}; method chromosome needs one in every row")
    zone_of = {name: split for split, names in zones.items() for name in names}
    split = records["chrom"].map(zone_of)
    if split.isna().all():
        found = ", ".join(sorted(set(records["chrom"]))[:5])
        places = ", ".join(str(table.path) for table in given)
        raise UserError(f"{places}: no row is on a chromosome of split.chromosomes (found {found})")
    kept = split.notna()
    return records.assign(split=split.astype("str"))[kept].reset_index(drop=True), int((~kept).sum())


def _named(values: pd.Series) -> pd.Series:
    """Names without blanks around them; missing ones for empty text."""
    stripped = values.str.strip()
    return stripped.mask(stripped == "")


def column_of(table: GivenTable, name: str) -> pd.Series:
    """A column as text, without missing values. Raises `UserError` if there is none, or the table has no rows."""
    rows, path = table.rows, table.path
    if name not in rows.columns:
        columns = [str(column) for column in rows.columns]
        near = difflib.get_close_matches(name.lower(), [column.lower() for column in columns], n=1, cutoff=0.5)
        hint = next((f"; did you mean '{column}'?" for column in columns if [column.lower()] == near), "")
        if table.is_fasta and not hint:
            hint = f"; write headers as `>name {name}=value`"
        place = f"{path}, line 1" if table.lines is None else table.place(0)
        raise UserError(f"{place}: no column '{name}'{hint} (columns: {', '.join(columns)})")
    if rows.empty:
        raise UserError(f"{path}: the table has no rows")
    return rows[name].fillna("").astype(str)


def _first(mask: pd.Series) -> int | None:
    return int(mask.to_numpy().argmax()) if mask.any() else None


def _check_sequences(sequences: pd.Series, table: GivenTable) -> None:
    if (row := _first(sequences == "")) is not None:
        raise UserError(f"{table.place(row)}: empty sequence")
    if (row := _first(sequences.str.contains(f"[^{IUPAC}]"))) is not None:
        letter = re.findall(f"[^{IUPAC}]", sequences.iloc[row])[0]
        raise UserError(f"{table.place(row)}: '{letter}' is no nucleotide (IUPAC letters only: {IUPAC})")


def _labels(values: pd.Series, names: Mapping[int, str] | None, table: GivenTable) -> pd.Series:
    if (row := _first(values == "")) is not None:
        raise UserError(f"{table.place(row)}: empty label")
    if names:
        numbers = {name: number for number, name in names.items()} | {str(number): number for number in names}
        if (row := _first(~values.isin(list(numbers)))) is not None:
            known = ", ".join(f"{number} ({name})" for number, name in sorted(names.items()))
            raise UserError(f"{table.place(row)}: label '{values.iloc[row]}' is not one of `labels`: {known}")
        return values.map(numbers)
    if (row := _first(~values.str.fullmatch("[0-9]{1,9}"))) is not None:
        raise UserError(
            f"{table.place(row)}: label '{values.iloc[row]}' is not one of 0, 1, 2 ...; number the labels, or give "
            "their names in `labels`"
        )
    return values.astype("int64")


def _targets(values: pd.Series, table: GivenTable) -> pd.Series:
    if (row := _first(values == "")) is not None:
        raise UserError(f"{table.place(row)}: empty target; leave out rows without one")
    numbers = pd.Series(np.inf, index=values.index)
    infinite = values.str.fullmatch(r"[+-]?inf(?:inity)?", case=False)
    if (row := _first(~values.str.fullmatch(_NUMBER) & ~infinite)) is not None:
        raise UserError(f"{table.place(row)}: target '{values.iloc[row]}' is not a number (such as -1.5 or 2e-3)")
    numbers[~infinite] = values[~infinite].to_numpy(object).astype(np.float64)
    if (row := _first(numbers.abs() == np.inf)) is not None:
        raise UserError(
            f"{table.place(row)}: target '{values.iloc[row]}' is infinite; leave out the row or give a number"
        )
    return numbers


def _check_targets(target: pd.Series, column: str, places: str) -> None:
    if target.nunique() < 2:
        raise UserError(f"{places}: every {column} is {target.iloc[0]:g}; there is nothing to predict")


def _check_labels(label: pd.Series, names: Mapping[int, str] | None, places: str) -> None:
    present = sorted(set(label.tolist()))
    number = len(names) if names else len(present)
    if len(present) < 2:
        raise UserError(f"{places}: every label is {present[0]}; a classifier needs two at least")
    if present != list(range(number)):
        absent = next(label for label in range(number) if label not in present)
        raise UserError(
            f"{places}: no record has label {absent}; number the labels 0, 1, 2 ... without gaps "
            f"(found {', '.join(map(str, present[:10]))})"
        )
