"""Masking and splitting: small tables by hand, properties, and an independent computation with bedtools."""

import gzip
import io
import json
import re
import runpy
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from needed import require

from dnalm.data.genomes import FastaWriter, import_fasta
from dnalm.data.masks import mask, pieces
from dnalm.names import SHARDS

SCRIPTS = ROOT / "scripts"
HUMAN = "data/vntr_hg38_chr2"
#         0123456789
BASES = "ACgtNnRACG"


def masked(bases: str, intervals: list[tuple[int, int]], source: str, soft: bool = True) -> str:
    return mask(np.frombuffer(bases.encode(), np.uint8), intervals, source=source, soft=soft).tobytes().decode()


@pytest.mark.parametrize(
    ("source", "soft", "intervals", "expected"),
    [
        ("unique", True, [], "ACNNNNNACG"),
        ("unique", False, [], "ACGTNNNACG"),
        ("interspersed", True, [], "NNGTNNNNNN"),
        ("interspersed", False, [], "NNGTNNNNNN"),
        ("context", True, [], "ACGTNNNACG"),
        ("unique", True, [(9, 10), (0, 1)], "NCNNNNNACN"),
        ("unique", False, [(1, 3), (2, 4), (2, 3)], "ANNNNNNACG"),
        ("interspersed", True, [(3, 8)], "NNGNNNNNNN"),
        ("context", True, [(0, 10)], "NNNNNNNNNN"),
    ],
)
def test_mask(source: str, soft: bool, intervals: list[tuple[int, int]], expected: str) -> None:
    assert masked(BASES, intervals, source, soft) == expected


def cut(text: str) -> list[tuple[int, int]]:
    starts, ends = pieces(np.frombuffer(text.encode(), np.uint8))
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def test_pieces() -> None:
    assert cut("ACNNGNRTTaA") == [(0, 2), (4, 5), (7, 9), (10, 11)]
    assert cut("") == cut("N") == cut("NNNN") == []
    assert cut("ACGT") == [(0, 4)]


intervals = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6
)


@given(
    bases=st.text("ACGTacgtNnR", min_size=60, max_size=60),
    intervals=intervals,
    source=st.sampled_from(["unique", "interspersed", "context"]),
    soft=st.booleans(),
)
def test_every_base_is_masked_or_itself(bases: str, intervals: list[tuple[int, int]], source: str, soft: bool) -> None:
    result = masked(bases, intervals, source, soft)
    assert len(result) == len(bases)
    for at, (before, after) in enumerate(zip(bases, result, strict=True)):
        keep = {"unique": before.isupper() or not soft, "interspersed": before.islower(), "context": True}[source]
        keep = keep and before.upper() in "ACGT" and not any(start <= at < end for start, end in intervals)
        assert after == (before.upper() if keep else "N")


@given(bases=st.text("ACGTN", max_size=80))
def test_pieces_and_gaps_make_up_the_chromosome(bases: str) -> None:
    found = cut(bases)
    rebuilt = ["N"] * len(bases)
    for start, end in found:
        assert start < end
        assert set(bases[start:end]) <= set("ACGT")
        rebuilt[start:end] = bases[start:end]
    assert "".join(rebuilt) == bases
    assert all(end < start for (_, end), (start, _) in pairwise(found))


@given(bases=st.text("ACGTacgtN", min_size=60, max_size=60), intervals=intervals)
def test_sources_share_no_base(bases: str, intervals: list[tuple[int, int]]) -> None:
    texts = {source: masked(bases, intervals, source) for source in ("unique", "interspersed", "context")}
    for unique, interspersed, context in zip(*texts.values(), strict=True):
        assert (unique == "N") + (interspersed == "N") >= 1
        assert context == (unique if unique != "N" else interspersed)


def script(name: str, spec: dict[str, object], *arguments: object) -> None:
    """Run a script in this process, which spares its imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, "--spec", "-", *map(str, arguments)])
        patch.setattr(sys, "stdin", io.StringIO(json.dumps(spec)))
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")


def mask_and_split(directory: Path, genome: Path, table: Path, source: str, soft: bool, shards: range) -> list[Path]:
    outputs = []
    for shard in shards:
        fasta, output = directory / f"{source}{soft}{shard}.fa.gz", directory / f"{source}{soft}{shard}.parquet"
        script(
            "mask.py",
            {"soft": soft, "source": source},
            "--genome",
            genome,
            "--catalogues",
            table,
            "--shard",
            shard,
            "--output",
            fasta,
        )
        script(
            "split.py",
            {"min_length": 26, "source": source},
            "--masked",
            fasta,
            "--output",
            output,
            "--ledger",
            output.with_suffix(".json"),
        )
        outputs.append(output)
    return outputs


def compare_with_bedtools(directory: Path, fasta: Path, bed: Path, source: str, soft: bool, shards: range) -> None:
    """Mask and split by our scripts and by bedtools and regular expressions; both must agree base by base."""
    require("bedtools")
    plain = directory / "plain.fa"
    opener = gzip.open if fasta.suffix == ".gz" else open
    with opener(fasta, "rt") as stream:
        lines = stream.read().splitlines()
    hidden = {"unique": "[acgtn]" if soft else "(?!)", "interspersed": "[ACGTN]", "context": "(?!)"}[source]
    plain.write_text(
        "".join((line if line.startswith(">") else re.sub(hidden, "N", line).upper()) + "\n" for line in lines)
    )
    command = ["bedtools", "maskfasta", "-fi", plain, "-bed", bed, "-fo", directory / "bedtools.fa"]
    subprocess.run(command, check=True)
    expected: dict[str, str] = {}
    for record in (directory / "bedtools.fa").read_text().split(">")[1:]:
        name, _, sequence = record.partition("\n")
        expected[name.split()[0]] = sequence.replace("\n", "")

    genome, table = directory / "genome.fa.gz", directory / "catalogue.parquet"
    import_fasta([("all", fasta)], None, genome)
    script(
        "import_catalogue.py",
        {"catalogue": "c", "format": "bed", "filters": None},
        "--genome",
        genome,
        "--files",
        bed,
        "--output",
        table,
        "--ledger",
        directory / "c.json",
    )
    found: dict[str, str] = {}
    for output in mask_and_split(directory, genome, table, source, soft, shards):
        here = {}
        for record in gzip.decompress(output.with_suffix(".fa.gz").read_bytes()).decode().split(">")[1:]:
            name, _, sequence = record.partition("\n")
            here[name] = sequence.replace("\n", "")
        found |= here
        cuts = [
            (name, match.start(), match.end()) for name in here for match in re.finditer("[ACGT]{26,}", expected[name])
        ]
        assert list(pd.read_parquet(output).itertuples(index=False, name=None)) == cuts
        ledger = json.loads(output.with_suffix(".json").read_text())
        pieces_in = sum(len(re.findall("[ACGT]+", expected[name])) for name in here)
        assert ledger["ledger"][0]["in"] == pieces_in
        assert ledger["ledger"][0]["kept"] == len(cuts)
        assert ledger["bases"] == sum(map(len, here.values()))
        assert ledger["kept_bases"] == sum(end - start for _, start, end in cuts)
        assert ledger["unmasked_bases"] == sum(len(text) - text.count("N") for text in here.values())
    assert found == expected


@pytest.mark.parametrize(
    ("source", "soft"), [("unique", True), ("unique", False), ("interspersed", True), ("context", True)]
)
def test_small_genome_agrees_with_bedtools(tmp_path: Path, source: str, soft: bool) -> None:
    rng = np.random.default_rng(5)
    fasta, bed = tmp_path / "small.fa", tmp_path / "small.bed"
    lengths = {f"chr{number}": 3_000 + 500 * number for number in range(3)}
    with open(fasta, "w") as genome, open(bed, "w") as catalogue:
        for name, length in lengths.items():
            letters = rng.choice(list("ACGT"), length)
            for letter_case, count in ((str.lower, 12), (lambda _: "N", 6)):
                for start in rng.integers(0, length - 200, count):
                    stretch = slice(start, start + rng.integers(1, 200))
                    letters[stretch] = [letter_case(letter) for letter in letters[stretch]]
            letters[rng.integers(0, length, 3)] = "R"
            text = "".join(letters)
            genome.write(f">{name}\n" + "".join(text[at : at + 50] + "\n" for at in range(0, length, 50)))
            for start in sorted(rng.integers(0, length - 300, 10)):
                catalogue.write(f"{name}\t{start}\t{start + rng.integers(1, 300)}\n")
            catalogue.write(f"{name}\t{length - 10}\t{length}\n")
    # The other tool leaves ambiguity codes; to us they are N.
    fasta_n = tmp_path / "small_n.fa"
    fasta_n.write_text(fasta.read_text().replace("R", "N"))
    compare_with_bedtools(tmp_path, fasta_n, bed, source, soft, range(4))
    ambiguous, _ = mask_outputs(tmp_path, fasta, source, soft)
    unambiguous, empty = mask_outputs(tmp_path, fasta_n, source, soft)
    assert ambiguous == unambiguous
    assert empty["in"] == 0


def mask_outputs(directory: Path, fasta: Path, source: str, soft: bool) -> tuple[bytes, dict[str, int]]:
    """The masked FASTA of the first shard, and the ledger of the last, which has no chromosome."""
    genome = directory / "again.fa.gz"
    import_fasta([("all", fasta)], None, genome)
    first, last = mask_and_split(
        directory, genome, directory / "catalogue.parquet", source, soft, range(0, SHARDS, SHARDS - 1)
    )
    return first.with_suffix(".fa.gz").read_bytes(), json.loads(last.with_suffix(".json").read_text())["ledger"][0]


@pytest.mark.parametrize("source", ["unique", "interspersed", "context"])
def test_human_chromosome_agrees_with_bedtools(tmp_path: Path, shared: Path, source: str) -> None:
    fasta, bed = shared / HUMAN / "chr2_1-2333275.fa.gz", shared / HUMAN / "danbing-tk_hg38_chr2.bed"
    compare_with_bedtools(tmp_path, fasta, bed, source, True, range(1))


def test_known_counts_of_the_human_chromosome(shared: Path) -> None:
    lines = gzip.decompress((shared / HUMAN / "chr2_1-2333275.fa.gz").read_bytes()).split(b"\n")
    bases = np.frombuffer(b"".join(lines[1:]), np.uint8)
    starts, ends = pieces(mask(bases, [], source="interspersed", soft=True))
    assert (int((ends - starts).sum()), len(starts)) == (831_507, 2_235)
    starts, ends = pieces(mask(bases, [], source="unique", soft=True))
    long = ends - starts >= 26
    assert (int(long.sum()), int((ends - starts)[long].sum())) == (1_897, 1_488_548)


def test_split_of_nothing_is_a_valid_table(tmp_path: Path) -> None:
    with FastaWriter(tmp_path / "none.fa.gz"):
        pass
    output = tmp_path / "none.parquet"
    script(
        "split.py",
        {"min_length": 26, "source": "unique"},
        "--masked",
        tmp_path / "none.fa.gz",
        "--output",
        output,
        "--ledger",
        tmp_path / "none.json",
    )
    table = pd.read_parquet(output)
    assert list(table.columns) == ["chrom", "start", "end"]
    assert table.dtypes.astype(str).tolist() == ["str", "int64", "int64"]
    assert table.empty
