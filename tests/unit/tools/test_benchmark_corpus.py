import json

from small_models import call, error_line


def test_time_and_memory_of_making_a_corpus(tmp_path, monkeypatch):
    output = tmp_path / "corpus.json"
    words = ["--output", output, "--megabases", 1, 2, "--threads", 1]
    assert call(monkeypatch, "benchmark_corpus.py", *words) == 0
    found = json.loads(output.read_text())
    parts = {"window", "window_sampled", "tokenize", "tokenize_100k", "audit"}
    assert set(found["megabases"]["1"]) == parts | {"train_tokenizer"} and set(found["megabases"]["2"]) == parts
    for size in found["megabases"].values():
        assert all(0.01 < one["gib"] < 2 and one["processor_seconds"] > 0 for one in size.values())
    assert found["machine"]["cores"] > 0 and "--megabases 1 2" in found["command"]


def test_a_size_of_nothing_is_refused(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "benchmark_corpus.py", "--output", tmp_path / "b.json", "--megabases", 0) == 1
    assert error_line(capsys).startswith("error: --megabases: 0 is too small") and not list(tmp_path.iterdir())
