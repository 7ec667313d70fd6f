"""TRF as an external program: what it calls, and what happens without it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from needed import needs

from dnalm.data.genomes import import_fasta
from dnalm.names import SHARDS, TRF_PARAMETERS
from dnalm.sequence import trf
from dnalm.sequence.trf import Repeat, best_repeats

SCRIPT = ROOT / "scripts" / "find_repeats.py"
UNIT = "ACGATTGCAACCTGA"
needs_trf = needs("trf")


def random_dna(length: int) -> str:
    return "".join(np.random.default_rng(length).choice(list("ACGT"), length))


@needs_trf
def test_called() -> None:
    sequences = [random_dna(300), UNIT * 6, "ACGT", random_dna(50) + UNIT * 6 + random_dna(60), "AC" * 40]
    found = best_repeats(sequences)
    assert [repeat is not None for repeat in found] == [False, True, False, True, True]
    assert found[1] == Repeat(len(UNIT), 6.0, 2 * len(UNIT * 6)) and found[4] == Repeat(2, 40.0, 160)
    assert best_repeats([]) == []
    assert best_repeats(sequences, (2, 5, 7, 80, 10, 5000, 2000)) == [None] * 5


@needs_trf
def test_the_repeat_of_the_highest_score_is_told() -> None:
    (best,) = best_repeats([UNIT * 5 + random_dna(80) + "AC" * 60 + random_dna(70)])
    assert best == Repeat(2, 60.0, 240)


@needs_trf
def test_sequences_are_given_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = [random_dna(60), "", "N" * 50, UNIT * 6, "AC" * 40, ""]
    together = best_repeats(sequences)
    monkeypatch.setattr(trf, "_BATCH", 2)
    assert best_repeats(sequences) == together


def test_without_trf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert best_repeats(["ACGT"]) is None


def find(tmp_path: Path, shard: int, **more: object) -> subprocess.CompletedProcess[str]:
    source = tmp_path / "in.fa"
    source.write_text(f">a x\n{random_dna(500)}{UNIT * 6}\n>b y\n{random_dna(900)}\n>c\n{UNIT * 8}{'N' * 100}\n")
    import_fasta([("all", source)], None, tmp_path / "g.fa.gz")
    output = tmp_path / f"{shard}.dat"
    return subprocess.run(
        [
            *(sys.executable, SCRIPT, "--spec", "-", "--genome", tmp_path / "g.fa.gz"),
            *("--shard", str(shard), "--output", output),
        ],
        input=json.dumps({"parameters": TRF_PARAMETERS}), capture_output=True, text=True, **more,
    )  # fmt: skip


@needs_trf
def test_script(tmp_path: Path) -> None:
    for shard in range(SHARDS):
        assert find(tmp_path, shard).returncode == 0
    found = "".join(sorted((tmp_path / f"{shard}.dat").read_text() for shard in range(SHARDS)))
    assert [line for line in found.splitlines() if line.startswith("@")] == ["@a", "@c"]
    assert f" {UNIT * 6} " in found


def test_script_without_trf(tmp_path: Path) -> None:
    done = find(tmp_path, 0, env={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: trf is not installed")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "0.dat").exists()
