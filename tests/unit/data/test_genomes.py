"""Import of genomes: any FASTA in, one indexed FASTA out, and an error for whatever is none."""

import gzip
import subprocess
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import needs
from script_runs import run_script

from dnalm.data.genomes import FastaWriter, chromosome_lengths, import_fasta, open_genome, read_bases
from dnalm.errors import UserError
from dnalm.sequence import fasta

FASTA = b">chr1 first\nACGTacgtNN\nRYKM\n>chr2\nTTTT\n>chr10\n" + b"ACGTTGCA" * 40 + b"\n"


def contents(path: Path) -> dict[str, str]:
    with open_genome(path) as genome:
        return {name: genome.fetch(name) for name in chromosome_lengths(genome)}


def imported(tmp_path: Path, text: bytes, chromosomes: list[str] | None = None, name: str = "in.fa") -> dict[str, str]:
    source = tmp_path / name
    source.write_bytes(text)
    output = tmp_path / "out" / "genome.fa.gz"
    import_fasta([("all", source)], chromosomes, output)
    assert sorted(path.name for path in output.parent.iterdir()) == [
        "genome.fa.gz",
        "genome.fa.gz.fai",
        "genome.fa.gz.gzi",
    ]
    return contents(output)


EXPECTED = {"chr1": "ACGTacgtNNRYKM", "chr2": "TTTT", "chr10": "ACGTTGCA" * 40}


def test_plain(tmp_path: Path) -> None:
    assert imported(tmp_path, FASTA) == EXPECTED


def test_packing_and_layout_do_not_matter(tmp_path: Path) -> None:
    bgzip = tmp_path / "bgzip"
    with pysam.BGZFile(str(bgzip), "wb") as stream:
        stream.write(FASTA)
    variants = [
        FASTA,
        gzip.compress(FASTA, mtime=0),
        gzip.compress(FASTA[:50], mtime=0) + gzip.compress(FASTA[50:], mtime=0),
        bgzip.read_bytes(),
        FASTA.replace(b"\n", b"\r\n"),
        b"\n\n" + FASTA.replace(b"\n>", b"\n\n>"),
        FASTA.rstrip(),
        FASTA.replace(b"ACGTTGCA", b"ACGTTGCA\n"),
    ]
    packed = set()
    for number, text in enumerate(variants):
        directory = tmp_path / str(number)
        directory.mkdir()
        assert imported(directory, text) == EXPECTED
        packed.add((directory / "out" / "genome.fa.gz").read_bytes())
    assert len(packed) == 1


def test_index_is_samtools_own(tmp_path: Path) -> None:
    imported(tmp_path, FASTA)
    output = tmp_path / "out" / "genome.fa.gz"
    before = [output.with_name(output.name + suffix).read_bytes() for suffix in (".fai", ".gzi")]
    pysam.faidx(str(output))
    assert before == [output.with_name(output.name + suffix).read_bytes() for suffix in (".fai", ".gzi")]


def test_chromosomes_are_kept_in_the_order_asked_for(tmp_path: Path) -> None:
    result = imported(tmp_path, FASTA, ["chr10", "chr1"])
    assert list(result.items()) == [("chr10", EXPECTED["chr10"]), ("chr1", EXPECTED["chr1"])]


def test_one_file_a_chromosome(tmp_path: Path) -> None:
    parts = []
    for name in ("chr2", "chr1"):
        path = tmp_path / f"{name}.fa"
        path.write_bytes(FASTA)
        parts.append((name, path))
    output = tmp_path / "genome.fa.gz"
    assert import_fasta(parts, ["chr2", "chr1"], output) == {"chr2": 4, "chr1": 14}
    assert list(contents(output)) == ["chr2", "chr1"]
    with pytest.raises(UserError, match=r"chr1\.fa: no record 'chrX'; did you mean chr"):
        import_fasta([("chrX", tmp_path / "chr1.fa")], ["chrX"], output)


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.text("ACGTNacgtnRyK", min_size=1, max_size=300), min_size=1, max_size=5),
    width=st.integers(1, 80),
    block=st.integers(1, 200),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_blocks_lines_and_records_fall_anywhere(
    tmp_path_factory: pytest.TempPathFactory, records: list[str], width: int, block: int, newline: str
) -> None:
    directory = tmp_path_factory.mktemp("blocks")
    text = "".join(
        f">r{number} about{newline}"
        + "".join(sequence[at : at + width] + newline for at in range(0, len(sequence), width))
        for number, sequence in enumerate(records)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fasta, "BLOCK", block)
        result = imported(directory, text.encode())
        with open_genome(directory / "out" / "genome.fa.gz") as genome:
            bases = [read_bases(genome, name).tobytes().decode() for name in result]
    with pysam.FastxFile(str(directory / "in.fa")) as stream:
        expected = {record.name: record.sequence for record in stream}
    assert result == expected
    assert bases == list(expected.values())


def test_writer_does_not_depend_on_the_cuts(tmp_path: Path) -> None:
    bases = np.frombuffer(b"ACGTN" * 100, np.uint8)
    for name, cuts in (("a", [500]), ("b", [1, 59, 60, 61, 119, 500])):
        with FastaWriter(tmp_path / name) as writer:
            writer.start("x")
            for start, end in zip([0, *cuts], cuts, strict=False):
                writer.write(bases[start:end].data)
            writer.start("y")
            writer.write(b"ACGT")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    lines = gzip.decompress((tmp_path / "a").read_bytes()).splitlines()
    assert [len(line) for line in lines] == [2, *[60] * 8, 20, 2, 4]


PROTEIN = b">sp|P1\nACGT\nACGTA\nMKVLAAGIEF\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"<!DOCTYPE html>\n<p>", "not FASTA (starts with '<!DOCTYPE', not '>')"),
        (b"\x00\x01\x02binary", "not FASTA"),
        (PROTEIN, "line 4: record 'sp|P1' has the letter 'L', which is not DNA"),
        (b">a\nACGU\n", "line 2: record 'a' has the letter 'U'"),
        (b">a\nAC-GT\n", "line 2: record 'a' has the letter '-'"),
        (b">a\nAC\n>b\nAC\n>a\nAC\n", "line 5: a second record is called 'a'"),
        (b">a\n>b\nAC\n", "line 1: record 'a' has no sequence"),
        (b">a\nAC\n>b\n\n", "line 3: record 'b' has no sequence"),
        (b">a\nAC\n>b", "line 3: record 'b' has no sequence"),
        (b">\nAC\n", "line 1: a record without a name"),
        (b"> a\nAC\n", "line 1: a record without a name"),
        (gzip.compress(FASTA, mtime=0)[:-12], "damaged or truncated gzip file"),
        (gzip.compress(FASTA, mtime=0)[:10] + b"nonsense", "damaged or truncated gzip file"),
    ],
)
def test_what_is_no_genome(tmp_path: Path, text: bytes, message: str) -> None:
    source = tmp_path / "in.fa.gz"
    source.write_bytes(text)
    with pytest.raises(UserError) as caught:
        import_fasta([("all", source)], None, tmp_path / "out" / "genome.fa.gz")
    assert str(caught.value).startswith(f"{source}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").iterdir())


def test_missing_chromosome_and_missing_file(tmp_path: Path) -> None:
    source = tmp_path / "in.fa"
    source.write_bytes(FASTA)
    with pytest.raises(UserError, match=r"no record '2'; did you mean chr2\?"):
        import_fasta([("all", source)], ["chr1", "2"], tmp_path / "genome.fa.gz")
    with pytest.raises(UserError, match=r"no record 'MT'; the file has chr1, chr2, chr10"):
        import_fasta([("all", source)], ["MT"], tmp_path / "genome.fa.gz")
    with pytest.raises(UserError, match=r"none\.fa: no such file"):
        import_fasta([("all", tmp_path / "none.fa")], None, tmp_path / "genome.fa.gz")
    with pytest.raises(UserError, match="chromosomes: chr1 listed twice"):
        import_fasta([("all", source)], ["chr1", "chr2", "chr1"], tmp_path / "genome.fa.gz")


def test_open_genome_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.fa\.gz: not an indexed FASTA"):
        open_genome(tmp_path / "none.fa.gz")


@needs("/dev/full")
def test_full_disk() -> None:
    with (
        pytest.raises(UserError, match="/dev/full: cannot be written; is the disk full"),
        FastaWriter("/dev/full") as writer,
    ):
        writer.start("x")
    with pytest.raises(UserError, match="cannot be written"), FastaWriter("/dev/full") as writer:
        writer.start("x")
        writer.write(np.random.default_rng(1).integers(0, 256, 1_000_000, np.uint8).tobytes())


def run(tmp_path: Path, text: bytes, **spec: object) -> subprocess.CompletedProcess[str]:
    (tmp_path / "in.fa").write_bytes(text)
    places = ["--parts", tmp_path / "in.fa", "--output", tmp_path / "g.fa.gz"]
    return run_script("import_genome.py", *places, spec={"parts": ["all"], "chromosomes": None, **spec})


def test_script(tmp_path: Path) -> None:
    done = run(tmp_path, PROTEIN)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"error: {tmp_path / 'in.fa'}, line 4: record 'sp|P1' has the letter"
    )
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.fa"]
    assert run(tmp_path, FASTA, chromosomes=["chr2"]).returncode == 0
    assert contents(tmp_path / "g.fa.gz") == {"chr2": "TTTT"}
