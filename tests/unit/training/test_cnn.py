"""The small convolutional network: what it computes, and what it learns."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from closeness import close
from small_models import call, error_line, random_dna

from dnalm.errors import UserError
from dnalm.metrics import classification_metrics
from dnalm.names import DECIMALS
from dnalm.sequence.alphabet import reverse_complement
from dnalm.training.cnn import WINDOW, Hyperparameters, Network, Strands, choose
from dnalm.training.engine.devices import make_repeatable

SHORT = replace(Hyperparameters(), channels=16, widths=(11, 3), dilations=(1, 2), batch_size=16, epochs=20, patience=5)
QUICK = replace(SHORT, widths=(11,), dilations=(1,), learning_rate=5e-3)
MOTIFS = ("TGACTCATAG", "CCAGGTTACC", "")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def repeatable():
    make_repeatable()


def planted(count, seed, classes=2, labels=None):
    """Random sequences of 30 to 79 bases; each class but the last has a motif of its own, on the strand given."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes if labels is None else labels
    motifs = [*MOTIFS[: classes - 1], ""]
    sequences = []
    for label in labels:
        length = int(random.integers(30, 80))
        at = int(random.integers(length - 10))
        bases = random_dna(random, length)
        sequences.append(bases[:at] + motifs[label] + bases[at + len(motifs[label]) :])
    return sequences, labels.astype(np.int64)


def scores(network, sequences, both=False):
    return Strands(sequences, np.zeros(len(sequences), dtype=np.int64)).scores(network, both)


def network(classes=2, seed=0, recipe=SHORT):
    torch.manual_seed(seed)
    return Network(classes, recipe).double().eval()


def test_one_convolution_by_hand():
    made = network(recipe=replace(SHORT, channels=1, widths=(3,), dilations=(1,)))
    weight = torch.zeros(1, 4, 3)
    weight[0, 0, 0] = weight[0, 1, 1] = weight[0, 2, 2] = 1.0  # A C G one after another
    with torch.no_grad():
        made.convolutions[0].weight.copy_(weight)
        made.convolutions[0].bias.fill_(-1.5)
        made.head[1].weight.copy_(torch.tensor([[0.0], [2.0]]))
        made.head[1].bias.zero_()
    # three matches leave 1.5, two leave .5, one nothing; N matches nothing
    best = [1.5, 0.5, 0.5, 0.0, 0.0, 0.5]
    found = scores(made, ["TTACGTT", "TTACTTT", "CG", "G", "", "ANG"])
    assert found[:, 1] == pytest.approx(1 / (1 + np.exp(-2 * np.array(best))))
    assert scores(made, ["CGT"], both=True)[0, 1] == pytest.approx((1 / (1 + np.exp(-1)) + 1 / (1 + np.exp(-3))) / 2)


def test_scores_do_not_depend_on_company_or_strand():
    made, random = network(3), np.random.default_rng(1)
    sequences = [random_dna(random, n) for n in (1, 5, 5, 60, 300, 0, 17)] + ["ANNT", "N"]
    together = scores(made, sequences)
    alone = np.concatenate([scores(made, [sequence]) for sequence in sequences])
    assert close(together, alone, 1e-12) and close(together.sum(axis=1), np.ones(9), 1e-12)
    other = [reverse_complement(sequence) for sequence in sequences]
    assert not close(scores(made, other), together, 1e-6)
    assert close(scores(made, other, both=True), scores(made, sequences, both=True), 1e-12)


def test_a_long_sequence_is_scored_in_windows_and_counted():
    made, random = network(), np.random.default_rng(1)
    long = random_dna(random, 2 * WINDOW)
    halves = scores(made, [long[:WINDOW], long[WINDOW:]])
    assert scores(made, [long])[0] == pytest.approx(halves.mean(axis=0))
    assert Strands([long, "ACGT"], np.zeros(2, dtype=np.int64)).windows.overlong == 1


@pytest.fixture(scope="module")
def learnt():
    make_repeatable()
    splits = [Strands(*planted(count, seed)) for seed, count in enumerate((400, 100))]
    return choose(*splits, 2, 1, CPU, QUICK)


def test_it_learns_a_motif_and_says_how(learnt):
    fitted, account = learnt
    sequences, labels = planted(200, 9)
    found = fitted.scores(Strands(sequences, labels))
    assert classification_metrics(labels, found.argmax(axis=1), 2)["mcc"] > 0.8
    tried = {entry["strands"]: entry for entry in account["tried"]}
    assert set(tried) == {1, 2} and account["chosen"] == {"strands": 1 + fitted.both}
    best = tried[1 + fitted.both]
    assert best["validation_mcc"] == round(max(fitted.mccs), 6) == max(t["validation_mcc"] for t in tried.values())
    assert fitted.mccs[best["best_epoch"] - 1] == max(fitted.mccs) and best["epochs"] == len(fitted.mccs)
    assert account["converged"] == (best["epochs"] - best["best_epoch"] >= QUICK.patience)
    validation = Strands(*planted(100, 1))
    kept = fitted.scores(validation).argmax(axis=1)
    assert classification_metrics(validation.labels, kept, 2)["mcc"] == pytest.approx(fitted.best)
    json.dumps(account)


def test_three_classes_and_one_that_train_lacks():
    random = np.random.default_rng(5)
    train = Strands(*planted(150, 1, 3, random.integers(2, size=150)))
    validation = Strands(*planted(60, 2, 3))
    fitted, _ = choose(train, validation, 3, 1, CPU, replace(SHORT, epochs=2))
    found = fitted.scores(validation)
    assert found.shape == (60, 3) and (found.argmax(axis=1) < 2).all()


def test_one_class_is_an_error():
    sequences, labels = planted(40, 1)
    with pytest.raises(UserError, match=r"train: only one class \(label 0\); a classifier needs at least two"):
        choose(Strands(sequences, labels * 0), Strands(sequences, labels), 2, 1, CPU, SHORT)


def write(folder, classes=2, background=True):
    folder.mkdir()
    for seed, (split, count) in enumerate({"train": 120, "validation": 40, "test": 30, "background": 20}.items()):
        sequences, labels = planted(count, seed, classes, np.zeros(count, dtype=int) if seed == 3 else None)
        sequences[:3] = ["", "N", "ACNGT"]
        ids = [f"{split}{i}" for i in range(count)]
        if split != "background" or background:
            pd.DataFrame({"id": ids, "sequence": sequences, "label": labels}).to_parquet(folder / f"{split}.parquet")


def fit(monkeypatch, data, out, **spec):
    places = ["--data", data, "--device", "cpu", "--output", out / "predictions.parquet", "--run", out / "run.json"]
    return call(monkeypatch, "baseline_cnn.py", *places, spec={"seed": 1, "background": False, **spec})


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr("dnalm.training.cnn.Hyperparameters", lambda: replace(SHORT, epochs=3))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_script_writes_the_same_bytes_twice(tmp_path, monkeypatch, brief, classes):
    write(tmp_path / "data", classes)
    for name in "ab":
        assert fit(monkeypatch, tmp_path / "data", tmp_path / name, background=True) == 0
    assert (tmp_path / "a/predictions.parquet").read_bytes() == (tmp_path / "b/predictions.parquet").read_bytes()
    assert fit(monkeypatch, tmp_path / "data", tmp_path / "c", seed=2) == 0
    table, other = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in "ac")
    columns = [f"score_{i}" for i in range(classes)]
    assert table.columns.tolist() == ["id", "split", "label", *columns]
    assert table["split"].value_counts().to_dict() == {"validation": 40, "test": 30, "background": 20}
    assert set(other["split"]) == {"validation", "test"} and not table[:70][columns].equals(other[columns])
    assert (table[columns] == table[columns].round(DECIMALS)).all(axis=None)
    run = json.loads((tmp_path / "a/run.json").read_text())
    assert (
        run["spec"] == {"seed": 1, "background": True, "most_settings": None}
        and run["device"] == "cpu"
        and "torch" in run["versions"]
    )
    assert set(run["data_sha256"]) == {"train", "validation", "test", "background"}
    assert set(run["baseline"]["chosen"]) == {"strands"} and run["baseline"]["hyperparameters"]["epochs"] == 3
    assert {"description", "tried", "converged"} <= set(run["baseline"])


def test_the_script_refuses_in_one_line(tmp_path, monkeypatch, capsys, brief):
    write(tmp_path / "data", background=False)
    train = pd.read_parquet(tmp_path / "data/train.parquet")

    def refused(message, **spec):
        assert fit(monkeypatch, tmp_path / "data", tmp_path / "out", **spec) == 1
        line = error_line(capsys)
        assert line.startswith("error: ") and message in line, line
        assert not (tmp_path / "out").exists()

    refused("background.parquet: no such file", background=True)
    train.assign(label=1).to_parquet(tmp_path / "data/train.parquet")
    refused("train: only one class (label 1)")
    train.iloc[:0].to_parquet(tmp_path / "data/train.parquet")
    refused("train.parquet: holds no records")
    (tmp_path / "data/train.parquet").write_text("nonsense")
    refused("train.parquet: cannot read this parquet table")
