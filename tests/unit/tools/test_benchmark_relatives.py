import json

from small_models import call


def test_the_search_beside_programs_that_may_be_missing(tmp_path, monkeypatch):
    output = tmp_path / "relatives.json"
    assert call(monkeypatch, "benchmark_relatives.py", "--output", output, "--sequences", 400) == 0
    found = json.loads(output.read_text())
    assert found["true_pairs"] == 600 and found["sequences"] == 400
    assert found["ours"]["found"] > 0.9 * 600 and found["ours"]["wrong"] == 0
    for name in ("mmseqs", "blastn"):
        assert "skipped" in found[name] or found[name]["found"] > 0.5 * 600
