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
from dnalm.sequence.trf import called_by_trf

SCRIPT = ROOT / "scripts" / "find_repeats.py"
UNIT = "ACGATTGCAACCTGA"
needs_trf = needs("trf")


def random_dna(length: int) -> str:
    return "".join(np.random.default_rng(length).choice(list("ACGT"), length))


@needs_trf
def test_called() -> None:
    sequences = [random_dna(300), UNIT * 6, "ACGT", random_dna(50) + UNIT * 6 + random_dna(60), "AC" * 40]
    assert called_by_trf(sequences) == [False, True, False, True, True]
    assert called_by_trf([]) == []
    assert called_by_trf(sequences, (2, 5, 7, 80, 10, 5000, 2000)) == [False] * 5


def test_without_trf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called_by_trf(["ACGT"]) is None


def find(tmp_path: Path, shard: int, **more: object) -> subprocess.CompletedProcess[str]:
    source = tmp_path / "in.fa"
    source.write_text(f">a x\n{random_dna(500)}{UNIT * 6}\n>b y\n{random_dna(900)}\n>c\n{UNIT * 8}{'N' * 100}\n")
    import_fasta([("all", source)], None, tmp_path / "g.fa.gz")
    output = tmp_path / f"{shard}.dat"
    return subprocess.run(
        [sys.executable, SCRIPT, "--spec", "-", "--genome", tmp_path / "g.fa.gz", "--shard", str(shard), "--output", output],
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
