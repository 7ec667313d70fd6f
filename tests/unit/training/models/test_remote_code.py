"""Code that comes with a checkpoint: not run, said by name, and right from tokens to scores where it is trusted."""

import json

import pandas as pd
import pytest
from own_code import checkpoint
from small_models import call, classifier_checkpoint, error_line, records, settings, small_tokenizer

from dnalm.errors import UserError
from dnalm.training.models.loading import load, with_random_weights
from dnalm.training.models.remote_code import sources
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives.classification import Classification

HINT = "set `trust_remote_code: true` for this model (predict.py: --trust-remote-code)"


def through_the_chain(monkeypatch, root, base, trust, **recipe):
    """Tokenize, fine-tune and score as the workflow does; the first exit status that is not 0."""
    spec = {"reverse_complement": False, "trust_remote_code": trust}
    (root / "data").mkdir()
    (root / "tokens").mkdir()
    for seed, (split, count) in enumerate({"train": 64, "validation": 32, "test": 24}.items()):
        table = root / f"data/{split}.parquet"
        records(count, seed).to_parquet(table, index=False)
        parts = ("ids", "offsets", "counts")
        words = [word for part in parts for word in (f"--{part}", root / f"tokens/{split}.{part}.npy")]
        options = ["--tokenizer", base, "--table", table, "--threads", 2, *words]
        if code := call(monkeypatch, "tokenize_records.py", *options, spec=spec):
            return code
    spec = {"checkpoint": "base", "dataset": "d", "max_tokens": None, "trust_remote_code": trust}
    options = ["--checkpoint", base, "--probes", root / "data/validation.parquet"]
    if code := call(monkeypatch, "certify.py", *options, "--output", root / "certificate.json", spec=spec):
        return code
    where = ["--data", root / "data", "--tokens", root / "tokens"]
    spec = {**settings(None, epochs=3, learning_rate=1e-2, **recipe), "checkpoint": "base", "trust_remote_code": trust}
    options = ["--tokenizer", base, "--checkpoint", base, "--model", root / "model", "--device", "cpu"]
    options += ["--certificate", root / "certificate.json"]
    options += ["--training-log", root / "log.tsv", "--record", root / "run.json", "--scratch", root / "scratch"]
    if code := call(monkeypatch, "finetune.py", *where, *options, spec=spec):
        return code
    spec = {"overlong": "window", "max_tokens": None, "trust_remote_code": trust}
    options = [
        "--model",
        root / "model",
        "--device",
        "cpu",
        "--output",
        root / "p.parquet",
        "--counts",
        root / "c.json",
    ]
    return call(monkeypatch, "predict_splits.py", *where, *options, spec=spec)


@pytest.fixture
def base(tmp_path):
    return checkpoint(tmp_path / "base", ran=tmp_path / "ran")


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_checkpoint_with_code_is_trained_and_scored_where_it_is_trusted(base, tmp_path, monkeypatch, method):
    recipe = {"method": method}
    if method == "lora":
        recipe["lora"] = {"rank": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["mix"]}
        recipe["lora"] |= {"target_parameters": None, "modules_to_save": None}
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert through_the_chain(monkeypatch, tmp_path / "run", base, True, **recipe) == 0
    assert (tmp_path / "ran").exists()
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["spec"]["trust_remote_code"] is True
    assert {"modeling_bag.py", "configuration_bag.py", "tokenization_bases.py"} <= set(run["files"])
    assert "classifier.weight" in run["certificate"]["missing"] and run["certificate"]["reload_difference"] == 0
    log = pd.read_csv(tmp_path / "run/log.tsv", sep="\t")
    assert log["mcc"].iloc[-1] > (0.5 if method == "full" else 0)
    # the finished model, alone, by the user's own program, gives the same scores: with its code, and not without
    test = pd.read_parquet(tmp_path / "run/data/test.parquet")
    test.to_csv(tmp_path / "x.csv", index=False)
    options = ["--model", tmp_path / "run/model", "--input", tmp_path / "x.csv", "--output", tmp_path / "y.tsv"]
    options += ["--device", "cpu"]
    assert call(monkeypatch, "predict.py", *options, "--trust-remote-code") == 0
    expected = pd.read_parquet(tmp_path / "run/p.parquet").query("split == 'test'")["score_1"].to_numpy()
    assert (pd.read_csv(tmp_path / "y.tsv", sep="\t")["score_1"].to_numpy() == expected).all()


def test_code_is_not_run_unless_trusted(base, tmp_path, monkeypatch, capsys):
    (tmp_path / "run").mkdir()
    assert through_the_chain(monkeypatch, tmp_path / "run", base, False) == 1
    line = error_line(capsys)
    assert line == f"error: {base}: needs the code that comes with it, which is not run; if you trust it, {HINT}"
    (tmp_path / "x.csv").write_text("sequence\nACGT\n")
    options = ["--model", base, "--input", tmp_path / "x.csv", "--output", tmp_path / "y.tsv"]
    assert call(monkeypatch, "predict.py", *options) == 1
    assert HINT in error_line(capsys)
    for attempt in (load, with_random_weights):
        with pytest.raises(UserError, match="needs the code that comes with it"):
            attempt(base, Classification().head, specials_of(small_tokenizer()), 1)
    assert not (tmp_path / "ran").exists()


def test_weights_that_need_code_are_refused_with_the_key(tmp_path, monkeypatch, capsys):
    """DNABERT-2 calls itself a bert, which transformers has, and which its weights do not fit."""
    tokenizer = small_tokenizer()
    base = classifier_checkpoint(tmp_path / "base", tokenizer)
    config = json.loads((base / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "bert_layers.BertModel"}, "num_hidden_layers": 2}
    (base / "config.json").write_text(json.dumps(config))
    (tmp_path / "run").mkdir()
    assert through_the_chain(monkeypatch, tmp_path / "run", base, False) == 1
    line = error_line(capsys)
    assert "weights of the model are not in the checkpoint" in line and HINT in line


def test_where_code_lies_is_read_from_every_form_of_it(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "a.B", "AutoModel": "lab/x--c.D"}}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": ["t.Slow", None]}))
    assert sources(tmp_path) == ["a.B", "lab/x--c.D", "t.Slow"]
    assert sources(tmp_path / "absent") == []
