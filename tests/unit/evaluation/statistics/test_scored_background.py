"""The background beside the splits that are scored: in the file of predictions, from a baseline and from a model."""

import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from script_runs import run_script
from small_models import call, classifier_checkpoint, error_line, write_task

from dnalm.errors import UserError
from dnalm.tables.predictions import read_predictions, write_predictions


def table(**changes) -> pd.DataFrame:
    columns = {
        "id": ["w", "a", "b", "c"],
        "split": ["background", "test", "validation", "test"],
        "label": [0, 1, 1, 0],
        "score_0": [0.9, 0.2, 0.6, 0.5],
        "score_1": [0.1, 0.8, 0.4, 0.5],
    }
    return pd.DataFrame(columns | changes)


def test_the_background_is_a_third_key_and_written_last(tmp_path):
    path = tmp_path / "p.parquet"
    table().to_parquet(path)
    read = read_predictions(path)
    assert list(read) == ["validation", "test", "background"]
    assert read["background"].ids.tolist() == ["w"] and read["background"].labels.tolist() == [0]
    write_predictions(path, read)
    assert pd.read_parquet(path)["split"].tolist() == ["validation", "test", "test", "background"]
    first = path.read_bytes()
    write_predictions(path, read_predictions(path))
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"label": [1, 1, 1, 0]}, "record 'w': a background record has label 0 (1 such records)"),
        ({"id": ["a", "a", "b", "c"]}, "record 'a': the id occurs twice"),
        ({"split": ["Background", "test", "validation", "test"]}, "record 'w': its split is neither validation nor"),
        ({"split": ["background", "test", "background", "test"], "label": [0] * 4}, "no records of split 'validation'"),
    ],
)
def test_a_wrong_background_is_named(tmp_path, changes, said):
    path = tmp_path / "p.parquet"
    table(**changes).to_parquet(path)
    with pytest.raises(UserError) as error:
        read_predictions(path)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)


def sequences(split: str, labels: list[int]) -> pd.DataFrame:
    source = random.Random(split)
    made = ["".join(source.choices("ACGT" if label else "AATTCG", k=60)) for label in labels]
    return pd.DataFrame({"id": [f"{split}{n}" for n in range(len(labels))], "sequence": made, "label": labels})


def test_a_baseline_scores_it_and_the_others_as_without(tmp_path):
    for split in ("train", "validation", "test"):
        sequences(split, [0, 1] * 30).to_parquet(tmp_path / f"{split}.parquet")
    sequences("background", [0] * 25).to_parquet(tmp_path / "background.parquet")

    def baseline(folder, **spec):
        files = ["--data", tmp_path, "--output", folder / "p.parquet", "--run", folder / "run.json"]
        return run_script("baseline.py", *files, spec={"name": "length_gc", "seed": 1, **spec})

    done = [baseline(tmp_path / "with", background=True), baseline(tmp_path / "without", background=False)]
    assert [process.returncode for process in done] == [0, 0], done[0].stderr
    found, plain = (read_predictions(tmp_path / folder / "p.parquet") for folder in ("with", "without"))
    assert "background" not in plain and len(found["background"].ids) == 25
    assert (found["background"].scores[:, 1] < 0.5).mean() > 0.5
    np.testing.assert_array_equal(found["test"].scores, plain["test"].scores)
    data = json.loads((tmp_path / "with" / "run.json").read_text())["data_sha256"]
    assert set(data) == {"train", "validation", "test", "background"}
    (tmp_path / "background.parquet").unlink()
    failed = baseline(tmp_path / "bad", background=True)
    assert failed.returncode == 1 and not (tmp_path / "bad").exists() and "Traceback" not in failed.stderr
    assert failed.stderr.splitlines()[-1] == f"error: {tmp_path}/background.parquet: no such file"


def test_a_model_scores_it_from_its_tokens(tmp_path, monkeypatch, capsys):
    tokenizer = write_task(tmp_path)
    for part in ("ids.npy", "offsets.npy"):
        shutil.copy(tmp_path / "tokens" / f"test.{part}", tmp_path / "tokens" / f"background.{part}")
    windows = pd.read_parquet(tmp_path / "data" / "test.parquet")
    windows = windows.assign(id="w" + windows["id"], label=0)
    windows.to_parquet(tmp_path / "data" / "background.parquet")
    model = classifier_checkpoint(tmp_path / "model", tokenizer)
    places = ["--data", tmp_path / "data", "--tokens", tmp_path / "tokens", "--model", model, "--device", "cpu"]
    outputs = ["--output", tmp_path / "out" / "p.parquet", "--counts", tmp_path / "out" / "p.json"]
    spec = {"overlong": "window", "max_tokens": None, "background": True}
    assert call(monkeypatch, "predict_splits.py", *places, *outputs, spec=spec) == 0
    found = read_predictions(tmp_path / "out" / "p.parquet")
    assert found["background"].ids.tolist() == windows["id"].tolist()
    np.testing.assert_array_equal(found["background"].scores, found["test"].scores)
    counts = json.loads((tmp_path / "out" / "p.json").read_text())
    assert list(counts) == ["background", "test", "validation"] and counts["background"]["records"] == len(windows)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "tokens" / "background.ids.npy").unlink()
    assert call(monkeypatch, "predict_splits.py", *places, *outputs, spec=spec) == 1
    assert "background.ids.npy: no such file; tokenize the background records first" in error_line(capsys)
    assert not (tmp_path / "out").exists()
