"""Import of catalogues: each format by hand, the genome they must agree with, and what is refused."""

import gzip
import io
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from needed import needs
from script_runs import run_script

from dnalm.data.catalogue_formats import read_catalogue
from dnalm.data.catalogues import COLUMNS, Imported, import_catalogue
from dnalm.data.genomes import import_fasta
from dnalm.errors import UserError
from dnalm.names import TRF_PARAMETERS

SCRIPT = ROOT / "scripts" / "import_catalogue.py"
HUMAN = "data/vntr_hg38_chr2"
HEADER = "##fileformat=VCFv4.1\n##INFO=<ID=RC>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t[name]\n"
#            0         1         2         3
CHR1 = "TTTTTACGACGACGTTTTTTTTTTTTTTTT"
CHR2 = "ccccccccGATTGATTGAcccccccccccc"


def record(chrom="chr1", pos="5", name="td1", ref="TACGACGACG", status="PASS", info="RC=3.00;RPL=3;RAL=9;RCP=ACG;X"):
    return "\t".join([chrom, pos, name, ref, "T", ".", status, info, "GT", "1/1"]) + "\n"


SECOND = record("chr2", "8", ".", "cGATTGATTGA", "SC", "RC=2.5;RPL=4;RAL=10;RCP=GATT")


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    source, output = tmp_path / "source.fa", tmp_path / "genome.fa.gz"
    source.write_text(f">chr1\n{CHR1}\n>chr2\n{CHR2}\n")
    import_fasta([("all", source)], None, output)
    return output


@pytest.fixture
def load(tmp_path: Path):
    def run(text: str, layout: str, genome: Path | None = None, filters: list[str] | None = None) -> Imported:
        path = tmp_path / f"in.{layout}"
        path.write_text(text)
        return import_catalogue([path], layout, filters, genome)

    return run


def rows(imported: Imported) -> list[tuple[object, ...]]:
    assert tuple(imported.table.columns) == COLUMNS
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in imported.table.itertuples(index=False, name=None)
    ]


def test_vntrseek(load, genome: Path) -> None:
    expected = [
        ("td1", "chr1", 5, 14, "ACGACGACG", "ACG", 3, 3.0, None, "PASS"),
        ("chr2:8-18", "chr2", 8, 18, "GATTGATTGA", "GATT", 4, 2.5, None, "SC"),
    ]
    for where in (None, genome):
        imported = load(HEADER + record() + SECOND, "vntrseek", where)
        assert rows(imported) == expected
        assert (imported.read, sum(imported.dropped.values())) == (2, 0)


def test_types_do_not_depend_on_the_values(load, genome: Path) -> None:
    full = load(HEADER + record(), "vntrseek").table.dtypes
    bare = load("chr1\t1\t5\n", "bed", genome).table.dtypes
    assert full.to_dict() == bare.to_dict()


def test_filters_drop_and_count(load, genome: Path) -> None:
    imported = load(HEADER + record() + SECOND, "vntrseek", genome, ["PASS"])
    assert imported.table["id"].tolist() == ["td1"]
    assert (imported.read, imported.dropped["FILTER is SC"]) == (2, 1)
    several = load(HEADER + record(status="SC;q10") + SECOND, "vntrseek", genome, ["q10", "SC"])
    assert len(several.table) == 2
    with pytest.raises(UserError, match=r"none of 2 records is left \(1: FILTER is PASS, 1: FILTER is SC\)"):
        load(HEADER + record() + SECOND, "vntrseek", genome, ["q10"])


def test_duplicates_stay_and_are_counted(load) -> None:
    text = HEADER + record() + record() + record(pos="50") + SECOND
    imported = load(text, "vntrseek")
    assert imported.table["id"].tolist() == ["td1", "td1#2", "td1#3", "chr2:8-18"]
    assert imported.counts == {"duplicate_intervals": 1, "duplicate_sequences": 2}


UCSC = ["585", "chr1", "5", "14", "trf", "3", "3.0", "3", "93", "2", "50", "33", "33", "33", "0", "1.58", "ACG"]


def test_ucsc(load, genome: Path) -> None:
    expected = [("chr1:5-14", "chr1", 5, 14, None, "ACG", 3, 3.0, 0.07, None)]
    assert rows(load("#bin\tchrom\n" + "\t".join(UCSC) + "\n", "ucsc", genome)) == expected
    assert rows(load("\t".join(UCSC[1:]) + "\n", "ucsc", genome)) == expected


def test_bed(load, genome: Path) -> None:
    text = "browser x\ntrack name=x\n# note\nchr2\t8\t18\tgatt\t0\t+\n\nchr1 5 14\n"
    expected = [
        ("chr1:5-14", "chr1", 5, 14, *[None] * 6),
        ("gatt", "chr2", 8, 18, *[None] * 6),
    ]
    assert rows(load(text, "bed", genome)) == expected


TRF_RECORD = "6 14 3 3.0 3 100 0 18 33 33 33 0 1.58 ACG ACGACGACG"
TRF_STANDARD = f"""Tandem Repeats Finder Program written by:

Gary Benson
Program in Bioinformatics
Boston University
Version 4.09


Sequence: chr2 nothing here



Parameters: 2 5 7 80 10 50 2000


Sequence: chr1 first



Parameters: 2 5 7 80 10 50 2000


{TRF_RECORD}
"""


@pytest.mark.parametrize(
    "text",
    [TRF_STANDARD, f"@chr1 first\n{TRF_RECORD} TTTTT TTTTTT\n", TRF_STANDARD.replace("Version 4.09", "Version 4.10")],
)
def test_trf(load, genome: Path, text: str) -> None:
    assert rows(load(text, "trf", genome)) == [
        ("chr1:5-14", "chr1", 5, 14, "ACGACGACG", "ACG", 3, 3.0, 0.0, None),
    ]


@needs("trf")
@pytest.mark.parametrize("ngs", [True, False])
def test_trf_as_the_program_writes_it(tmp_path: Path, ngs: bool) -> None:
    unit = "ACGATTGCAACCTGA"
    (tmp_path / "a.fa").write_text(f">one x\n{CHR1}\n>two y\n{CHR2}{unit * 5}{CHR2}\n")
    command = ["trf", "a.fa", *map(str, TRF_PARAMETERS), "-d", "-h", *(["-ngs"] if ngs else [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    path = tmp_path / "a.fa.2.5.7.80.10.50.2000.dat"
    if ngs:
        path.write_text(done.stdout)
    import_fasta([("all", tmp_path / "a.fa")], None, tmp_path / "g.fa.gz")
    table = import_catalogue([path], "trf", None, tmp_path / "g.fa.gz").table
    assert table["chrom"].tolist() == ["two"]
    assert unit * 4 in table["sequence"][0]
    assert table["motif_length"].tolist() == [15]


def test_gzip_and_several_files_in_the_order_of_the_genome(tmp_path: Path, genome: Path) -> None:
    first, second = tmp_path / "0.dat.gz", tmp_path / "1.dat"
    first.write_bytes(gzip.compress(b"@chr2\n9 18 4 2.5 4 100 0 18 33 33 33 0 1.58 GATT GATTGATTGA . .\n"))
    second.write_text(f"@chr1\n{TRF_RECORD} . .\n")
    nothing = tmp_path / "2.dat"
    nothing.write_text("")
    table = import_catalogue([first, second, nothing], "trf", None, genome).table
    assert table["chrom"].tolist() == ["chr1", "chr2"]


def test_masked_and_uncertain_bases_agree_with_anything(tmp_path: Path, load) -> None:
    source, output = tmp_path / "source.fa", tmp_path / "masked.fa.gz"
    source.write_text(f">chr1\n{CHR1[:7]}NNN{CHR1[10:]}\n>chr2\n{'N' * 30}\n")
    import_fasta([("all", source)], None, output)
    imported = load(HEADER + record() + SECOND, "vntrseek", output)
    assert len(imported.table) == 2
    assert imported.counts["compared_with_genome"] == 1


def test_chromosomes_that_the_genome_lacks_are_counted(load, genome: Path) -> None:
    imported = load(HEADER + record() + record("chrUn"), "vntrseek", genome)
    assert len(imported.table) == 1
    assert imported.dropped["chromosome not in the genome"] == 1


def test_few_that_differ_are_dropped_and_many_refused(load, genome: Path) -> None:
    wrong = record(ref="TACGACGACC", name="bad")
    imported = load(HEADER + record() * 99 + wrong, "vntrseek", genome)
    assert (len(imported.table), imported.dropped["sequence differs from the genome"]) == (99, 1)
    with pytest.raises(
        UserError, match=r"wrong assembly\? 2 of 100 records disagree with .*genome\.fa\.gz \(0 lie past"
    ):
        load(HEADER + record() * 98 + wrong * 2, "vntrseek", genome)
    with pytest.raises(UserError, match=r"1 lie past .* 1 have another sequence; e\.g\. line 4 at chr1:6, line 5"):
        load(HEADER + wrong + record(pos="28"), "vntrseek", genome)


def test_other_chromosome_names(load, genome: Path) -> None:
    with pytest.raises(UserError, match=r"none of its chromosomes \(1\) is in .* \(chr1, chr2\); '1' is called 'chr1'"):
        load(HEADER + record("1"), "vntrseek", genome)
    with pytest.raises(UserError, match=r"none of its chromosomes \(scaffold1\) is in"):
        load("scaffold1\t1\t4\n", "bed", genome)


VCF_ERRORS = [
    ("", 1, "not a VCF"),
    ("chr1\t1\t20\n", 1, "not a VCF"),
    (HEADER, None, "no record in the catalogue"),
    ("##fileformat=VCFv4.1\n" + record(), 2, "before the VCF's line of column names"),
    ("##fileformat=VCFv4.1\n#CHROM\tPOS\tREF\n", 2, "columns must be #CHROM POS ID REF"),
    (HEADER + record() + "chr1\t5\n", 5, "2 columns; a VCF record has at least 8"),
    (HEADER + record(pos="five"), 4, "POS 'five' is not a whole number"),
    (HEADER + record(pos="-5"), 4, "starts before the chromosome"),
    (HEADER + record(ref="MKVL"), 4, "REF 'MKVL' is not DNA"),
    (HEADER + record(ref="<DEL>"), 4, "REF '<DEL>' is not DNA"),
    (HEADER + record(ref="ACGACGACG"), 4, "REF has 9 bases, and RAL is 9"),
    (HEADER + record(info="DP=3"), 4, "INFO lacks RC, RPL, RAL, RCP"),
    (HEADER + record(info="RC=x;RPL=3;RAL=9;RCP=ACG"), 4, "RC 'x' is not a number"),
]
OTHER_ERRORS = [
    ("bed", "chr1\t5\t3\n", 1, "empty or backwards (start 5, end 3)"),
    ("bed", "chr1\t5\t14\nchr1\t-1\t3\n", 2, "starts before the chromosome"),
    ("bed", "chr1\t5\t14\nchr1\t25\t31\n", 2, "past the end of chr1 (30 bases in"),
    ("bed", "chr1\t5\n", 1, "2 columns; BED has at least 3"),
    ("bed", "chr1\tx\t5\n", 1, "start 'x' is not a whole number"),
    ("bed", "# nothing\n", None, "no record in the catalogue"),
    ("ucsc", "\t".join(UCSC[:9]) + "\n", 1, "9 columns; simpleRepeat has 17"),
    ("ucsc", "\t".join([*UCSC[:3], "40", *UCSC[4:]]) + "\n", 1, "past the end of chr1"),
    ("trf", TRF_RECORD + "\n", 1, "not TRF's .dat"),
    ("trf", "@chr1\n1 2 3\n", 2, "not TRF's .dat"),
    ("trf", "@\n", 1, "a sequence without a name"),
    ("trf", "<html>\n", 1, "not TRF's .dat"),
]


@pytest.mark.parametrize(
    ("layout", "text", "line", "message"), [*(("vntrseek", *case) for case in VCF_ERRORS), *OTHER_ERRORS]
)
def test_what_is_refused(
    load, tmp_path: Path, genome: Path, layout: str, text: str, line: int | None, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        load(text, layout, genome)
    place = f"{tmp_path / 'in'}.{layout}" + (f", line {line}: " if line else ": ")
    assert str(caught.value).startswith(place)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_gzip_and_binary(tmp_path: Path) -> None:
    path = tmp_path / "x.bed.gz"
    path.write_bytes(gzip.compress(b"chr1\t1\t2\n" * 50)[:-9])
    with pytest.raises(UserError, match="damaged or truncated gzip"):
        list(read_catalogue(path, "bed"))
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match="not a text file"):
        list(read_catalogue(path, "bed"))


@given(
    starts=st.lists(st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 20), st.integers(1, 10)), min_size=1)
)
def test_bed_intervals_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, starts: list[tuple[str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("bed") / "x.bed"
    path.write_text("".join(f"{chrom}\t{start}\t{start + length}\n" for chrom, start, length in starts))
    found = [(repeat.chrom, repeat.start, repeat.end - repeat.start) for _, repeat in read_catalogue(path, "bed")]
    assert found == starts


def script(*arguments: object, **spec: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["import_catalogue.py", "--spec", "-", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.StringIO(json.dumps({"catalogue": "c", "filters": None, **spec})))
        runpy.run_path(str(SCRIPT), run_name="__main__")


def test_script_on_real_calls(tmp_path: Path, shared: Path) -> None:
    output, ledger = tmp_path / "c.parquet", tmp_path / "c.json"
    calls = shared / HUMAN / "VNTRseek_NA19240_ERX283215.vcf"
    script("--files", calls, "--output", output, "--ledger", ledger, format="vntrseek")
    table, counts = pd.read_parquet(output), json.loads(ledger.read_text())
    assert counts["ledger"] == [{"stage": "import", "source": "c", "in": 3737, "kept": 3737, "dropped": {}}]
    assert counts["duplicate_sequences"] == 7
    lengths = table["sequence"].str.len()
    assert (lengths.min(), lengths.median(), lengths.max(), (lengths == 25).sum()) == (25, 91, 3637, 14)
    assert table["filter"].value_counts().to_dict() == {"PASS": 3459, "SC": 278}
    assert (table["end"] - table["start"] == lengths).all()


def test_script_refuses_another_assembly(tmp_path: Path, shared: Path) -> None:
    genome = tmp_path / "genome.fa.gz"
    import_fasta([("all", shared / HUMAN / "chr2_1-2333275.fa.gz")], None, genome)
    output, ledger = tmp_path / "out" / "c.parquet", tmp_path / "out" / "c.json"
    right = shared / HUMAN / "VNTRseek_NA19240_hg38_chr2.vcf"
    script("--genome", genome, "--files", right, "--output", output, "--ledger", ledger, format="vntrseek")
    assert json.loads(ledger.read_text())["compared_with_genome"] == len(pd.read_parquet(output)) == 24
    output.unlink()
    ledger.unlink()
    wrong = shared / HUMAN / "VNTRseek_NA19240_ERX283215.vcf"
    places = ["--genome", genome, "--files", wrong, "--output", output, "--ledger", ledger]
    spec = {"catalogue": "c", "format": "vntrseek", "filters": None}
    done = run_script("import_catalogue.py", *places, spec=spec)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {wrong}: wrong assembly? 310 of 316 records disagree with")
    assert "Traceback" not in done.stderr
    assert not list(output.parent.iterdir())
