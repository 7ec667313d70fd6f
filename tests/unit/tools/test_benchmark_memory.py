import json

from closeness import close
from small_models import call, error_line


def test_the_peak_memory_of_two_trainings(tmp_path, monkeypatch):
    output = tmp_path / "memory.json"
    arguments = ["--output", output, "--sizes", 80, 400, "--steps", 2]
    assert call(monkeypatch, "benchmark_memory.py", *arguments) == 0
    found = json.loads(output.read_text())
    assert set(found["peak_mb"]) == {"80", "400"} and found["steps"] == 2
    assert all(100 < peak < 10_000 for peak in found["peak_mb"].values())
    assert close(found["ratio"], found["peak_mb"]["400"] / found["peak_mb"]["80"], 1e-3)
    assert found["machine"]["cores"] > 0 and found["versions"]["torch"] and "--steps 2" in found["command"]


def test_sizes_that_make_no_whole_batches_are_refused(tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "benchmark_memory.py", "--output", tmp_path / "m.json", "--sizes", 80, 401) == 1
    assert error_line(capsys).startswith("error: --sizes: must be multiples of 40, and at least 10000")
    assert not list(tmp_path.iterdir())
