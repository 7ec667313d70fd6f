"""The plan of a data set, and the looks at its test split, through Snakemake; of two baselines, which are quick."""

import json

import numpy as np
import yaml

LOOK = "results/toy/comparison.json"


def test_a_second_plan_is_a_second_look_and_the_same_one_is_not(snakemake, tmp_path):
    letters = np.random.default_rng(1).choice(list("ACGT"), size=(200, 40))
    rows = [f"{''.join(row)},{i % 2}" for i, row in enumerate(letters)]
    (tmp_path / "toy.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")

    def compared(*baselines, more=()):
        config = {"datasets": {"toy": {"kind": "table", "path": "toy.csv", "baselines": list(baselines)}}}
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        done = snakemake(LOOK, *more, "--configfile", tmp_path / "config.yaml")
        assert done.returncode == 0, done.stderr
        steps = [line.split()[1].rstrip(":") for line in done.stderr.splitlines() if line.startswith(("rule ", "localrule "))]  # fmt: skip
        return steps, json.loads((tmp_path / LOOK).read_text())["plan"]

    steps, first = compared("majority")
    assert steps.index("plan") < steps.index("baseline") < steps.index("look") < steps.index("compare")
    assert first == {"sha256": first["sha256"], "changed": None, "looks": 1, "earlier": []}
    assert first["sha256"] == json.loads((tmp_path / "results/toy/plan.json").read_text())["sha256"]
    steps, again = compared("majority", more=("--forcerun", "look"))
    assert "look" in steps and again == first

    steps, second = compared("majority", "length_gc")
    assert sorted(steps) == ["baseline", "compare", "look", "plan"]  # the first baseline is not scored again
    assert (second["looks"], second["changed"]) == (2, "runs: + baseline/length_gc seed 1")
    assert second["earlier"] == [{"sha256": first["sha256"], "changed": None}]
