"""The training wing's scripts, end to end: what they write, what they refuse, and what they leave behind."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from closeness import close
from script_runs import SCRIPTS
from small_models import (
    TINY,
    call,
    classifier_checkpoint,
    error_line,
    masked_lm_checkpoint,
    records,
    settings,
    small_tokenizer,
    write_task,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from dnalm.config.stages.training import FinetuneSettings
from dnalm.names import METRICS, SCORED_SPLITS


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    root = tmp_path_factory.mktemp("task")
    write_task(root)
    return root


def finetune(monkeypatch, task, out, spec, *more, tokenizer=None):
    arguments = ["--data", task / "data", "--tokens", task / "tokens", "--tokenizer", tokenizer or task / "tokenizer"]
    outputs = ["--model", out / "model", "--training-log", out / "training_log.tsv", "--record", out / "run.json"]
    return call(monkeypatch, "finetune.py", *arguments, "--device", "cpu", *outputs, *more, spec=spec)


def predict_splits(monkeypatch, task, model, output, **spec):
    spec = {"overlong": "window", "max_tokens": None, **spec}
    arguments = ["--data", task / "data", "--tokens", task / "tokens", "--model", model, "--output", output]
    counts = ["--counts", output.with_suffix(".json")]
    return call(monkeypatch, "predict_splits.py", *arguments, *counts, "--device", "cpu", spec=spec)


def predict(monkeypatch, model, source, output, *more):
    return call(
        monkeypatch, "predict.py", "--model", model, "--input", source, "--output", output, "--device", "cpu", *more
    )


def nothing_left(directory):
    return not directory.exists() or not list(directory.iterdir())


@pytest.fixture(scope="module")
def finished(task, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        spec = {**settings(epochs=2), "labels": {"0": "unique", "1": "repeat"}}
        assert finetune(patch, task, out, spec) == 0
        assert predict_splits(patch, task, out / "model", out / "predictions.parquet") == 0
    return out


def test_a_tokenizer_and_tokens_from_scripts(tmp_path, monkeypatch):
    records(60, 1).to_parquet(tmp_path / "train.parquet", index=False)
    spec = {"train": "bpe", "vocabulary": 30}
    arguments = ["--train", tmp_path / "train.parquet", "--output-dir", tmp_path / "tokenizer"]
    assert call(monkeypatch, "train_tokenizer.py", *arguments, spec=spec) == 0
    assert sorted(p.name for p in (tmp_path / "tokenizer").iterdir()) == ["tokenizer.json", "tokenizer_config.json"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert len(tokenizer) == 30
    written = {}
    for reverse in (False, True):
        files = [tmp_path / f"{reverse}.{part}" for part in ("ids.npy", "offsets.npy", "json")]
        places = ["--ids", files[0], "--offsets", files[1], "--counts", files[2]]
        where = ["--tokenizer", tmp_path / "tokenizer", "--table", tmp_path / "train.parquet"]
        assert call(monkeypatch, "tokenize_records.py", *where, *places, spec={"reverse_complement": reverse}) == 0
        ids, offsets = np.load(files[0], mmap_mode="r"), np.load(files[1])
        written[reverse] = tokenizer.decode(ids[: offsets[1]]).replace(" ", "")
        counts = json.loads(files[2].read_text())
        assert counts["records"] == 60 and counts["tokens"] == len(ids) and counts["unknown_tokens"] == 0
    forward = records(60, 1)["sequence"][0]
    assert written[False] == forward
    assert written[True] == forward[::-1].translate(str.maketrans("ACGT", "TGCA"))


def test_a_table_that_is_none_leaves_no_tokens(tmp_path, monkeypatch, capsys, task):
    (tmp_path / "bad.parquet").write_text("nonsense")
    places = ["--ids", tmp_path / "out/i.npy", "--offsets", tmp_path / "out/o.npy", "--counts", tmp_path / "out/c.json"]
    where = ["--tokenizer", task / "tokenizer", "--table"]
    spec = {"reverse_complement": False}
    assert call(monkeypatch, "tokenize_records.py", *where, tmp_path / "bad.parquet", *places, spec=spec) == 1
    assert "bad.parquet: cannot read this parquet table" in error_line(capsys)
    assert nothing_left(tmp_path / "out")
    assert call(monkeypatch, "tokenize_records.py", *where, tmp_path / "no.parquet", *places, spec=spec) == 1
    assert error_line(capsys).startswith("error: ")
    assert nothing_left(tmp_path / "out")


def test_a_finished_run(finished):
    log = pd.read_csv(finished / "training_log.tsv", sep="\t")
    losses = ["training_loss", "validation_loss"]
    assert log.columns.tolist() == ["epoch", "step", "tokens", *losses, *METRICS["classification"], "learning_rate"]
    assert log["epoch"].tolist() == [1, 2] and log.notna().all(axis=None)
    run = json.loads((finished / "run.json").read_text())
    assert run["device"] == "cpu" and run["epochs"] == 2 and run["steps"] == 12 and run["max_tokens"] == 64
    assert run["counts"]["train"] == {"records": 96, "overlong": 0, "dropped": 0, "windows": 96, "unknown_tokens": 0}
    assert run["spec"]["recipe"]["epochs"] == 2 and run["certificate"] is None and run["sequences_per_second"] > 0
    assert set(run["files"]) == {path.name for path in (finished / "model").iterdir()}
    assert sorted(path.name for path in finished.iterdir()) == [
        "model",
        "predictions.json",
        "predictions.parquet",
        "run.json",
        "training_log.tsv",
    ]


def test_a_finished_model_loads_as_any_other(finished):
    model = AutoModelForSequenceClassification.from_pretrained(finished / "model")
    tokenizer = AutoTokenizer.from_pretrained(finished / "model")
    assert model.config.id2label == {0: "unique", 1: "repeat"} and tokenizer.model_max_length == 64
    assert model(**tokenizer(["ACGT", "ACGTACGTAA"], padding=True, return_tensors="pt")).logits.shape == (2, 2)


def test_predictions_and_the_log_agree(finished, task):
    predictions = pd.read_parquet(finished / "predictions.parquet")
    assert predictions.columns.tolist() == ["id", "split", "label", "score_0", "score_1"]
    tables = {split: pd.read_parquet(task / "data" / f"{split}.parquet") for split in SCORED_SPLITS}
    assert predictions["id"].tolist() == [i for table in tables.values() for i in table["id"]]
    assert predictions["split"].value_counts().to_dict() == {"validation": 40, "test": 24}
    part = predictions[predictions["split"] == "validation"]
    run = json.loads((finished / "run.json").read_text())
    row = pd.read_csv(finished / "training_log.tsv", sep="\t").set_index("epoch").loc[run["best_epoch"]]
    accuracy = ((part["score_1"] > part["score_0"]) == (part["label"] == 1)).mean()
    assert close(row["accuracy"], accuracy)
    chosen = np.where(part["label"] == 1, part["score_1"], part["score_0"])
    assert close(row["validation_loss"], -np.log(chosen).mean())  # both are written with 6 digits


@pytest.mark.parametrize(("device", "count"), [("cpu", 0), ("auto", 1)])
def test_scoring_leases_the_gpu_it_takes(finished, task, tmp_path, monkeypatch, device, count):
    leased = []

    @contextmanager
    def lease(count):
        leased.append(count)
        yield []

    monkeypatch.setattr("dnalm.training.runtime.lease.lease", lease)
    places = ["--data", task / "data", "--tokens", task / "tokens", "--model", finished / "model"]
    outputs = ["--output", tmp_path / "p.parquet", "--counts", tmp_path / "p.json", "--device", device]
    spec = {"overlong": "window", "max_tokens": None}
    assert call(monkeypatch, "predict_splits.py", *places, *outputs, spec=spec) == 0
    assert leased == [count] and (tmp_path / "p.parquet").is_file()


@pytest.mark.parametrize("given", [["--spec", "FILE"], ["--spec=FILE"]])
def test_several_processes_get_every_option_but_the_settings(task, tmp_path, monkeypatch, given):
    launched = []
    monkeypatch.setattr("dnalm.training.runtime.launch.launch", lambda *arguments: launched.append(arguments))
    (tmp_path / "spec.json").write_text(json.dumps(settings()))
    given = [word.replace("FILE", str(tmp_path / "spec.json")) for word in given]
    more = ["--data", "d", "--tokens", "t", "--tokenizer", "k", "--model", "m", "--training-log", "l", "--record", "r"]
    more += ["--device", "cpu", "--processes", "2", "--report-to", "tensorboard", "wandb"]
    assert call(monkeypatch, "finetune.py", *more[:4], *given, *more[4:]) == 0
    ((script, words, spec, processes),) = launched
    assert (script, words, processes) == (SCRIPTS / "finetune.py", more, 2)
    assert FinetuneSettings.model_validate_json(spec) == FinetuneSettings(**settings())


def test_what_a_stopped_training_of_another_project_left_stays(task, tmp_path, monkeypatch, capsys):
    """Two projects whose outputs have the same relative name may share a scratch directory."""
    kept = []
    for project in ("one", "two"):
        (tmp_path / project).mkdir()
        monkeypatch.chdir(tmp_path / project)
        recipe = {"learning_rate": 1e30, "max_gradient_norm": 1e30, "batch_size": 16 if project == "one" else 8}
        assert finetune(monkeypatch, task, Path("out"), settings(**recipe), "--scratch", tmp_path / "scratch") == 1
        assert "recipe.learning_rate" in error_line(capsys)
        kept.append(len(list((tmp_path / "scratch").iterdir())))
    assert kept == [1, 2]


def test_predict_gives_the_pipelines_scores_in_any_batch_and_format(finished, task, tmp_path, monkeypatch, capsys):
    table = pd.read_parquet(task / "data/test.parquet")
    table[["id", "sequence"]].to_csv(tmp_path / "x.csv", index=False)
    fasta = "".join(f">{row.id} more\n{row.sequence.lower()}\n" for row in table.itertuples())
    (tmp_path / "x.fasta.gz").write_bytes(gzip.compress(fasta.encode()))
    for source, batch in (("x.csv", 1), ("x.csv", 7), ("x.csv", 64), ("x.fasta.gz", 64)):
        assert (
            predict(
                monkeypatch,
                finished / "model",
                tmp_path / source,
                tmp_path / f"{source}{batch}.tsv",
                "--batch-size",
                batch,
            )
            == 0
        )
    outputs = {path.read_bytes() for path in tmp_path.glob("*.tsv")}
    assert len(outputs) == 1
    assert "24 records, 0 of " in capsys.readouterr().err
    scores = pd.read_csv(tmp_path / "x.csv1.tsv", sep="\t")
    assert scores.columns.tolist() == ["id", "predicted", "score_unique", "score_repeat", "windows"]
    expected = pd.read_parquet(finished / "predictions.parquet").query("split == 'test'")
    assert scores["id"].tolist() == expected["id"].tolist()
    assert (scores["score_repeat"].to_numpy() == expected["score_1"].to_numpy()).all()
    assert (scores["predicted"] == np.where(scores["score_repeat"] > scores["score_unique"], "repeat", "unique")).all()


def test_predict_shows_long_records_as_asked(finished, tmp_path, monkeypatch, capsys):
    (tmp_path / "x.fa").write_text(f">long\n{'ACGTTGCAAT' * 60}\n>short\nACGT\n")
    rows = {}
    for overlong in ("window", "truncate", "drop"):
        assert (
            predict(monkeypatch, finished / "model", tmp_path / "x.fa", tmp_path / "y.tsv", "--overlong", overlong) == 0
        )
        rows[overlong] = pd.read_csv(tmp_path / "y.tsv", sep="\t").set_index("id")["windows"].to_dict()
    assert rows["window"]["long"] > 2 and rows["truncate"] == {"long": 1, "short": 1} and rows["drop"] == {"short": 1}
    assert "1 longer than 62 tokens (drop), 1 dropped" in capsys.readouterr().err
    (tmp_path / "y.tsv").unlink()
    assert predict(monkeypatch, finished / "model", tmp_path / "x.fa", tmp_path / "y.tsv", "--overlong", "error") == 1
    assert "1 of 2 records are longer than 62 tokens, the first is 'long'" in error_line(capsys)
    assert not (tmp_path / "y.tsv").exists()


def test_two_runs_are_byte_identical(task, tmp_path, monkeypatch):
    for name in "ab":
        spec = settings(epochs=1.5, reverse_complement=True, warmup=0.1)
        assert finetune(monkeypatch, task, tmp_path / name, spec) == 0
    for file in ("training_log.tsv", "model/model.safetensors", "model/config.json", "model/tokenizer.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    run = json.loads((tmp_path / "a/run.json").read_text())
    assert run["counts"]["train"]["records"] > 90 and run["epochs"] == 1.5
    assert finetune(monkeypatch, task, tmp_path / "c", {**spec, "seed": 2}) == 0
    assert (tmp_path / "c/model/model.safetensors").read_bytes() != (
        tmp_path / "a/model/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("kind", ["llama", "mistral", "mixtral"])
def test_decoders_become_classifiers(task, tmp_path, monkeypatch, kind):
    sizes = {key: value for key, value in TINY.items() if key != "model_type"}
    architecture = {"model_type": kind, **sizes, "num_key_value_heads": 2}
    assert finetune(monkeypatch, task, tmp_path, settings(architecture)) == 0
    assert predict_splits(monkeypatch, task, tmp_path / "model", tmp_path / "p.parquet") == 0
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == 64


def test_long_records_are_windowed_dropped_and_counted(task, tmp_path, monkeypatch):
    spec = {**settings(overlong="window", reverse_complement=True), "max_tokens": 12}
    assert finetune(monkeypatch, task, tmp_path / "w", spec) == 0
    counts = json.loads((tmp_path / "w/run.json").read_text())["counts"]
    assert counts["validation"]["overlong"] > 20 and counts["validation"]["windows"] > 60
    assert counts["train"]["windows"] > 150 and counts["train"]["dropped"] == 0
    assert predict_splits(monkeypatch, task, tmp_path / "w/model", tmp_path / "p.parquet") == 0
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == 64
    spec = {**settings(overlong="drop"), "max_tokens": 25}
    assert finetune(monkeypatch, task, tmp_path / "d", spec) == 0
    counts = json.loads((tmp_path / "d/run.json").read_text())["counts"]["validation"]
    assert 0 < counts["dropped"] == counts["overlong"] < 40 and counts["windows"] == 40 - counts["dropped"]
    assert predict_splits(monkeypatch, task, tmp_path / "d/model", tmp_path / "p.parquet", overlong="drop") == 0
    scored = pd.read_parquet(tmp_path / "p.parquet")["split"].value_counts()
    assert 0 < scored.sum() < 64
    for split, count in json.loads((tmp_path / "p.json").read_text()).items():
        assert count["dropped"] == count["overlong"] > 0 and count["records"] - count["dropped"] == scored[split]


def test_a_checkpoint_is_fine_tuned_and_its_certificate_reported(task, tmp_path, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(task / "tokenizer")
    base = masked_lm_checkpoint(tmp_path / "base", tokenizer, trained=True)
    certificate = {"checkpoint": "base", "missing": ["classifier.weight"]}
    (tmp_path / "certificate.json").write_text(json.dumps(certificate))
    spec = {**settings(None), "checkpoint": "base"}
    more = ["--checkpoint", base, "--certificate", tmp_path / "certificate.json"]
    assert finetune(monkeypatch, task, tmp_path / "run", spec, *more, tokenizer=base) == 0
    assert json.loads((tmp_path / "run/run.json").read_text())["certificate"] == certificate


def test_method_none_keeps_the_weights_and_needs_no_training_table(task, finished, tmp_path, monkeypatch):
    data, tokens = tmp_path / "data", tmp_path / "tokens"
    data.mkdir(), tokens.mkdir()
    (data / "validation.parquet").symlink_to(task / "data/validation.parquet")
    for part in ("ids", "offsets"):
        (tokens / f"validation.{part}.npy").symlink_to(task / f"tokens/validation.{part}.npy")
    spec = {**settings(None, method="none"), "checkpoint": "finished"}
    model = finished / "model"
    assert finetune(monkeypatch, tmp_path, tmp_path / "run", spec, "--checkpoint", model, tokenizer=model) == 0
    log = pd.read_csv(tmp_path / "run/training_log.tsv", sep="\t")
    assert log["epoch"].tolist() == [0] and log["training_loss"].isna().all()
    assert (tmp_path / "run/model/model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()
    trained = pd.read_csv(finished / "training_log.tsv", sep="\t").set_index("epoch")
    best = json.loads((finished / "run.json").read_text())["best_epoch"]
    assert close(log["validation_loss"][0], trained.loc[best, "validation_loss"])


def test_what_cannot_be_trained_is_one_line_and_leaves_nothing(task, tmp_path, monkeypatch, capsys):
    tokenizer = small_tokenizer()
    classifier_checkpoint(tmp_path / "three", tokenizer, labels={0: "a", 1: "b", 2: "c"})
    masked_lm_checkpoint(tmp_path / "base", tokenizer, trained=True)
    (tmp_path / "bare").mkdir()

    def refused(message, spec, *more, at=task, **where):
        assert finetune(monkeypatch, at, tmp_path / "out", spec, *more, **where) == 1
        line = error_line(capsys)
        assert line.startswith("error: ") and message in line, line
        assert nothing_left(tmp_path / "out")

    none = settings(None, method="none")
    refused("base: has no trained classification head for", none, "--checkpoint", tmp_path / "base")
    refused("bare: has no model", settings(None), "--checkpoint", tmp_path / "bare")
    refused("bare: has no tokenizer", settings(), tokenizer=tmp_path / "bare")
    refused("--checkpoint: needed if the settings have no architecture", settings(None))
    refused("device: mps was requested and no GPU is visible", settings(), "--device", "mps")
    shutil.copytree(task, tmp_path / "odd")
    table = pd.read_parquet(task / "data/validation.parquet").assign(label=lambda t: t["label"] * 5)
    table.to_parquet(tmp_path / "odd/data/validation.parquet")
    labels = {**settings(), "labels": {"0": "no", "1": "yes"}}
    refused("record 'r1-1' has label 5 and the model 2 classes", labels, at=tmp_path / "odd")
    table.iloc[:9].to_parquet(tmp_path / "odd/data/validation.parquet")
    refused("has tokens of 40 records, ", labels, at=tmp_path / "odd")
    refused("all validation records are longer than 3 tokens", {**settings(overlong="drop"), "max_tokens": 5})
    refused("the loss became nan", settings(learning_rate=1e30, max_gradient_norm=1e30))


def test_predict_refuses_in_one_line(finished, task, tmp_path, monkeypatch, capsys):
    (tmp_path / "x.fa").write_text(">a\nACGT\n")
    masked_lm_checkpoint(tmp_path / "base", small_tokenizer(), trained=True)
    config = json.loads((tmp_path / "base/config.json").read_text())
    (tmp_path / "base/config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    model = finished / "model"
    for arguments, message in [
        ((tmp_path / "absent", tmp_path / "x.fa", tmp_path / "y.tsv"), "absent: no such directory"),
        ((tmp_path / "base", tmp_path / "x.fa", tmp_path / "y.tsv"), "base: not a finished model, it lacks"),
        ((model, tmp_path / "no.fa", tmp_path / "y.tsv"), "no.fa: no such file"),
        ((model, tmp_path / "x.fa", tmp_path / "x.fa"), "x.fa: is also the input; name another output"),
        ((model, tmp_path / "x.fa", tmp_path), "is a directory; name a file"),
        ((model, tmp_path / "x.fa", tmp_path / "y.tsv", "--batch-size", 0), "--batch-size: 0 is not a positive number"),
        ((model, tmp_path / "x.fa", tmp_path / "y.tsv", "--device", "mps"), "device: mps was requested"),
    ]:
        assert predict(monkeypatch, *arguments) == 1
        assert message in error_line(capsys)
        assert not (tmp_path / "y.tsv").exists()


def test_predict_as_a_user_runs_it(finished, tmp_path):
    (tmp_path / "x.fa").write_text(">a\nACGTTGCA\n>p\nMKVLFE\n")
    command = [
        sys.executable,
        SCRIPTS / "predict.py",
        "--model",
        finished / "model",
        "--input",
        "x.fa",
        "--output",
        "y.tsv",
    ]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 1
    refusal = "error: x.fa, line 4: record 'p' has the letter 'L', which is not DNA; give a nucleotide FASTA\n"
    assert process.stderr == refusal
    assert os.listdir(tmp_path) == ["x.fa"]
    (tmp_path / "x.fa").write_text(">a\nACGTTGCA\n")
    process = subprocess.run([*command, "--device", "cpu"], capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "" and len((tmp_path / "y.tsv").read_text().splitlines()) == 2


def test_a_published_model_gives_its_published_scores(shared, tmp_path, monkeypatch):
    """Mistral-DNA fine-tuned on GUE tf/0, as measured elsewhere with transformers in fp32."""
    from dnalm.metrics import classification_metrics

    checkpoint = shared / "data/models/mistral_dna_1m_tf0"
    (tmp_path / "data").mkdir()
    for split, file in (("validation", "dev"), ("test", "test")):
        table = pd.read_csv(shared / f"data/gue/tf/0/{file}.csv")
        table.insert(0, "id", [f"{split}{i}" for i in range(len(table))])
        table.to_parquet(tmp_path / f"data/{split}.parquet", index=False)
        out = {part: tmp_path / f"tokens/{split}.{part}" for part in ("ids.npy", "offsets.npy", "json")}
        places = ["--ids", out["ids.npy"], "--offsets", out["offsets.npy"], "--counts", out["json"]]
        where = ["--tokenizer", checkpoint, "--table", tmp_path / f"data/{split}.parquet"]
        assert call(monkeypatch, "tokenize_records.py", *where, *places, spec={"reverse_complement": False}) == 0
    spec = {**settings(None, method="none"), "checkpoint": checkpoint.name}
    assert finetune(monkeypatch, tmp_path, tmp_path, spec, "--checkpoint", checkpoint, tokenizer=checkpoint) == 0
    assert predict_splits(monkeypatch, tmp_path, tmp_path / "model", tmp_path / "predictions.parquet") == 0
    predictions = pd.read_parquet(tmp_path / "predictions.parquet")
    for split, accuracy, macro_f1, mcc in (("validation", 0.728, 0.7254, 0.4568), ("test", 0.749, 0.7468, 0.5068)):
        part = predictions[predictions["split"] == split]
        found = classification_metrics(part["label"], part["score_1"] > part["score_0"], 2)
        expected = {"accuracy": accuracy, "macro_f1": macro_f1, "mcc": mcc}
        assert {name: round(found[name], 4) for name in expected} == expected
