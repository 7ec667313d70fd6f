"""The simulated genome: what it promises, and that its VCF is one to other programs too."""

import gzip
import io
import runpy
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pysam
import pytest
from conftest import ROOT
from script_runs import run_script

from dnalm.config.genomes import Simulation
from dnalm.data.catalogues import import_catalogue
from dnalm.data.genomes import import_fasta
from dnalm.data.simulation import simulate, vcf
from dnalm.errors import UserError

SCRIPT = ROOT / "scripts" / "simulate_genome.py"
SMALL = {"chromosomes": 2, "length": 60_000, "arrays": 40}


def settings(**changes: object) -> Simulation:
    return Simulation(**{**SMALL, **changes})


def test_arrays_are_where_they_are_said_to_be() -> None:
    genome, arrays = simulate(settings())
    assert {name: len(bases) for name, bases in genome.items()} == {"chr1": 60_000, "chr2": 60_000}
    assert len(arrays) == 40
    for before, after in pairwise(arrays):
        assert before.chrom != after.chrom or before.start + len(before.sequence) < after.start
    for array in arrays:
        there = genome[array.chrom][array.start : array.start + len(array.sequence)].decode()
        assert there.upper() == array.sequence
        assert there.isupper() or there.islower()
        assert 7 <= len(array.unit) <= 60
        assert 1.9 <= array.copies <= 20.1
        assert abs(len(array.sequence) - array.copies * len(array.unit)) <= 0.05 * len(array.sequence) + 4
        assert abs(len(array.alternative) - len(array.sequence)) == abs(array.gained) * len(array.unit) > 0


def test_perfect_arrays_repeat_their_unit() -> None:
    _, arrays = simulate(settings(substitutions=0.0, indels=0.0))
    for array in arrays:
        assert array.sequence == (array.unit * 21)[: len(array.sequence)]


def test_shares_of_the_genome() -> None:
    genome, arrays = simulate(Simulation())
    bases = np.frombuffer(b"".join(genome.values()), np.uint8)
    assert len(bases) == 2_000_000
    gaps, soft = bases == ord("N"), bases >= ord("a")
    assert gaps.mean() == pytest.approx(0.01, abs=1e-4)
    lower = {True: 0, False: 0}
    for array in arrays:
        lower[genome[array.chrom][array.start : array.start + 1].islower()] += len(array.sequence)
    assert (soft.sum() - lower[True]) / len(bases) == pytest.approx(0.3, abs=0.005)
    assert 0.05 < lower[True] / sum(lower.values()) < 0.2
    unique = bases[~soft & ~gaps]
    assert np.isin(unique, [ord("G"), ord("C")]).mean() == pytest.approx(0.41, abs=0.02)
    # Enough is left to draw a negative for each array.
    assert len(unique) - lower[False] > 1.8 * sum(lower.values())


def test_background_has_the_order_asked_for() -> None:
    """The next base depends on the k bases before it, and on those only if k says so."""

    def information(order: int) -> float:
        genome, _ = simulate(settings(order=order, length=400_000, chromosomes=1, arrays=1, interspersed=0.0, gaps=0.0))
        codes = np.searchsorted(list(b"ACGT"), np.frombuffer(genome["chr1"].upper(), np.uint8))
        counts = np.bincount(codes[:-2] * 16 + codes[1:-1] * 4 + codes[2:], minlength=64).reshape(4, 4, 4)
        joint = counts / counts.sum()
        first, middle, last = joint.sum((1, 2)), joint.sum((0, 2)), joint.sum((0, 1))
        entropies = [-(p * np.log2(p)).sum() for p in (joint, first, middle, last)]
        return float(sum(entropies[1:]) - entropies[0])

    assert information(0) < 0.01 < 0.02 < information(2)


def test_same_seed_same_genome() -> None:
    assert simulate(settings()) == simulate(settings())
    assert simulate(settings())[0] != simulate(settings(seed=2))[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"order": 0},
        {"order": 8},
        {"interspersed": 0.0, "gaps": 0.0, "indels": 0.0},
        {"unit_length": (1, 1), "copies": (1.0, 1.0)},
        {"unit_length": (60, 60), "copies": (2.0, 2.0), "indels": 0.2, "substitutions": 0.5},
        {"arrays": 1, "chromosomes": 3, "families": 1},
        {"chromosomes": 1, "length": 10_000, "arrays": 2, "interspersed": 0.5},
    ],
)
def test_edges(changes: dict[str, object]) -> None:
    genome, arrays = simulate(settings(**changes))
    assert all(set(bases.upper()) <= set(b"ACGTN") for bases in genome.values())
    assert len(vcf(genome, arrays).splitlines()) == 12 + len(arrays) - 1


def test_what_does_not_fit() -> None:
    with pytest.raises(UserError, match=r"simulate: arrays, interspersed repeats and gaps need .* bases of chr1"):
        simulate(settings(arrays=1000))


def test_script_and_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = [(tmp_path / f"{n}.fa.gz", tmp_path / f"{n}.vcf") for n in range(2)]
    for fasta, calls in outputs:
        monkeypatch.setattr(
            sys, "argv", ["simulate_genome.py", "--spec", "-", "--fasta", str(fasta), "--vcf", str(calls)]
        )
        monkeypatch.setattr(sys, "stdin", io.StringIO(settings().model_dump_json()))
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert [path.read_bytes() for path in outputs[0]] == [path.read_bytes() for path in outputs[1]]
    fasta, calls = outputs[0]
    assert gzip.decompress(fasta.read_bytes()).startswith(b">chr1\n")
    import_fasta([("all", fasta)], None, tmp_path / "genome.fa.gz")
    imported = import_catalogue([calls], "vntrseek", None, tmp_path / "genome.fa.gz")
    assert imported.counts["compared_with_genome"] == imported.read == len(imported.table) == 40
    with pysam.VariantFile(str(calls)) as variants, pysam.FastaFile(str(tmp_path / "genome.fa.gz")) as genome:
        for variant in variants:
            assert genome.fetch(variant.chrom, variant.start, variant.stop).upper() == variant.ref
            assert variant.info["RAL"] == len(variant.ref) - 1


def test_script_refuses_what_does_not_fit(tmp_path: Path) -> None:
    outputs = ["--fasta", tmp_path / "x.fa.gz", "--vcf", tmp_path / "x.vcf"]
    done = run_script("simulate_genome.py", *outputs, spec=settings(arrays=1000))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: simulate: arrays, interspersed repeats and gaps need")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
