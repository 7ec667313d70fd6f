"""Models against baselines: what is compared with what, p values that hold their level, and what cannot be said."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from closeness import close
from clustered import SETTINGS, group_sizes, simulate
from hypothesis import given
from hypothesis import strategies as st
from run_groups import LIMITS, group, predictions, table
from script_runs import run_script, start_script
from sklearn.metrics import matthews_corrcoef

from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import CompareSettings
from dnalm.errors import UserError
from dnalm.evaluation.statistics.comparison import RunGroup, compare, difference, holm
from dnalm.tables.predictions import ClassPredictions, write_predictions

LOOKS = {"sha256": "ab" * 32, "changed": None, "looks": 1, "earlier": []}


def test_primary_is_chosen_on_validation_and_the_reference_is_no_rival():
    groups = [
        group("baseline", "trf", (1.0, 1.0)),
        group("baseline", "kmer", (0.7, 0.9)),
        group("baseline", "periodicity", (0.8, 0.6)),
        group("small", "full", (0.7, 0.99)),
        group("large", "full", (0.95, 0.8), (0.85, 0.9)),
    ]
    found = compare(groups, table(), LIMITS)
    primary = found["primary"]
    assert (primary["model"], primary["recipe"], primary["against"], primary["seeds"]) == (
        "large",
        "full",
        "periodicity",
        2,
    )
    assert [(one["model"], one["recipe"]) for one in found["others"]] == [("baseline", "trf"), ("small", "full")]
    assert {one["against"] for one in found["others"]} == {"periodicity"}
    values = [matthews_corrcoef(run["test"].labels, run["test"].predicted) for run in groups[4].runs]
    rival = groups[2].runs[0]["test"]
    assert primary["by_seed"] == pytest.approx(values) and primary["value"] == pytest.approx(np.mean(values))
    assert primary["against_value"] == pytest.approx(matthews_corrcoef(rival.labels, rival.predicted))
    assert close(primary["difference"], primary["value"] - primary["against_value"], 1e-12, scale=1)
    assert primary["low"] < primary["difference"] < primary["high"] and primary["low"] > 0
    assert primary["significant"] and primary["p_holm"] is None and primary["p"] < 0.001
    assert primary["p_note"].startswith("This p value is of this data set alone")
    assert primary["detectable"] == pytest.approx(found["detectable"]) and 0 < found["detectable"] < 0.3
    assert [one["p_holm"] for one in found["others"]] == holm([one["p"] for one in found["others"]])
    assert {name for axis in found["strata"] for part in axis["bins"] for name in part["values"]} == {
        one.name for one in groups
    }
    assert found["note"] == "" == primary["note"] and primary["groups_effective"] == 60 and found["twins"] == []


def test_pairing_sees_a_difference_that_unpaired_intervals_do_not():
    labels = np.arange(400) % 2
    ids = np.arange(400).astype(str)
    worse = predictions(ids, labels, 0.8, 1)
    scores = worse.scores.copy()
    mended = np.flatnonzero(worse.predicted != labels)[:12]
    scores[mended] = scores[mended, ::-1]
    better = ClassPredictions(worse.ids, labels, scores)
    found = difference(([better], True), ([worse], False), np.arange(400) // 2, LIMITS)
    assert close(found["difference"], 0.06, 0.03) and found["p"] < 0.01 and found["low"] > 0


def test_the_order_of_predictions_and_of_the_table_does_not_matter():
    groups = [group("baseline", "kmer", (0.7, 0.7)), group("small", "full", (0.7, 0.8))]
    found = compare(groups, table(), LIMITS)
    test = groups[1].runs[0]["test"]
    order = np.random.default_rng(0).permutation(len(test.ids))
    turned = {**groups[1].runs[0], "test": ClassPredictions(test.ids[order], test.labels[order], test.scores[order])}
    assert compare([groups[0], RunGroup("small", "full", [turned])], table(), LIMITS) == found
    assert compare(groups, table().iloc[::-1].reset_index(drop=True), LIMITS)["primary"] == found["primary"]


def test_without_models_or_baselines_nothing_is_primary():
    trf, kmer, small = (
        group("baseline", "trf", (1.0, 1.0)),
        group("baseline", "kmer", (0.7, 0.7)),
        group("m", "r", (0.8, 0.8)),
    )
    found = compare([trf, kmer], table(), LIMITS)
    assert found["primary"] is None and found["detectable"] is None and found["note"] == "There is no model to compare."
    assert [one["recipe"] for one in found["others"]] == ["trf"]
    found = compare([trf, small], table(), LIMITS)
    assert (found["primary"], found["others"]) == (None, []) and found[
        "note"
    ] == "There is no baseline to compare with."
    assert compare([], table(), LIMITS)["others"] == []


def test_too_few_groups_and_no_difference_are_said():
    kmer, small = group("baseline", "kmer", (0.7, 0.7)), group("small", "full", (0.7, 0.8))
    few = table().assign(group=[f"g{i // 40}" for i in range(240)])
    primary = compare([kmer, small], few, LIMITS)["primary"]
    assert primary["note"] == "6 effective groups of records, at least 30 are needed"
    assert [primary[name] for name in ("low", "high", "p", "detectable")] == [None] * 4 and not primary["significant"]
    assert close(primary["difference"], primary["value"] - primary["against_value"], 1e-12, scale=1)
    same = compare([kmer, RunGroup("small", "full", kmer.runs)], table(), LIMITS)["primary"]
    assert same["difference"] == 0 and same["p"] is None and same["note"].startswith("the two do not differ")
    large = table().assign(group=["a"] * 20 + [f"g{i}" for i in range(220)])
    primary = compare([kmer, small], large, LIMITS)["primary"]
    assert primary["note"] == "One group holds 8.3% of the records: the intervals may be too narrow."


def test_records_that_a_run_left_out_are_left_out_for_all_and_counted():
    kmer = group("baseline", "kmer", (0.7, 0.7))
    small = group("small", "full", (0.7, 0.8), rows=slice(0, 200))
    found = compare([kmer, small], table(), LIMITS)
    assert found["note"] == "40 of 240 test records were not scored by every run and are left out of the comparison."
    scored = kmer.runs[0]["test"]
    part = RunGroup(
        "baseline",
        "kmer",
        [{**kmer.runs[0], "test": ClassPredictions(scored.ids[:200], scored.labels[:200], scored.scores[:200])}],
    )
    assert found["primary"] == compare([part, small], table().iloc[:200], LIMITS)["primary"]
    rest = group("small", "full", (0.7, 0.8), rows=slice(200, 240))
    with pytest.raises(UserError, match="the runs have no test record in common"):
        compare([part, rest], table(), LIMITS)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8))
def test_holm_corrects_what_was_tested(ps):
    found = holm(ps)
    tested = sorted((p, q) for p, q in zip(ps, found, strict=True) if p is not None)
    assert [q is None for q in found] == [p is None for p in ps]
    assert all(p <= q <= 1 for p, q in tested) and [q for _, q in tested] == sorted(q for _, q in tested)
    if tested:
        assert tested[0][1] == min(1, len(tested) * tested[0][0])


def test_holm_by_hand():
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])


@pytest.mark.parametrize("seeds", [1, 2])
def test_p_values_hold_their_level(seeds):
    """Equally good runs are called different 5 times of 100."""
    rng, repeats, rejected = np.random.default_rng(3 + seeds), 400, 0
    for _ in range(repeats):
        sizes = group_sizes(rng, 100, 4, 0.8, largest=0.05)
        (rival, *runs), codes = simulate(rng, sizes, 1.0, runs=1 + seeds)
        found = difference((runs, True), ([rival], False), codes, SETTINGS)
        assert found["about"] == "models"
        rejected += found["p"] <= 0.05
        assert (found["p"] <= 0.05) == (not found["low"] <= 0 <= found["high"])
    assert 0.02 <= rejected / repeats <= 0.07, rejected


def test_the_detectable_difference_is_2_8_standard_errors():
    """An interval of 95 % is about 1.96 of them to each side, with many groups."""
    (rival, one), codes = simulate(np.random.default_rng(5), np.full(2000, 1), 1.0, runs=2)
    found = difference(([one], True), ([rival], False), codes, LIMITS)
    assert (found["high"] - found["low"]) / 2 / found["detectable"] == pytest.approx(1.96 / 2.80, rel=0.08)


def call(path: Path, settings: CompareSettings, run=run_script) -> subprocess.CompletedProcess[str]:
    (path / "looks.json").write_text(json.dumps(LOOKS))
    options = ("--results", path, "--looks", path / "looks.json", "--output", path / "out" / "comparison.json")
    return run("compare.py", *options, spec=settings)


def test_the_script_writes_the_comparison_or_one_line(tmp_path):
    groups = [group("baseline", "kmer", (0.7, 0.7)), group("small", "full", (0.7, 0.8), (0.7, 0.9))]
    runs = []
    for one in groups:
        for seed, scored in enumerate(one.runs, 1):
            runs.append(SeededRun(dataset="d", model=one.model, recipe=one.recipe, seed=seed))
            write_predictions(tmp_path / runs[-1].folder / "predictions.parquet", scored)
    (tmp_path / "d" / "data").mkdir()
    table().to_parquet(tmp_path / "d" / "data" / "test.parquet")
    settings = LIMITS.model_copy(update={"runs": runs})
    done = call(tmp_path, settings)
    assert done.returncode == 0, done.stderr
    output = tmp_path / "out" / "comparison.json"
    assert json.loads(output.read_text()) == compare(groups, table(), LIMITS) | {"plan": LOOKS}
    first = output.read_bytes()
    # a process of its own hashes strings in another order
    assert call(tmp_path, settings, start_script).returncode == 0 and output.read_bytes() == first
    output.unlink()
    table().assign(id=[f"other-{i}" for i in range(240)]).to_parquet(tmp_path / "d" / "data" / "test.parquet")
    failed = call(tmp_path, settings)
    assert failed.returncode == 1 and list(output.parent.iterdir()) == []
    assert failed.stderr == (
        "error: baseline/kmer: test: record 'test-0' is not in the data set's table (240 such records);"
        " predict again on this data set\n"
    )
