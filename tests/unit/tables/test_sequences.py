import pandas as pd
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.data.positives import extract_positives
from dnalm.errors import UserError
from dnalm.names import SEQUENCE_COLUMNS
from dnalm.tables.sequences import LOCUS, sequence_table, unique_ids

CHROM = "NNacgtACGTTTGACCATGCAT"


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(f">chr1\n{CHROM}\n")
    pysam.faidx(str(path))
    with pysam.FastaFile(str(path)) as fasta:
        yield fasta


def catalogue(rows):
    table = pd.DataFrame(rows, columns=["id", "chrom", "start", "end", "sequence"])
    return table.assign(motif="ACG", motif_length=3, copies=2.5, divergence=None, filter="PASS")


def test_unlocated_arrays_bring_their_sequence_and_no_coordinates():
    rows = [
        ("a", "chr9", 5, 11, "acgtac"), ("b", "chr9", 50, 56, "ACGTAC"), ("c", "chr9", 1, 3, "AC"),
        ("d", "chr9", 1, 7, "ACGNAC"), ("a", "chr9", 1, 7, "TTTTTT"), ("e", "chr9", 1, 7, None),
    ]  # fmt: skip
    table, dropped = extract_positives(catalogue(rows), "vntrseek", None, min_length=6, flank=0, deduplicate=True)
    assert list(table.columns) == [*SEQUENCE_COLUMNS, "positive", *LOCUS]
    assert table[list(LOCUS)].to_numpy().tolist() == [["chr9", 5, 11], ["chr9", 1, 7]]
    assert table["id"].tolist() == ["a", "a-2"]
    assert table["positive"].tolist() == ["a", "a-2"]
    assert table["sequence"].tolist() == ["ACGTAC", "TTTTTT"]
    assert table["label"].tolist() == [1, 1]
    assert table["source"].tolist() == ["vntrseek"] * 2
    assert table[["chrom", "start", "end", "strand"]].isna().all(axis=None)
    assert table["motif_length"].tolist() == [3, 3]
    assert dropped == {
        "duplicate sequence": 1, "shorter than min_length (6)": 1,
        "not only A, C, G, T": 1, "no sequence in the catalogue": 1,
    }  # fmt: skip


def test_duplicates_stay_if_asked():
    rows = [("a", "chr9", 5, 11, "ACGTAC"), ("b", "chr9", 50, 56, "ACGTAC")]
    table, dropped = extract_positives(catalogue(rows), "vntrseek", None, min_length=6, flank=0, deduplicate=False)
    assert table["id"].tolist() == ["a", "b"]
    assert dropped == {}


def test_located_arrays_come_from_the_genome_with_their_flanks(genome):
    rows = [
        ("a", "chr1", 4, 8, None),
        ("n", "chr1", 3, 7, None),
        ("left", "chr1", 1, 6, None),
        ("right", "chr1", 17, 21, None),
    ]
    table, dropped = extract_positives(catalogue(rows), "bed", genome, min_length=4, flank=2, deduplicate=True)
    assert table["sequence"].tolist() == [CHROM[2:10].upper()]
    assert (table["chrom"].item(), table["start"].item(), table["end"].item(), table["strand"].item()) == (
        "chr1",
        4,
        8,
        "+",
    )
    assert dropped == {"not only A, C, G, T": 1, "flank runs off the chromosome": 2}


def test_equal_arrays_in_different_context_are_duplicates(genome):
    rows = [("a", "chr1", 2, 6, None), ("b", "chr1", 6, 10, None)]
    table, dropped = extract_positives(catalogue(rows), "bed", genome, min_length=4, flank=0, deduplicate=True)
    assert table["id"].tolist() == ["a"]
    assert dropped == {"duplicate sequence": 1}


def test_a_chromosome_the_genome_lacks(genome):
    with pytest.raises(UserError, match="the genome has no chromosome 'chrX'"):
        extract_positives(catalogue([("a", "chrX", 2, 6, None)]), "bed", genome, 4, 0, True)


@given(st.lists(st.sampled_from(["a", "a-2", "a-3", "b", "a-2-2"]), max_size=12))
@settings(deadline=None)
def test_unique_ids(ids):
    unique = unique_ids(ids)
    assert len(set(unique)) == len(ids)
    for at, name in enumerate(ids):
        assert unique[at].startswith(name)
        if name not in ids[:at]:
            assert unique[at] == name


def test_sequence_table_has_its_types_even_when_empty():
    table = sequence_table({"id": [], "sequence": [], "label": []}, ["positive"])
    assert [str(table[name].dtype) for name in ("label", "start", "motif_length", "copies", "positive")] == [
        "int64", "Int64", "Int64", "float64", "str",
    ]  # fmt: skip
