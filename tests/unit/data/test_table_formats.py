"""A table is the same records in whatever format it is written."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from script_runs import run

from dnalm.data.labelled_tables import import_tables
from dnalm.data.table_formats import read_given_table
from dnalm.errors import UserError

DNA = st.text(alphabet="ACGTacgtNnRY", min_size=1, max_size=90)
TABLES = st.lists(st.tuples(DNA, st.integers(0, 2), st.sampled_from(["g1", "g2"])), min_size=3, max_size=12)
EXTRA = {"given_group": "gene"}


def written(path, rows):
    """Write rows of (sequence, label, gene) in the format of the path's suffixes."""
    kind = path.suffixes[0]
    if kind == ".parquet":
        pd.DataFrame(rows, columns=["sequence", "label", "gene"]).to_parquet(path)
        return
    texts = {
        ".csv": lambda: pd.DataFrame(rows, columns=["sequence", "label", "gene"]).to_csv(index=False),
        ".tsv": lambda: pd.DataFrame(rows, columns=["sequence", "label", "gene"]).to_csv(index=False, sep="\t"),
        ".jsonl": lambda: "\n".join(
            json.dumps({"sequence": s, "label": k, "gene": g, "more": [1]}) for s, k, g in rows
        ),
        ".fa": lambda: "".join(f">r{i} label={k} gene={g}\n{_wrapped(s)}\n" for i, (s, k, g) in enumerate(rows)),
        ".fasta": lambda: "".join(f">r{i}|{k} a word gene={g}\n{s}\n" for i, (s, k, g) in enumerate(rows)),
    }
    text = texts[kind]().encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def _wrapped(sequence, width=20):
    return "\n\n".join(sequence[i : i + width] for i in range(0, len(sequence), width))


NAMES = ["t.csv", "t.tsv.gz", "t.parquet", "t.jsonl", "t.jsonl.gz", "t.fa", "t.fa.gz", "t.fasta"]


@settings(max_examples=25, deadline=None)
@given(TABLES)
def test_every_format_gives_the_same_records(tmp_path_factory, rows):
    rows = [*rows, ("ACGT", 0, "g1"), ("CC", 1, "g1"), ("NA", 2, "g2")]
    folder, found = tmp_path_factory.mktemp("formats"), {}
    for name in NAMES:
        written(folder / name, rows)
        table = read_given_table("all", folder / name, "sequence", "label")
        found[name], facts = import_tables([table], "sequence", "label", None, None, EXTRA)
        assert facts["missing"] == {"gene": 0}
    first = found.pop("t.csv")
    assert first["sequence"].tolist() == [s.upper() for s, _, _ in rows]
    assert first["label"].tolist() == [k for _, k, _ in rows]
    for name, records in found.items():
        pd.testing.assert_frame_equal(first, records, obj=name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.fa", ">a label=0\nACGT\n\n>b\nAC\n", r"t.fa, line 4: empty label"),
        ("t.fa", ">a label=0\nACGT\n>b label=x\nAC\n", r"t.fa, line 3: label 'x' is not one of 0, 1, 2"),
        ("t.fa", ">a|0\nACGT\n>b|1\nACG\nAXC\n", r"t.fa, line 5: record 'b\|1' has the letter 'X'"),
        ("t.fa", ">a\nACGT\n>b\nAC\n", r"t.fa, line 1: no column 'label'; write headers as `>name label=value`"),
        (
            "t.fa",
            ">a class=0\nACGT\n>b class=1\nAC\n",
            r"no column 'label'; write .*\(columns: name, class, sequence\)",
        ),
        (
            "t.jsonl",
            '{"sequence": "A", "label": 0}\n\n{"sequence": "X", "label": 1}\n',
            r"t.jsonl, line 3: 'X' is no nuc",
        ),
        ("t.jsonl", '{"sequence": "A", "label": 0}\n{"sequence": "C"}\n', r"t.jsonl, line 2: empty label"),
        ("t.jsonl", '{"sequence": "A", "label": 0}\n{"sequence": "C"', r"t.jsonl, line 2: not a JSON object"),
        (
            "t.json",
            '[{"sequence": "A", "label": 0}]\n',
            r"t.json, line 1: not a JSON object; JSON Lines have one on each",
        ),
        ("t.jsonl", '{"sequence": "A", "label": 1.5}\n', r"t.jsonl, line 1: label '1.5' is not"),
        ("t.jsonl", '{"sequence": ["A"], "label": 1}\n', r"t.jsonl, line 1: '\[' is no nucleotide"),
        ("t.jsonl", '{"seq": "A", "label": 1}\n', r"t.jsonl, line 1: no column 'sequence'; did you mean 'seq'"),
        ("t.jsonl", "\n", r"t.jsonl: the file is empty"),
        ("t.xyz", "A", r"t.xyz: unknown table format '.xyz'; use .csv, .tsv, .txt, .jsonl, .fa "),
    ],
)
def test_a_mistake_names_file_and_line(name, text, message, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        import_tables([read_given_table("all", path, "sequence", "label")], "sequence", "label", None)


def test_targets_of_json_are_the_numbers_as_written(tmp_path):
    values = [0.1 + 0.2, 1 / 3, -1e-300, 7]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"s": "ACGT", "y": value}) for value in values))
    (tmp_path / "t.fa").write_text("".join(f">r{i}|{value!r}\nACGT\n" for i, value in enumerate(values)))
    for name in ("t.jsonl", "t.fa"):
        table = read_given_table("all", tmp_path / name, "s", "y")
        assert import_tables([table], "s", "label", None, "y")[0]["target"].tolist() == values


def test_a_file_for_each_label(tmp_path):
    """As one table in which the rows have labels; ids are numbered through."""
    (tmp_path / "neg.fa").write_text(">a\nAAA\n>b\nCCN\n")
    (tmp_path / "pos.csv").write_text("sequence\nGGG\n")
    (tmp_path / "all.csv").write_text("sequence,label\nAAA,0\nCCN,0\nGGG,1\n")
    spec = {
        "sequence_column": "sequence",
        "label_column": "label",
        "target_column": None,
        "labels": {0: "no", 1: "yes"},
    }
    each = spec | {"parts": ["all", "all"], "file_labels": ["0", "yes"]}
    for name, one, files in (
        ("a", each, ["neg.fa", "pos.csv"]),
        ("b", spec | {"parts": ["all"], "file_labels": [None]}, ["all.csv"]),
    ):
        outputs = {"output": tmp_path / f"{name}.parquet", "ledger": tmp_path / f"{name}.json"}
        assert run("import_table", one, files=[tmp_path / file for file in files], **outputs).returncode == 0
    first, second = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in "ab")
    pd.testing.assert_frame_equal(first, second)
    assert first["id"].tolist() == ["table-000001", "table-000002", "table-000003"]
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    (tmp_path / "pos.csv").write_text("sequence,label\nGGG,yes\nCCC,no\n")
    failed = run(
        "import_table",
        each,
        files=[tmp_path / "neg.fa", tmp_path / "pos.csv"],
        output=tmp_path / "c.parquet",
        ledger=tmp_path / "c.json",
    )
    assert (
        failed.returncode == 1
        and "pos.csv, line 3: label 'no', and the file is given as that of 'yes'" in failed.stderr
    )


def test_a_large_fasta_keeps_its_lines(tmp_path):
    """Records longer and shorter than a line, and blank lines, do not shift the line of an error."""
    random = np.random.default_rng(1)
    lines, headers = [], []
    for i in range(300):
        headers.append(len(lines) + 1)
        lines += [f">r{i} label={i % 2}", *["ACGT" * random.integers(1, 20)] * random.integers(1, 4), ""]
    path = tmp_path / "t.fa"
    path.write_text("\n".join(lines))
    table = read_given_table("all", path, "sequence", "label")
    assert list(table.lines) == headers and table.place(299) == f"{path}, line {headers[-1]}"
