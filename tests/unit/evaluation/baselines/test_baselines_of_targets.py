"""Baselines of numbers to predict: each finds the signal planted for it, and nothing where there is none."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from dnalm.errors import UserError
from dnalm.evaluation.baselines.simple import fit_baseline
from dnalm.names import BASELINES, TARGET
from dnalm.tables.predictions import NumberPredictions

NAMES = BASELINES[TARGET]


def tables(of, n=300, noise=0.3) -> dict[str, pd.DataFrame]:
    """Three splits of n sequences of 30 to 90 bases, some of them tandem repeats; of(sequence) is the target, but for noise."""
    result = {}
    for number, split in enumerate(("train", "validation", "test")):
        rng = np.random.default_rng(number)
        sequences = []
        for i in range(n):
            gc = rng.uniform(0.3, 0.7)
            letters = rng.choice(list("ACGT"), rng.integers(30, 90), p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
            sequence = "".join(letters)
            sequences.append(sequence if i % 2 else (sequence[:12] * 8)[: len(sequence)])
        target = np.array([of(sequence) for sequence in sequences]) + noise * rng.normal(size=n)
        ids = [f"{split}{i}" for i in range(n)]
        result[split] = pd.DataFrame({"id": ids, "sequence": sequences, "target": 1000 + 50 * target})
    return result


def share(letters: str):
    return lambda sequence: 10 * sum(map(sequence.count, letters)) / len(sequence)


def words(sequence: str) -> float:
    return float(sequence.count("GAT") + sequence.count("ATC"))


def periodic(sequence: str) -> float:
    return 3.0 * (sequence[12:24] == sequence[:12])


PLANTED = {"length_gc": share("GC"), "kmer": words, "boosting": words, "periodicity": periodic}


@pytest.mark.parametrize("name", PLANTED)
def test_each_baseline_finds_its_signal(name):
    data = tables(PLANTED[name])
    outcome = fit_baseline(name, data)
    assert set(outcome.predictions) == {"validation", "test"}
    test = outcome.predictions["test"]
    assert isinstance(test, NumberPredictions) and test.ids.tolist() == data["test"]["id"].tolist()
    assert (test.targets == data["test"]["target"]).all()
    assert spearmanr(test.targets, test.predicted)[0] > 0.7
    assert abs(test.predicted.mean() - test.targets.mean()) < 20  # in the targets' unit
    tried = {
        json.dumps({k: v for k, v in entry.items() if k != "validation_spearman"}): entry["validation_spearman"]
        for entry in outcome.record["tried"]
    }
    assert tried[json.dumps(outcome.record["chosen"])] == max(tried.values()) and outcome.record["converged"]


def test_the_mean_by_hand():
    data = tables(words)
    outcome = fit_baseline("mean", data)
    for split in ("validation", "test"):
        assert outcome.predictions[split].predicted == pytest.approx(np.full(300, data["train"]["target"].mean()))
    assert outcome.record["tried"] == [{"validation_spearman": 0.0}] and outcome.record["chosen"] == {}


@pytest.mark.parametrize("name", ["length_gc", "kmer", "boosting"])
def test_nothing_is_found_where_nothing_is(name):
    test = fit_baseline(name, tables(lambda sequence: 0.0, noise=1.0)).predictions["test"]
    assert abs(spearmanr(test.targets, test.predicted)[0]) < 0.2 or not np.ptp(test.predicted)


@pytest.mark.parametrize("name", NAMES)
def test_sequences_without_a_base_are_predicted_too(name):
    data = tables(words, n=60)
    for table in data.values():
        table.loc[:5, "sequence"] = ["", "N", "", "NNNN", "A", "AC"]
    assert np.isfinite(fit_baseline(name, data).predictions["test"].predicted).all()


def test_what_cannot_be_fitted_is_said():
    data = tables(words, n=20)
    for name in ("majority", "trf", "cnn"):
        with pytest.raises(
            UserError, match=f"baselines: '{name}' predicts no target; use one of mean, length_gc, kmer"
        ):
            fit_baseline(name, data)
    with pytest.raises(UserError, match="test: holds no records"):
        fit_baseline("mean", {**data, "test": data["test"][:0]})
    with pytest.raises(UserError, match=r"train: every target is 2.5; there is nothing to learn"):
        fit_baseline("mean", {**data, "train": data["train"].assign(target=2.5)})
