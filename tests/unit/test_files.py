"""Whole files or none."""

import gzip
import os
import stat

import pandas as pd
import pytest

from dnalm import files
from dnalm.errors import UserError


def test_a_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path):
    target = tmp_path / "sub/x.txt"
    with pytest.raises(RuntimeError), files.atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    target.write_text("old")
    with pytest.raises(RuntimeError), files.atomic(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"


def test_a_written_file_has_ordinary_permissions(tmp_path):
    files.write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": "é",\n  "b": 1\n}\n'
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == 0o666 & ~umask


def test_a_directory_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "model"
    for content in ("one", "two"):
        with files.atomic_directory(target) as temporary:
            (temporary / content).touch()
    assert [path.name for path in target.iterdir()] == ["two"]
    with pytest.raises(RuntimeError), files.atomic_directory(target) as temporary:
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in target.iterdir()] == ["two"]


def test_tables_are_byte_identical(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "x": [1.5, None]})
    for name in ("1", "2"):
        files.write_table(tmp_path / f"{name}.parquet", table)
        files.write_tsv(tmp_path / f"{name}.tsv", table)
    assert files.sha256(tmp_path / "1.parquet") == files.sha256(tmp_path / "2.parquet")
    assert (tmp_path / "1.tsv").read_text() == "id\tx\na\t1.5\nb\tNA\n"
    pd.testing.assert_frame_equal(files.read_table(tmp_path / "1.parquet"), table)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet"])
def test_user_tables_keep_their_text(tmp_path, name):
    table = pd.DataFrame({"sequence": ["NA", "ACGT"], "label": ["0", "01"]})
    path = tmp_path / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if ".tsv" in name else ",", index=False)
    assert files.read_user_table(path).to_numpy().tolist() == [["NA", "0"], ["ACGT", "01"]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b'a,b\n"1,2\n3,4,5,6\n', "not a valid table"),
        ("t.csv", b"sequence,label\nAA,CC,1\nAA,CC,1\n", "more fields than the header has columns"),
        ("t.csv", b"a,b\n\xff\xfe,1\n", "not a text file"),
        ("t.xlsx", b"x", "unknown table format"),
        ("t.parquet", b"x", "cannot read this parquet table"),
        ("t.csv.gz", gzip.compress(b"a,b\n" * 99, mtime=0)[:20], "damaged or truncated gzip"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        files.read_user_table(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="no regular file"), files.atomic(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()
