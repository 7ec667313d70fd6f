"""Generated sequences against those that a model was trained on."""

import json

import numpy as np
import pandas as pd
import pytest
from closeness import close
from script_runs import run_script

from dnalm.evaluation.generated import compared, jensen_shannon
from dnalm.sequence.kmers import encode, kmer_counts


def source(gc, count, seed, length=200):
    chances = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("ACGT"), length, p=chances)) for _ in range(count)]


TRAIN, HELD_OUT = source(0.4, 400, 1), source(0.4, 300, 2)


def test_divergence_is_zero_of_the_same_and_one_of_disjoint_spectra():
    counts = np.array([3, 0, 5, 2])
    assert jensen_shannon(counts, 7 * counts) == 0 and jensen_shannon(np.array([4, 0]), np.array([0, 9])) == 1
    # (1, 0) and (1/2, 1/2): middle (3/4, 1/4)
    expected = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5 * np.log2(2)) / 2
    assert close(jensen_shannon(np.array([8, 0]), np.array([3, 3])), expected)
    assert jensen_shannon(np.array([0, 0]), counts) is None


def test_kmers_are_counted_as_by_hand():
    sequences = ["ACGTN", "", "AC", "ACAC"]
    counts = kmer_counts(*encode(sequences), 2)
    spelt = {one[i : i + 2] for one in sequences for i in range(len(one) - 1)} - {"TN"}
    expected = {word: sum(one[i : i + 2] == word for one in sequences for i in range(3)) for word in spelt}
    found = {"ACGT"[i // 4] + "ACGT"[i % 4]: int(n) for i, n in enumerate(counts) if n}
    assert found == expected == {"AC": 4, "CG": 1, "GT": 1, "CA": 1}


def test_real_sequences_are_as_near_as_held_out_ones_and_others_are_not():
    same, other = (compared(made, TRAIN, HELD_OUT) for made in (source(0.4, 200, 3), source(0.6, 200, 4)))
    for k in "123456":
        near, held_out = same["generated"]["divergence"][k], same["held_out"]["divergence"][k]
        assert 0.4 < near / held_out < 2.5, k
        assert other["generated"]["divergence"][k] > 1.2 * held_out, k
    assert same["generated"]["gc_distance"] < 0.15 < 0.9 < other["generated"]["gc_distance"]
    assert same["held_out"]["bases"] == same["generated"]["bases"] == 200 * 200


def test_copies_and_repeats_are_seen():
    repeats = [("ACGGT" * 40)[:200], "A" * 200, *source(0.4, 8, 5)]
    found = compared([*TRAIN[:5], *repeats], TRAIN)["generated"]
    assert found["copies"]["maximum"] == 200 and found["copies"]["whole_sequences"] == 5
    assert found["copies"]["quartile_1"] < 20
    assert (
        close(found["tandem"], 2 / 15)
        and found["low_complexity"] > 0.12 > compared(TRAIN[:1], TRAIN)["train"]["tandem"]
    )
    assert "held_out" not in compared(TRAIN[:2], TRAIN)


def test_the_script_reads_fasta_and_tables(tmp_path):
    (tmp_path / "g.fa").write_text("".join(f">g{i} seed=1\n{one.lower()}\n" for i, one in enumerate(TRAIN[:20])))
    pd.DataFrame({"id": range(400), "sequence": TRAIN}).to_parquet(tmp_path / "train.parquet")
    pd.DataFrame({"id": range(300), "sequence": HELD_OUT}).to_parquet(tmp_path / "test.parquet")
    paths = ["--generated", tmp_path / "g.fa", "--train", tmp_path / "train.parquet"]
    done = run_script(
        "compare_generated.py", *paths, "--held-out", tmp_path / "test.parquet", "--output", tmp_path / "c.json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "c.json").read_text())
    table = pd.read_csv(tmp_path / "c.tsv", sep="\t", index_col="figure")
    assert found["generated"]["copies"]["whole_sequences"] == 20 == table.loc["copies.whole_sequences", "generated"]
    assert table.loc["divergence.6", "held_out"] == pytest.approx(found["held_out"]["divergence"]["6"], rel=1e-5)
    failed = run_script("compare_generated.py", *paths, "--output", tmp_path / "c.txt")
    assert failed.returncode == 1 and "name a .json file" in failed.stderr
