"""A full disk is one line, and leaves no half-written output."""

import subprocess

import pytest
from conftest import ROOT

DISK_MB = 1


@pytest.mark.parametrize(
    ("script", "spec", "outputs"),
    [
        ("simulate_genome.py", {}, ["--fasta", "g.fa.gz", "--vcf", "g.vcf"]),
        ("import_genome.py", '{"parts": ["all"], "chromosomes": null}', ["--parts", "PARTS", "--output", "g.fa.gz"]),
        ("train_tokenizer.py", '{"train": "bpe", "vocabulary": 609}',
         ["--train", "TABLE", "--output-dir", "tokenizer"]),
    ],
)  # fmt: skip
def test_a_full_disk_is_one_line(small_disk, tmp_path, script, spec, outputs):
    import json
    import random

    import pandas as pd

    from dnalm.config.genomes import Simulation

    letters = random.Random(1).choices("ACGT", k=4_000_000)
    (tmp_path / "g.fa").write_text(">chr1\n" + "".join(letters) + "\n")
    pd.DataFrame({"sequence": ["".join(letters[at : at + 100]) for at in range(0, 100_000, 100)]}).to_parquet(
        tmp_path / "t.parquet"
    )
    places = {"PARTS": tmp_path / "g.fa", "TABLE": tmp_path / "t.parquet"}
    arguments = [word if word.startswith("--") else str(places.get(word, small_disk / word)) for word in outputs]
    if script == "train_tokenizer.py":
        (small_disk / "filler").write_bytes(b"x" * (1 << 20))
    process = subprocess.run(
        ["python", ROOT / "scripts" / script, "--spec", "-", *arguments],
        input=spec if isinstance(spec, str) else json.dumps(Simulation().model_dump()),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert process.stderr.rstrip().splitlines()[-1].startswith("error: ")
    assert "full" in process.stderr
    assert {path.name for path in small_disk.iterdir()} <= {"filler", "tokenizer"}
    assert not list(small_disk.glob("tokenizer/*"))
