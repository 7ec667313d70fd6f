import json

import pandas as pd
from closeness import close
from small_models import call, error_line

from dnalm.names import SPLITS
from evaluation_workloads import simulate


def test_time_and_memory_of_an_audit(tmp_path, monkeypatch):
    output = tmp_path / "audit.json"
    assert call(monkeypatch, "benchmark_audit.py", "--output", output, "--sequences", 300) == 0
    found = json.loads(output.read_text())
    assert list(found["parts"]) == ["audit", "compare_splits", "read", "relate"] and found["sequences"] == 300
    parts = sum(found["parts"][part]["seconds"] for part in ("audit", "compare_splits", "relate"))
    assert close(found["seconds"], parts, 1e-2)
    assert all(0.01 < part["gib"] < 4 for part in found["parts"].values()) and found["target"]["reached"]
    assert (
        found["machine"]["cores"] > 0 and found["found"]["classes"] == "pass" and "--sequences 300" in found["command"]
    )


def test_the_simulated_set_is_matched_and_grouped(tmp_path):
    for name in ("a", "b"):
        simulate(tmp_path / name, 400, "m", 1)
    files = ["catalogue.parquet", *(f"data/{split}.parquet" for split in SPLITS), "tokens/m/test.json"]
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    tables = {split: pd.read_parquet(tmp_path / "a" / "data" / f"{split}.parquet") for split in SPLITS}
    table = pd.concat(tables.values())
    assert len(table) == 400 and table["id"].is_unique and table["label"].mean() == 0.5
    assert sum(part["group"].nunique() for part in tables.values()) == table["group"].nunique()
    for _, pair in table.groupby("positive"):
        array, shuffle = pair.sort_values("label", ascending=False)["sequence"]
        assert sorted(array) == sorted(shuffle)
    assert ((table["end"] - table["start"]) == table["sequence"].str.len()).all()


def test_too_few_sequences_are_refused(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "benchmark_audit.py", "--output", tmp_path / "b.json", "--sequences", 10) == 1
    assert error_line(capsys).startswith("error: --sequences: 10 are too few") and not list(tmp_path.iterdir())
