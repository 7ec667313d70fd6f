"""A user's mistake, met while running: the last line says where and what, and nothing half-written is left.

One of each kind of stage; the unit tests of the importers have every mistake with its message.
"""

import gzip

import pytest
import yaml

FASTA = b">chr1\n" + b"ACGTTGCAAGCTTAGGCTAACCGGTTAACCATGCATTTGGCCAATTGCGATTACAGG\n" * 200


def repeats(**dataset):
    return {
        "genomes": {"g": {"path": "g.fa"}},
        "catalogues": {"c": {"genome": "g", "format": "bed", "path": "c.bed"}},
        "datasets": {"d": {"kind": "repeats", "genome": "g", "catalogue": "c", **dataset}},
    }


def run(snakemake, directory, config, files):
    for name, content in files.items():
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    result = snakemake("--configfile", directory / "config.yaml")
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert not list(directory.rglob("*.tmp"))
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines[-1].startswith("error: "), result.stderr
    return lines[-1]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"g.fa": gzip.compress(FASTA)[:60]}, ["g.fa", "gzip"]),
        ({"c.bed": "chr1\t50\t2000000\n"}, ["c.bed", "line 1"]),
    ],
    ids=["truncated", "past-the-end"],
)
def test_bad_genome_or_catalogue(snakemake, tmp_path, files, words):
    line = run(snakemake, tmp_path, repeats(), {"g.fa": FASTA, "c.bed": "chr1\t50\t200\n", **files})
    assert all(word in line for word in words), line


def test_no_positive_left(snakemake, tmp_path):
    line = run(snakemake, tmp_path, repeats(), {"g.fa": FASTA, "c.bed": "chr1\t50\t60\n"})
    assert "none of 1 arrays is left" in line
    assert "shorter than min_length (26)" in line


def test_a_split_with_one_class(snakemake, tmp_path):
    config = {"datasets": {"t": {"kind": "table", "path": "t.csv"}}}
    rows = "".join(
        f"{'ACGTTGCA' * 2}{'ACGT'[i % 4]}{'GATC'[i // 4 % 4]}{'TTGA'[i // 16 % 4]},{int(i == 0)}\n" for i in range(60)
    )
    line = run(snakemake, tmp_path, config, {"t.csv": "sequence,label\n" + rows})
    assert "class" in line or "label" in line


def test_a_table_without_its_column(snakemake, tmp_path):
    config = {"datasets": {"t": {"kind": "table", "path": "t.csv"}}}
    line = run(snakemake, tmp_path, config, {"t.csv": "seq,label\nACGT,1\n"})
    assert "t.csv" in line
    assert "sequence" in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "this config is empty"),
        ("genomes: {}".encode("utf-16"), "this config is in UTF-16"),
        (b"genomes:\n\tg: {}\n", "line 2: a tab"),
        (b"genomes: &g [*g]\n", "line 1: an anchor (&) that holds itself"),
        (b"datasets: {%s: {kind: table, path: t.csv}}" % (b"x" * 300), "at most 100 characters"),
    ],
    ids=["empty", "utf-16", "tabs", "endless", "long-name"],
)
def test_a_broken_config(snakemake, tmp_path, content, words):
    (tmp_path / "broken.yaml").write_bytes(content)
    result = snakemake("--dry-run", "--configfile", tmp_path / "broken.yaml", timeout=60)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: config: ") and words in last, result.stderr
    assert "broken.yaml" in last or "datasets.xxx" in last
