"""The benchmark of the bootstrap, on a few records."""

import json
import subprocess
import sys

from conftest import ROOT

SCRIPT = ROOT / "tools" / "benchmark_evaluation.py"


def test_the_benchmark_writes_both_times_and_how_far_the_two_are_apart(tmp_path):
    output = tmp_path / "evaluation.json"
    sizes = ["--records", "400", "--replicates", "50", "--baseline", "3"]
    subprocess.run([sys.executable, SCRIPT, "--output", output, *sizes], check=True, capture_output=True)
    found = json.loads(output.read_text())
    assert found["records"] == 400 and found["replicates"] == 50 and found["target"]["reached"]
    for part in found["classes"].values():
        assert part["ratio"] > 1 and part["largest_difference"] < 1e-12 and 0 < part["groups"] <= 80
