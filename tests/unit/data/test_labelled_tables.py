from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dnalm.data.labelled_tables import import_tables
from dnalm.data.table_formats import GivenTable, read_given_table
from dnalm.errors import UserError
from dnalm.names import SEQUENCE_COLUMNS, sequence_columns

PATHS = {"all": Path("t.csv"), "train": Path("a.csv"), "test": Path("b.parquet")}


def read(rows, part="all", labels=None, columns=("sequence", "label")):
    return import_tables([given(part, pd.DataFrame(rows, columns=columns))], "sequence", "label", labels)


def given(part, rows):
    return GivenTable(part, PATHS[part], rows)


def from_file(path, part="all", sequence="sequence", truth="label"):
    return [read_given_table(part, path, sequence, truth)]


def test_one_table():
    records, facts = read([(" acgt ", "0"), ("ACGN", "1"), ("NA", "1")])
    assert list(records.columns) == [*SEQUENCE_COLUMNS, "soft_masked"]
    assert records["id"].tolist() == ["table-000001", "table-000002", "table-000003"]
    assert records["sequence"].tolist() == ["ACGT", "ACGN", "NA"]
    assert records["label"].tolist() == [0, 1, 1]
    assert set(records["source"]) == {"table"}
    assert facts == {"ambiguous": {"all": 2}}


def test_the_case_that_was_given_is_remembered():
    records, _ = read([(" acgT ", "0"), ("ACGN", "1"), ("nnAA", "1")])
    assert records["soft_masked"].tolist() == [0.75, 0.0, 0.5]
    assert records["sequence"].tolist() == ["ACGT", "ACGN", "NNAA"]


def test_splits_keep_their_names():
    parts = {"train": pd.DataFrame({"sequence": ["A", "C"], "label": ["0", "1"]})}
    parts["test"] = pd.DataFrame({"sequence": ["A"], "label": [1]})  # a parquet table has numbers
    records, _ = import_tables([given(*item) for item in parts.items()], "sequence", "label", None)
    assert records["id"].tolist() == ["train-000001", "train-000002", "test-000001"]
    assert records["split"].tolist() == ["train", "train", "test"]
    assert records["label"].tolist() == [0, 1, 1]


def test_labels_by_name_or_number():
    records, _ = read([("A", "promoter"), ("C", "0"), ("G", "other"), ("T", "1")], labels={0: "other", 1: "promoter"})
    assert records["label"].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("A", "0"), ("", "1")], {}, r"t.csv, line 3: empty sequence"),
        ([("A", "0"), ("ACGE", "1")], {}, r"t.csv, line 3: 'E' is no nucleotide"),
        ([("A", "0"), ("ACGU", "1")], {}, r"t.csv, line 3: 'U' is no nucleotide"),
        ([("A", "0"), ("A", "")], {}, r"t.csv, line 3: empty label"),
        ([("A", "0"), ("A", "yes")], {}, r"t.csv, line 3: label 'yes' is not one of 0, 1, 2"),
        ([("A", "0"), ("A", "-1")], {}, r"line 3: label '-1' is not"),
        ([("A", "0"), ("A", "1.5")], {}, r"line 3: label '1.5' is not"),
        ([("A", "0"), ("A", "2")], {}, r"t.csv.*no record has label 1.*found 0, 2"),
        ([("A", "0"), ("A", "999999999")], {}, r"no record has label 1"),
        ([("A", "0"), ("A", "0")], {}, r"every label is 0"),
        ([("A", "0"), ("A", "c")], {"labels": {0: "a", 1: "b"}},
         r"line 3: label 'c' is not one of `labels`: 0 \(a\), 1 \(b\)"),
        ([("A", "0"), ("A", "2")], {"labels": {0: "a", 1: "b"}}, r"line 3: label '2' is not one of"),
        ([("A", "0"), ("A", "1")], {"labels": {0: "a", 1: "b", 2: "c"}}, r"no record has label 2"),
        ([], {}, r"t.csv: the table has no rows"),
        ([("A", "0")], {"columns": ("Sequences", "label")},
         r"t.csv, line 1: no column 'sequence'; did you mean 'Sequences'\? \(columns: Sequences, label\)"),
        ([("A", "0")], {"columns": ("x", "label")}, r"no column 'sequence' \(columns: x, label\)"),
    ],
)  # fmt: skip
def test_wrong_input(rows, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(rows, columns=options.get("columns", ("sequence", "label"))).to_csv("t.csv", index=False)
    with pytest.raises(UserError, match=message):
        read(rows, **options)


def test_blank_lines_do_not_shift_line_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sequence,label\n\nA,0\n\n\nACGE,1\n\n")
    with pytest.raises(UserError, match=r"t.csv, line 6: 'E' is no nucleotide"):
        import_tables(from_file(path), "sequence", "label", None)


def test_a_parquet_table_has_rows_not_lines():
    with pytest.raises(UserError, match=r"b.parquet, row 2: empty sequence"):
        import_tables(
            [given("test", pd.DataFrame({"sequence": ["A", None], "label": [0, 1]}))], "sequence", "label", None
        )


def read_targets(text, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    return import_tables(from_file(path, "all", "seq", "score"), "seq", "label", None, target_column="score")


def test_targets_in_place_of_labels_and_other_columns_ignored(tmp_path):
    records, facts = read_targets(
        ",seq,label,score\n0,acgT,x,-1.5\n1,GG,, 0.253694618 \n2,AN,0,1e-3\n3,A,0,+.5\n4,C,1,12.\n", tmp_path
    )
    assert list(records.columns) == [*sequence_columns("target"), "soft_masked"] and "label" not in records
    assert records["target"].tolist() == [-1.5, 0.253694618, 0.001, 0.5, 12.0] and records["target"].dtype == "float64"
    assert records["sequence"].tolist() == ["ACGT", "GG", "AN", "A", "C"] and facts == {"ambiguous": {"all": 1}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", ""], r"t.csv, line 3: empty target"),
        (["1", "  "], r"t.csv, line 3: empty target"),
        (["1", "high"], r"t.csv, line 3: target 'high' is not a number"),
        (["1", "NaN"], r"t.csv, line 3: target 'NaN' is not a number"),
        (["1", "1_000"], r"t.csv, line 3: target '1_000' is not a number"),
        (["-inf", "1"], r"t.csv, line 2: target '-inf' is infinite"),
        (["1", "1e999"], r"t.csv, line 3: target '1e999' is infinite"),
        (["2.50", "2.5"], r"t.csv: every score is 2.5; there is nothing to predict"),
    ],
)
def test_wrong_targets(values, message, tmp_path):
    rows = "".join(f"A,{value}\n" for value in values)
    with pytest.raises(UserError, match=message):
        read_targets(f"seq,score\n{rows}", tmp_path)


def test_a_missing_target_column_is_named(tmp_path):
    with pytest.raises(UserError, match=r"t.csv, line 1: no column 'score'; did you mean 'Score'"):
        read_targets("seq,Score\nA,1\n", tmp_path)


def test_numbers_of_a_parquet_table_are_read_as_they_are():
    values = [0.1 + 0.2, np.float64(1) / 3, -1e-300]
    parts = {"test": pd.DataFrame({"sequence": ["A", "C", "G"], "y": values})}
    tables = [given(*item) for item in parts.items()]
    assert import_tables(tables, "sequence", "label", None, "y")[0]["target"].tolist() == values
    parts["test"].loc[1, "y"] = None
    with pytest.raises(UserError, match=r"b.parquet, row 2: empty target"):
        import_tables(tables, "sequence", "label", None, "y")
