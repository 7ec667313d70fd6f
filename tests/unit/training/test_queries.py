import gzip

import pandas as pd
import pytest

from dnalm.errors import UserError
from dnalm.training.queries import read_sequences


def read(path, sequence_column="sequence", id_column="id"):
    return read_sequences(path, sequence_column, id_column)


def test_fasta_csv_tsv_and_parquet_say_the_same(tmp_path):
    table = pd.DataFrame({"id": ["a", "b"], "sequence": ["ACGTN", "ttgg"]})
    table.to_csv(tmp_path / "x.csv", index=False)
    table.to_csv(tmp_path / "x.tsv.gz", sep="\t", index=False)
    table.to_parquet(tmp_path / "x.parquet")
    fasta = b">a first\nACG\nTN\n>b\nttgg\n"
    (tmp_path / "x.fa").write_bytes(fasta)
    (tmp_path / "x.fasta.gz").write_bytes(gzip.compress(fasta))
    for name in ("x.csv", "x.tsv.gz", "x.parquet", "x.fa", "x.fasta.gz"):
        assert read(tmp_path / name) == (["a", "b"], ["ACGTN", "TTGG"]), name


def test_rows_without_ids_are_numbered_and_columns_can_be_named(tmp_path):
    pd.DataFrame({"dna": ["ACGT", "NA" + "CGT"], "name": ["x", "y"]}).to_csv(tmp_path / "x.csv", index=False)
    assert read(tmp_path / "x.csv", "dna") == (["row1", "row2"], ["ACGT", "NACGT"])
    assert read(tmp_path / "x.csv", "dna", "name")[0] == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.fa", "", "the file is empty"),
        ("x.fa", "ACGT\n", "not FASTA"),
        ("x.fa", ">a\n>b\nACGT\n", "line 1: record 'a' has no sequence"),
        ("x.fa", ">a\nACGT\n>p\nMKVLFEW\n", "line 4: record 'p' has the letter 'L', which is not DNA"),
        ("x.fa", ">gap\nNNNNNN\n", "record 'gap' holds no A, C, G or T"),
        ("x.csv", "id,sequence\n", "holds no records"),
        ("x.csv", "", "the file is empty"),
        ("x.csv", "id,dna\na,ACGT\n", r"no column 'sequence' \(columns: id, dna\); set --sequence-column"),
        ("x.csv", "id,sequence\na,ACGT\nb,\n", "record 'b' is empty"),
        ("x.csv", "id,sequence\na,ACGT\np,MKVLFEW\n", "record 'p' is not DNA: letter 'L' at 4"),
        ("x.parquet", "nonsense", "cannot read this parquet table"),
        ("x.vcf", "##", "unknown format '.vcf'"),
    ],
)
def test_bad_input_names_the_place(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)


def test_missing_files_and_columns_are_named(tmp_path):
    for name in ("no.fa", "no.csv", "no.parquet"):
        with pytest.raises(UserError, match=f"{name}: no such file"):
            read(tmp_path / name)
    (tmp_path / "x.csv").write_text("id,sequence\na,ACGT\n")
    with pytest.raises(UserError, match="no column 'name' for --id-column"):
        read(tmp_path / "x.csv", id_column="name")


def test_a_truncated_gzip_is_named(tmp_path):
    (tmp_path / "x.fa.gz").write_bytes(gzip.compress(b">a\n" + b"ACGT" * 5000)[:40])
    with pytest.raises(UserError, match="damaged or truncated gzip"):
        read(tmp_path / "x.fa.gz")
