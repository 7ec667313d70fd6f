"""A table's own groups, chromosomes and batches."""

import json
from pathlib import Path

import pandas as pd
import pytest
from script_runs import run

from dnalm.data.labelled_tables import import_tables, on_listed_chromosomes
from dnalm.data.table_formats import GivenTable
from dnalm.errors import UserError

EXTRA = {"given_group": "gene", "chrom": "chromosome", "batch": "lab"}
ROWS = pd.DataFrame(
    {
        "sequence": ["ACGT", "ACGA", "ACGC", "ACGG"],
        "label": ["0", "1", "0", "1"],
        "gene": ["a", " a ", "", "b"],
        "chromosome": ["1", "2", "3", "X"],
        "lab": ["x", None, "y", "x"],
    }
)
ZONES = {"train": ["1"], "validation": ["2"], "test": ["3"]}


def read(rows=ROWS, extra=EXTRA):
    return import_tables([given(rows)], "sequence", "label", None, None, extra)


def given(rows=ROWS, path=Path("t.csv")):
    return GivenTable("all", path, rows)


def test_the_columns_are_carried_and_empty_ones_counted():
    records, facts = read()
    assert records["given_group"].tolist()[:2] == ["a", "a"] and records["given_group"].isna().tolist()[2]
    assert records["chrom"].tolist() == ["1", "2", "3", "X"] and records["start"].isna().all()
    assert records["batch"].isna().tolist() == [False, True, False, False]
    assert facts["missing"] == {"gene": 1, "chromosome": 0, "lab": 1}


def test_a_table_without_such_columns_has_none():
    records, facts = read(extra={})
    assert not {"given_group", "batch"} & set(records) and records["chrom"].isna().all() and "missing" not in facts
    with pytest.raises(UserError, match=r"t.csv, line 1: no column 'genes'; did you mean 'gene'\?"):
        read(extra={"given_group": "genes"})


def test_chromosomes_become_splits_and_others_are_counted():
    records, dropped = on_listed_chromosomes(read()[0], ZONES, "chromosome", [given()])
    assert records["split"].tolist() == ["train", "validation", "test"] and dropped == 1
    with pytest.raises(UserError, match=r"t.csv: no row is on a chromosome of split.chromosomes \(found 1, 2, 3, X\)"):
        on_listed_chromosomes(read()[0], {"train": ["chr1"]}, "chromosome", [given()])


def test_a_row_without_a_chromosome_is_named(tmp_path):
    path = tmp_path / "t.csv"
    rows = ROWS.assign(chromosome=["1", "2", "", "X"])
    rows.to_csv(path, index=False)
    with pytest.raises(UserError, match=r"t.csv, line 4: no chromosome; method chromosome needs one in every row"):
        on_listed_chromosomes(read(rows)[0], ZONES, "chromosome", [given(rows, path)])


def test_the_script_writes_the_split_and_a_ledger_that_adds_up(tmp_path):
    ROWS.to_csv(tmp_path / "t.csv", index=False)
    spec = {
        "parts": ["all"],
        "file_labels": [None],
        "sequence_column": "sequence",
        "label_column": "label",
        "target_column": None,
    }
    spec |= {"labels": None, "extra": EXTRA, "zones": ZONES}
    outputs = {"output": tmp_path / "r.parquet", "ledger": tmp_path / "r.json"}
    assert run("import_table", spec, files=[tmp_path / "t.csv"], **outputs).returncode == 0
    assert pd.read_parquet(tmp_path / "r.parquet")["split"].tolist() == ["train", "validation", "test"]
    ledger = json.loads((tmp_path / "r.json").read_text())
    assert ledger["missing"] == {"gene": 1, "chromosome": 0, "lab": 1}
    assert ledger["ledger"][0]["in"] == 4 and ledger["ledger"][0]["dropped"] == {"chromosome in no split": 1}
