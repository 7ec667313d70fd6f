"""The plan that is declared before the test split is scored, and the ledger of looks at it."""

import hashlib
import json

import pytest
from script_runs import refused, run_script

from dnalm.config.datasets import MaxRecords, Splitting
from dnalm.config.models import Model
from dnalm.config.recipes import Recipe
from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import IntervalSettings, PlanSettings
from dnalm.evaluation.statistics.plan import changes, look, plan, read

TEST = {"records": 300, "sha256": "ab" * 32, "groups": 100}


def settings(seeds=(1,), rate=1e-3, recipe="scratch", metric="mcc", **more):
    ours = [SeededRun(dataset="toy", model="small", recipe=recipe, seed=seed) for seed in seeds]
    return PlanSettings(
        metric=metric,
        runs=[SeededRun(dataset="toy", model="baseline", recipe="kmer", seed=1), *ours],
        models={"small": Model(checkpoint="weights")},
        recipes={recipe: Recipe(learning_rate=rate, best_metric="mcc")},
        baseline_settings=None,
        split=more.get("split", Splitting()),
        max_records=MaxRecords(),
        intervals=IntervalSettings(effective_groups=30, largest_group=0.05),
    )


def declared(test=TEST, **more):
    return plan(settings(**more), test)["plan"]


def test_a_plan_has_the_hash_of_its_canonical_json():
    found = plan(settings(), TEST)
    text = json.dumps(found["plan"], sort_keys=True, separators=(",", ":"))
    assert found["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert found["plan"]["runs"] == ["baseline/kmer seed 1", "small/scratch seed 1"]
    assert found["plan"]["test"] == {"records": 300, "sha256": "ab" * 32}
    assert "highest mean mcc on validation" in found["plan"]["primary"] and found["plan"]["threshold"]
    numbers = declared(metric="spearman")
    assert "spearman" in numbers["primary"] and numbers["threshold"] is None


def test_the_order_of_runs_is_no_other_plan():
    assert declared(seeds=(1, 2)) == declared(seeds=(2, 1)) != declared()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"seeds": (1, 2)}, "runs: + small/scratch seed 2"),
        ({"seeds": (1, 2)}, {"seeds": (2, 3)}, "runs: + small/scratch seed 3, - small/scratch seed 1"),
        ({}, {"recipe": "other"}, "runs: + small/other seed 1, - small/scratch seed 1"),
        ({}, {"rate": 2e-3}, "recipes.scratch.learning_rate: 0.001 -> 0.002"),
        ({}, {"split": Splitting(seed=43)}, "split.seed: 42 -> 43"),
        ({}, {"test": TEST | {"sha256": "cd" * 32}}, "test split: other records"),
        ({}, {"seeds": (2,), "split": Splitting(method="random")},
         'runs: + small/scratch seed 2, - small/scratch seed 1; split.method: "grouped" -> "random"'),
    ],
)  # fmt: skip
def test_a_change_is_said_in_words(before, after, said):
    assert changes(declared(**before), declared(**after)) == said


def test_every_plan_is_one_look_however_often_it_is_taken(tmp_path):
    ledger = tmp_path / "looks.tsv"
    one, two, three = declared(), declared(seeds=(1, 2)), declared(seeds=(1, 2), rate=2e-3)
    first = look(one, ledger)
    assert (first["looks"], first["changed"], first["earlier"]) == (1, None, [])
    text = ledger.read_bytes()
    assert look(one, ledger) == first and ledger.read_bytes() == text
    second = look(two, ledger)
    assert (second["looks"], second["changed"]) == (2, "runs: + small/scratch seed 2")
    assert second["earlier"] == [{"sha256": first["sha256"], "changed": None}]
    third = look(three, ledger)
    assert third["looks"] == 3 and [entry["sha256"] for entry in third["earlier"]] == [first["sha256"], second["sha256"]]  # fmt: skip
    again = look(one, ledger)  # taken up again: the others were looked at in between
    assert (again["looks"], again["sha256"], len(again["earlier"])) == (3, first["sha256"], 2)
    assert again["changed"] == "runs: - small/scratch seed 2; recipes.scratch.learning_rate: 0.002 -> 0.001"
    assert [json.loads(line.plan) for line in read(ledger)] == [one, two, three]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace('"seed":42', '"seed":43'), "line 2 was edited or cut off"),
        (lambda text: text[:-40], "line 3 was edited or cut off"),
        (lambda text: text.split("\n", 1)[1], "line 1 is not the header"),
        (lambda text: "", "line 1 is not the header"),
    ],
)
def test_an_edited_ledger_is_one_line(tmp_path, edit, said):
    ledger, output = tmp_path / "looks.tsv", tmp_path / "looks.json"
    for seeds in ((1,), (1, 2)):
        (tmp_path / "plan.json").write_text(json.dumps(plan(settings(seeds), TEST)))
        assert run_script("look.py", "--plan", tmp_path / "plan.json", "--output", output).returncode == 0
    assert json.loads(output.read_text())["looks"] == 2
    output.unlink()
    ledger.write_text(edit(ledger.read_text()))
    refused(run_script("look.py", "--plan", tmp_path / "plan.json", "--output", output), said, output)
