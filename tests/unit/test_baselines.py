"""Features by hand, and baselines that find what was planted."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnalm.dna import reverse_complement
from dnalm.errors import UserError
from dnalm.evaluation.baselines import fit_baseline
from dnalm.evaluation.features import kmer_counts, kmer_features, length_gc
from dnalm.evaluation.periodicity import FEWEST_PAIRS, best_self_match

SCRIPTS = Path(__file__).parents[2] / "scripts"
DNA = st.lists(st.text("ACGTN", max_size=60), min_size=1, max_size=8)


def column(kmer: str) -> int:
    return min(int("".join(str("ACGT".index(base)) for base in word), 4) for word in (kmer, reverse_complement(kmer)))


def test_length_and_gc_by_hand():
    found = length_gc(["ACGT", "GGGGN", "NN", ""])
    assert found[:, 1].tolist() == [0.5, 1, 0, 0]
    assert found[:, 0] == pytest.approx(np.log([4, 5, 2, 1]))


def test_kmers_by_hand():
    counts = kmer_counts(["AAAC", "GTTT", "ACNGT", "AC", ""], 3).toarray()
    assert counts[0, column("AAA")] == 1 and counts[0, column("AAC")] == 1 and counts[0].sum() == 2
    assert (counts[0] == counts[1]).all()  # the other strand
    assert not counts[2:].any()  # every window holds N, or there is none
    assert kmer_counts([], 3).shape == (0, 64) and kmer_counts(["", ""], 4).shape == (2, 256)


@given(DNA, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_kmers_agree_with_a_plain_count(sequences, k):
    expected = np.zeros((len(sequences), 4**k))
    for row, sequence in enumerate(sequences):
        for start in range(len(sequence) - k + 1):
            word = sequence[start : start + k]
            if "N" not in word:
                expected[row, column(word)] += 1
    assert (kmer_counts(sequences, k).toarray() == expected).all()
    norms = np.linalg.norm(kmer_features(sequences, k).toarray(), axis=1)
    assert norms == pytest.approx(expected.any(axis=1).astype(float))


def test_periodicity_by_hand():
    unit = "ACGTTGCAAC"
    broken = list(unit * 3)
    broken[15] = "T" if broken[15] != "T" else "A"
    found = best_self_match([unit * 3, "".join(broken), "A" * 30, unit, "", "N" * 40, unit * 2])
    # The broken base spoils 2 of the 20 pairs of period 10; period 20 compares 10 pairs, none of them with it.
    assert found.tolist() == [1, 1, 1, 0, 0, 0, 1]
    assert best_self_match(["".join(broken)], longest=19).tolist() == [0.9]
    assert best_self_match([unit * 2], longest=9)[0] < 1


@given(st.lists(st.text("ACGTN", max_size=80), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_periodicity_agrees_with_a_plain_count(sequences):
    def plain(sequence: str) -> float:
        best = 0.0
        for period in range(1, 31):
            pairs = [(a, b) for a, b in zip(sequence, sequence[period:], strict=False) if "N" not in (a, b)]
            if len(pairs) >= FEWEST_PAIRS:
                best = max(best, sum(a == b for a, b in pairs) / len(pairs))
        return best

    assert best_self_match(sequences, longest=30) == pytest.approx([plain(sequence) for sequence in sequences])


def test_periodicity_does_not_depend_on_batches(monkeypatch):
    rng = random.Random(1)
    sequences = ["".join(rng.choices("ACGT", k=rng.randint(1, 300))) for _ in range(50)]
    whole = best_self_match(sequences)
    monkeypatch.setattr("dnalm.evaluation.periodicity.BATCH_BASES", 500)
    assert (best_self_match(sequences) == whole).all()


def bases(rng: random.Random, length: int, letters: str = "ACGT") -> str:
    return "".join(rng.choices(letters, k=length))


def tandem(rng: random.Random, length: int) -> str:
    unit = bases(rng, rng.randint(8, 20))
    return (unit * length)[:length]


def tables(*makers, n: int = 240) -> dict[str, pd.DataFrame]:
    """Three splits of n records; label k is made by makers[k]."""
    result = {}
    for number, split in enumerate(("train", "validation", "test")):
        rng = random.Random(number)
        labels = [i % len(makers) for i in range(n)]
        sequences = [makers[label](rng) for label in labels]
        result[split] = pd.DataFrame({"id": [f"{split}{i}" for i in range(n)], "sequence": sequences, "label": labels})
    return result


PLANTED = {
    "length_gc": tables(lambda r: bases(r, 60, "ACGTAT"), lambda r: bases(r, 60, "ACGTCG")),
    "kmer": tables(
        lambda r: bases(r, 120), lambda r: bases(r, 60) + "TGACTCA" + bases(r, 20) + "TGACTCA" + bases(r, 26)
    ),
    "periodicity": tables(lambda r: bases(r, 90), lambda r: tandem(r, 90)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_each_baseline_finds_its_signal(name):
    outcome = fit_baseline(name, PLANTED[name])
    test = outcome.predictions["test"]
    assert (test.predicted == test.labels).mean() > 0.9
    assert test.ids.tolist() == PLANTED[name]["test"]["id"].tolist()
    assert test.scores.sum(axis=1) == pytest.approx(np.ones(240))
    tried = {
        json.dumps({k: v for k, v in entry.items() if k != "validation_mcc"}): entry["validation_mcc"]
        for entry in outcome.account["tried"]
    }
    assert tried[json.dumps(outcome.account["chosen"])] == max(tried.values()) and outcome.account["converged"]


def test_matched_length_and_gc_leave_nothing_to_learn():
    data = tables(lambda r: bases(r, 90), lambda r: bases(r, 90))
    predictions = fit_baseline("length_gc", data).predictions["test"]
    assert 0.35 < (predictions.predicted == predictions.labels).mean() < 0.65


@pytest.mark.parametrize("name", PLANTED)
def test_three_classes_and_one_that_train_lacks(name):
    data = tables(lambda r: bases(r, 40, "ACGTAT"), lambda r: bases(r, 90, "ACGTCG"), lambda r: tandem(r, 150), n=90)
    scores = fit_baseline(name, data).predictions["test"].scores
    assert scores.shape == (90, 3) and scores.sum(axis=1) == pytest.approx(np.ones(90))
    data["train"] = data["train"][data["train"]["label"] < 2]
    scores = fit_baseline(name, data).predictions["test"].scores
    assert scores.shape == (90, 3) and not scores[:, 2].any()


def test_one_class_in_train_is_an_error():
    data = dict(PLANTED["kmer"])
    data["train"] = data["train"][data["train"]["label"] == 1]
    with pytest.raises(UserError, match="only one class"):
        fit_baseline("kmer", data)


def call(data: Path, out: Path, name: str, threads: int = 1) -> subprocess.CompletedProcess[str]:
    files = ["--data", data, "--output", out / "predictions.parquet", "--run", out / "run.json"]
    return subprocess.run(
        [sys.executable, SCRIPTS / "baseline.py", "--spec", "-", *map(str, files)],
        input=json.dumps({"name": name, "seed": 1}), capture_output=True, text=True, check=False,
        env={"OMP_NUM_THREADS": str(threads), "PATH": ""},
    )  # fmt: skip


def test_the_script_writes_the_same_bytes_with_any_threads(tmp_path):
    for split, table in PLANTED["kmer"].items():
        table.to_parquet(tmp_path / f"{split}.parquet")
    for folder, threads in (("a", 1), ("b", 2)):
        done = call(tmp_path, tmp_path / folder, "kmer", threads)
        assert done.returncode == 0, done.stderr
    a, b = ((tmp_path / folder / "predictions.parquet").read_bytes() for folder in "ab")
    assert a == b
    run = json.loads((tmp_path / "a" / "run.json").read_text())
    assert run["spec"] == {"name": "kmer", "seed": 1} and set(run["baseline"]["chosen"]) == {"k", "C"}
    (tmp_path / "test.parquet").write_text("no parquet")
    failed = call(tmp_path, tmp_path / "c", "kmer")
    assert failed.returncode == 1 and not (tmp_path / "c").exists()
    assert (
        failed.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/test.parquet: ")
        and "Traceback" not in failed.stderr
    )
