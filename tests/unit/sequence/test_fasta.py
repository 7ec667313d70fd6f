import codecs

import pytest

from dnalm.errors import UserError
from dnalm.sequence import fasta


def test_pieces_of_records_with_the_line_of_their_header(tmp_path, monkeypatch):
    path = tmp_path / "x.fa"
    path.write_bytes(codecs.BOM_UTF8 + b">a first\nAC\ngt\n\n>b\nNN\n>b\nT")
    assert list(fasta.read_fasta(path)) == [(1, "a", b"ACgt"), (5, "b", b"NN"), (7, "b", b"T")]
    monkeypatch.setattr(fasta, "BLOCK", 3)
    found: dict[int, bytes] = {}
    for line, _, bases in fasta.read_fasta(path):
        found[line] = found.get(line, b"") + bases
    assert found == {1: b"ACgt", 5: b"NN", 7: b"T"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.fa: the file is empty"),
        ("ACGT\n", r"x.fa: not FASTA \(starts with 'ACGT', not '>'\)"),
        (">a\nAC\n\nAXT\n", "x.fa, line 4: record 'a' has the letter 'X'"),
        (">a\nAC\n>b\n", "x.fa, line 3: record 'b' has no sequence"),
        (">a\nAC\n> b\nA\n", "x.fa, line 3: a record without a name"),
    ],
)
def test_what_is_no_fasta_names_the_line(tmp_path, content, message):
    path = tmp_path / "x.fa"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        list(fasta.read_fasta(path))
    with pytest.raises(UserError, match="no such file"):
        list(fasta.read_fasta(tmp_path / "no.fa"))
