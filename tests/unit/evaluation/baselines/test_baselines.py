"""Features by hand, and baselines that find what was planted."""

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closeness import close
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from dnalm.errors import UserError
from dnalm.evaluation.baselines.candidates import LONGEST_KMER
from dnalm.evaluation.baselines.features import kmer_counts, kmer_features, kmer_frequencies, length_gc
from dnalm.evaluation.baselines.reference import CalledClassifier
from dnalm.evaluation.baselines.simple import fit_baseline
from dnalm.files import write_table
from dnalm.metrics import classification_metrics
from dnalm.names import TRF_PARAMETERS
from dnalm.sequence.alphabet import reverse_complement
from dnalm.sequence.periodicity import FEWEST_PAIRS, best_self_match
from dnalm.tables.predictions import read_predictions
from dnalm.tables.repeat_calls import repeat_calls

SCRIPTS = ROOT / "scripts"
ALL = ["majority", "length_gc", "kmer", "boosting", "periodicity", "trf"]
DNA = st.lists(st.text("ACGTN", max_size=60), min_size=1, max_size=8)


def column(kmer: str) -> int:
    return min(int("".join(str("ACGT".index(base)) for base in word), 4) for word in (kmer, reverse_complement(kmer)))


def test_length_and_gc_by_hand():
    found = length_gc(["ACGT", "GGGGN", "NN", ""])
    assert found[:, 1].tolist() == [0.5, 1, 0, 0]
    assert found[:, 0] == pytest.approx(np.log([4, 5, 2, 1]))


@pytest.mark.parametrize(("most", "expected"), [(None, 24), (1, 1), (5, 5), (100, 24)])
def test_a_baseline_tries_as_many_settings_as_it_may_spread_over_its_grid(most, expected):
    rng = random.Random(1)
    rows = [(f"r{i}", "".join(rng.choices("ACGT", k=60)), i % 2) for i in range(60)]
    table = pd.DataFrame(rows, columns=["id", "sequence", "label"])
    record = fit_baseline("kmer", dict.fromkeys(("train", "validation", "test"), table), most).record
    assert len(record["tried"]) == expected and record["grid"] == 24
    lengths = [one["k"] for one in record["tried"]]
    assert lengths == sorted(lengths) and (most != 5 or lengths == [1, 2, 4, 5, 6]), lengths


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


@given(DNA, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_frequencies_are_the_counts_of_each_length_over_their_sum(sequences, longest):
    found = kmer_frequencies(sequences, longest)
    columns = [2, 10, 32, 136][:longest]
    assert found.shape == (len(sequences), sum(columns)) and found.dtype == np.float32
    for k, part in enumerate(np.split(found, np.cumsum(columns)[:-1], axis=1), start=1):
        counts = kmer_counts(sequences, k).toarray()
        assert close(part.sum(axis=1), counts.any(axis=1), 1e-6, scale=1)
        expected = [row[row > 0] / row.sum() for row in counts]
        for row, numbers in zip(part, expected, strict=True):
            assert row[row > 0] == pytest.approx(numbers)


def test_frequencies_by_hand():
    # k = 1: A (or T), C (or G); the other strand has the same
    assert kmer_frequencies(["AAAC", "GTTT", "NN", ""], 1).tolist() == [[0.75, 0.25], [0.75, 0.25], [0, 0], [0, 0]]


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
    monkeypatch.setattr("dnalm.sequence.periodicity.BATCH_BASES", 500)
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


def with_calls(data):
    """A stand-in for TRF's calls, so that none of these tests needs it."""
    return {
        split: table.assign(called=best_self_match(table["sequence"].tolist()) > 0.75) for split, table in data.items()
    }


PLANTED = {
    "length_gc": tables(lambda r: bases(r, 60, "ACGTAT"), lambda r: bases(r, 60, "ACGTCG")),
    "kmer": tables(
        lambda r: bases(r, 120), lambda r: bases(r, 60) + "TGACTCA" + bases(r, 20) + "TGACTCA" + bases(r, 26)
    ),
    "periodicity": tables(lambda r: bases(r, 90), lambda r: tandem(r, 90)),
}
PLANTED |= {
    "boosting": PLANTED["kmer"],
    "trf": with_calls(PLANTED["periodicity"]),
}


@pytest.mark.parametrize("name", [name for name in ALL if name != "majority"])
def test_each_baseline_finds_its_signal(name):
    outcome = fit_baseline(name, PLANTED[name])
    test = outcome.predictions["test"]
    assert (test.predicted == test.labels).mean() > 0.9
    assert test.ids.tolist() == PLANTED[name]["test"]["id"].tolist()
    assert test.scores.sum(axis=1) == pytest.approx(np.ones(240))
    tried = {
        json.dumps({k: v for k, v in entry.items() if k != "validation_mcc"}): entry["validation_mcc"]
        for entry in outcome.record["tried"]
    }
    assert tried[json.dumps(outcome.record["chosen"])] == max(tried.values()) and outcome.record["converged"]


def test_matched_length_and_gc_leave_nothing_to_learn():
    data = tables(lambda r: bases(r, 90), lambda r: bases(r, 90))
    predictions = fit_baseline("length_gc", data).predictions["test"]
    assert 0.35 < (predictions.predicted == predictions.labels).mean() < 0.65


def test_the_commonest_class_by_hand():
    data = {split: table.assign(label=[0, 1, 1, 1] * 60) for split, table in PLANTED["kmer"].items()}
    outcome = fit_baseline("majority", data)
    test = outcome.predictions["test"]
    assert (test.scores == [0.25, 0.75]).all()
    found = classification_metrics(test.labels, test.predicted, 2)
    assert found["accuracy"] == 0.75 and found["mcc"] == 0 and found["macro_recall"] == 0.5
    assert found["macro_f1"] == pytest.approx((0 + 2 * 180 / (2 * 180 + 60)) / 2)
    assert outcome.record["chosen"] == {} and outcome.record["converged"]


def test_regression_tries_every_k():
    tried = fit_baseline("kmer", PLANTED["kmer"]).record["tried"]
    assert {entry["k"] for entry in tried} == set(range(1, LONGEST_KMER + 1))


def test_boosting_stops_where_validation_gets_no_better():
    noise = tables(lambda r: bases(r, 90), lambda r: bases(r, 90))
    outcome = fit_baseline("boosting", noise)
    assert outcome.record["converged"] and set(outcome.record["chosen"]) == {"k", "leaves"}
    assert 0.35 < (outcome.predictions["test"].predicted == outcome.predictions["test"].labels).mean() < 0.65


def test_fractions_by_hand():
    answers = np.array([True, True, True, False, False, False, False])[:, None]
    model = CalledClassifier().fit(answers, np.array([1, 1, 0, 0, 0, 0, 0]))
    assert model.classes_.tolist() == [0, 1]
    assert model.predict_proba(np.array([[True], [False]])).tolist() == [
        pytest.approx([2 / 5, 3 / 5]),  # of three called, two of class 1; and one more of each
        pytest.approx([5 / 6, 1 / 6]),
    ]


def test_trf_decides_by_its_call():
    data = PLANTED["trf"]
    outcome = fit_baseline("trf", data)
    called = data["test"]["called"].to_numpy()
    test = outcome.predictions["test"]
    assert 80 < called.sum() < 130 and (test.predicted == called).all() and len(np.unique(test.scores[:, 1])) == 2
    known = data["train"]["called"].to_numpy()
    expected = (1 + (known & (data["train"]["label"] == 1)).sum()) / (2 + known.sum())
    assert test.scores[called, 1] == pytest.approx(np.full(called.sum(), expected))
    assert f"trf {' '.join(map(str, TRF_PARAMETERS))}" in outcome.record["description"]


@pytest.mark.parametrize("name", [name for name in ALL if name != "trf"])
def test_sequences_without_a_base_are_scored_too(name):
    data = {split: table.copy() for split, table in PLANTED["kmer"].items()}
    for table in data.values():
        table.loc[:5, "sequence"] = ["", "N", "", "NNNN", "A", "AC"]
    scores = fit_baseline(name, data).predictions["test"].scores
    assert np.isfinite(scores).all() and scores.sum(axis=1) == pytest.approx(np.ones(240))


@pytest.mark.parametrize("name", ["length_gc", "trf"])
def test_the_background_is_scored_and_changes_nothing(name):
    data = PLANTED.get(name, PLANTED["kmer"])
    plain = fit_baseline(name, data).predictions
    more = fit_baseline(name, {**data, "background": data["test"].assign(label=0)}).predictions
    assert set(more) == {"validation", "test", "background"} and (more["background"].labels == 0).all()
    assert (more["test"].scores == plain["test"].scores).all()
    assert (more["background"].scores == plain["test"].scores).all()


@pytest.mark.parametrize("name", ALL)
def test_three_classes_and_one_that_train_lacks(name):
    data = tables(lambda r: bases(r, 40, "ACGTAT"), lambda r: bases(r, 90, "ACGTCG"), lambda r: tandem(r, 150), n=90)
    data = with_calls(data)
    scores = fit_baseline(name, data).predictions["test"].scores
    assert scores.shape == (90, 3) and scores.sum(axis=1) == pytest.approx(np.ones(90))
    data["train"] = data["train"][data["train"]["label"] < 2]
    scores = fit_baseline(name, data).predictions["test"].scores
    assert scores.shape == (90, 3) and not scores[:, 2].any()


def test_one_class_in_train_is_an_error():
    data = dict(PLANTED["kmer"])
    data["train"] = data["train"][data["train"]["label"] == 1]
    for name in ("majority", "kmer", "boosting", "trf"):
        with pytest.raises(UserError, match=r"train: only one class \(label 1\); a classifier needs"):
            fit_baseline(name, data)


def test_splits_of_no_use_are_errors():
    data = dict(PLANTED["kmer"])
    with pytest.raises(UserError, match="test: holds no records"):
        fit_baseline("boosting", {**data, "test": data["test"].iloc[:0]})
    with pytest.raises(UserError, match="validation: no record has a label that occurs in train"):
        fit_baseline("boosting", {**data, "validation": data["validation"].assign(label=2)})


def call(
    data: Path, out: Path, name: str, threads: int = 1, calls: tuple[Path, ...] = (), **settings: bool
) -> subprocess.CompletedProcess[str]:
    files = ["--data", data, "--output", out / "predictions.parquet", "--run", out / "run.json"]
    files += ["--calls", *calls] if calls else []
    return subprocess.run(
        [sys.executable, SCRIPTS / "baseline.py", "--spec", "-", *map(str, files)],
        input=json.dumps({"name": name, "seed": 1, **settings}), capture_output=True, text=True, check=False,
        env={"OMP_NUM_THREADS": str(threads), "PATH": ""},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["length_gc", "kmer", "boosting"])
def test_threads_change_nothing(name):
    found = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(fit_baseline(name, PLANTED["kmer"]).predictions["test"].scores)
    assert (found[0] == found[1]).all()


def test_the_script_writes_the_same_bytes_with_any_threads(tmp_path):
    name, chosen = "boosting", {"k", "leaves"}
    for split, table in PLANTED["kmer"].items():
        table.to_parquet(tmp_path / f"{split}.parquet")
    for folder, threads in (("a", 1), ("b", 2)):
        done = call(tmp_path, tmp_path / folder, name, threads)
        assert done.returncode == 0, done.stderr
    a, b = ((tmp_path / folder / "predictions.parquet").read_bytes() for folder in "ab")
    assert a == b
    run = json.loads((tmp_path / "a" / "run.json").read_text())
    assert (
        run["spec"] == {"name": name, "seed": 1, "background": False, "most_settings": None}
        and set(run["baseline"]["chosen"]) == chosen
    )
    (tmp_path / "test.parquet").write_text("no parquet")
    failed = call(tmp_path, tmp_path / "c", name)
    assert failed.returncode == 1 and not (tmp_path / "c").exists()
    assert (
        failed.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/test.parquet: ")
        and "Traceback" not in failed.stderr
    )


def test_the_script_scores_the_background_and_says_what_is_missing(tmp_path):
    for split, table in PLANTED["kmer"].items():
        table.to_parquet(tmp_path / f"{split}.parquet")
    table = PLANTED["kmer"]["test"]
    table.assign(label=0, id=[f"background{i}" for i in range(len(table))]).to_parquet(tmp_path / "background.parquet")
    done = call(tmp_path, tmp_path / "out", "majority", background=True)
    assert done.returncode == 0, done.stderr
    assert set(read_predictions(tmp_path / "out/predictions.parquet")) == {"validation", "test", "background"}


def test_the_script_reads_what_trf_calls(tmp_path):
    for split, table in PLANTED["trf"].items():
        table.drop(columns="called").to_parquet(tmp_path / f"{split}.parquet")
    table = PLANTED["trf"]["test"]
    names = [f"background{i}" for i in range(len(table))]
    table.drop(columns="called").assign(label=0, id=names).to_parquet(tmp_path / "background.parquet")
    everyone = pd.concat(PLANTED["trf"].values())
    calls = tmp_path / "calls.parquet", tmp_path / "background_calls.parquet"

    def called(ids, rows):
        return repeat_calls(ids, None if rows is None else [(7, 5.0, 100) if one else None for one in rows])

    write_table(calls[0], called(everyone["id"].tolist(), everyone["called"]))
    write_table(calls[1], called(names, table["called"]))
    done = call(tmp_path, tmp_path / "out", "trf", calls=calls, background=True)  # the PATH is empty
    assert done.returncode == 0, done.stderr
    found = read_predictions(tmp_path / "out/predictions.parquet")
    expected = fit_baseline("trf", PLANTED["trf"]).predictions["test"]
    assert close(found["test"].scores, expected.scores, 1e-6)
    assert close(found["background"].scores, expected.scores, 1e-6)

    def refused(message):
        failed = call(tmp_path, tmp_path / "none", "trf", calls=calls, background=True)
        assert failed.returncode == 1 and "Traceback" not in failed.stderr and not (tmp_path / "none").exists()
        assert failed.stderr.splitlines()[-1].startswith(message), failed.stderr

    write_table(calls[1], called(names, None))
    refused(f"error: baselines: trf was not installed when {calls[1]} was made; install it (conda: bioconda::trf,")
    write_table(calls[1], called(names[1:], table["called"][1:]))
    refused(f"error: {calls[1]}: no record 'background0'; ")
