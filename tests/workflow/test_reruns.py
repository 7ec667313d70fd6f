"""What Snakemake repeats of a finished run after a change, and what not; the run's files are faked."""

import os
import re
import shutil
import subprocess
from modulefinder import ModuleFinder

import pytest
import yaml
from conftest import ROOT
from reruns import documented, strays

from planning.edits import EDITS, Edit, edited, subject
from planning.keys import leaf_keys
from planning.matrix import cells, laid_out, measure
from planning.plans import call, dry_runs, rules
from planning.rules import bodies

FEW = (
    "genomes.<name>.chromosomes", "catalogues.<name>.path", "datasets.<repeats>.negatives",
    "datasets.<table>.split.seed", "datasets.<table>.audit.leaked", "models.<name>.max_tokens",
    "recipes.<name>.learning_rate", "recipes.<name>.sharding",
    "recipes.<name>.objective", "evaluation.confidence",
)  # fmt: skip
"""Keys of every section; the slow tests take all keys, after a real run."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("laid-out")
    laid_out(directory)
    return directory


@pytest.fixture
def own(finished, tmp_path):
    """A copy of the finished run, moved: to be changed."""
    return shutil.copytree(finished, tmp_path / "moved")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Another clone of this repository, with what is not committed yet."""
    place = tmp_path_factory.mktemp("elsewhere") / "clone"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    return place


def options(place, config, name="changed"):
    path = place / f"{name}.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False))
    return ["--configfile", path]


def test_every_key_has_a_row():
    assert set(EDITS) == set(leaf_keys())
    assert {key: len(edits) for key, edits in EDITS.items()} == {key: len(rows) for key, rows in documented().items()}


def test_some_keys_re_run_what_is_documented_and_nothing_of_others(finished):
    order, table = list(bodies()), documented()
    rows = measure(FEW, finished, subject())
    for key in FEW:
        found = [row for row in rows if row.key == key]
        assert [(row.change, cells(row, order)) for row in found] == table[key]
        for row, edit in zip(found, EDITS[key], strict=True):
            assert isinstance(row.plan, str) or not list(strays(key, edit.entry, row.plan))


def turned(value):
    """The same config with its keys in reverse order."""
    return {key: turned(value[key]) for key in reversed(value)} if isinstance(value, dict) else value


def test_what_changes_no_result_re_runs_nothing(finished, tmp_path, clone):
    text = yaml.safe_dump(subject())
    other = text.replace("epochs: 1\n", "epochs: 1.0\n").replace("vocabulary: 60\n", "vocabulary: 60.0  # a comment\n")
    assert other != text
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text("cores: 7\nresources: {gpu: 2}\ndefault-resources: {mem_mb: 500}\n")
    same = options(tmp_path, text, "same")
    plans = dry_runs(
        [
            same,
            options(tmp_path, turned(subject()), "turned"),
            options(tmp_path, "# a comment\n" + other, "other"),
            options(tmp_path, {**subject(), "device": "auto"}, "device"),
            ["--cores", "1", *same],
            ["--profile", profile, *same],
            ["--executor", "slurm", "--jobs", "3", *same] if shutil.which("sbatch") else same,
        ],
        finished,
    )
    assert plans == [[]] * len(plans)
    assert dry_runs([same], finished, root=clone) == [[]]


def test_touched_and_moved_files_re_run_nothing(own):
    for path in own.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts:
            os.utime(path)
    assert dry_runs([options(own, subject())], own) == [[]]


def planned_after(edit, files, finished, clone, tmp_path):
    """What would run after an edit (a function of a module's text) of some modules of a clone."""
    before = {path: path.read_text() for path in files}
    try:
        for path, text in before.items():
            path.write_text(edit(text))
        assert any(path.read_text() != text for path, text in before.items())
        (plan,) = dry_runs([options(tmp_path, subject())], finished, root=clone)
    finally:
        for path, text in before.items():
            path.write_text(text)
    return plan


@pytest.mark.parametrize(
    "module",
    [
        "dnalm/data/splits.py",
        "dnalm/evaluation/statistics/resampling.py",
        "dnalm/training/objectives/classification.py",
        "dnalm/files.py",
    ],
)
def test_an_edited_module_re_runs_the_rules_whose_script_imports_it(module, finished, clone, tmp_path):
    plan = planned_after("{}\nEDITED = 1\n".format, [clone / "scripts" / module], finished, clone, tmp_path)
    name = module.removesuffix(".py").replace("/", ".")
    reading = {
        rule
        for rule, body in bodies().items()
        for script in re.findall(r'code\("(\w+\.py)"', body)
        if not rule.startswith("benchmark_") and name in imported(script)
    }
    assert reading
    assert reading <= rules(plan)
    for job in plan:  # whatever else runs does so because of them
        changed = "Params have changed" in job.reason
        assert (job.rule in reading) if changed else ("updated by another job" in job.reason), job


def test_an_edit_of_words_re_runs_nothing(finished, clone, tmp_path):
    """Of comments, docstrings and errors' words all over the library, and of all that only conducts a training."""
    library = sorted((clone / "scripts/dnalm").rglob("*.py"))
    runtime = [path for path in library if "runtime" in path.parts]
    words = [path for path in library if path.name not in ("meaning.py", "__init__.py")]
    assert planned_after("{}\n# edited\n".format, words, finished, clone, tmp_path) == []
    for old, new in (('"""', '"""Edited: '), ('UserError(f"', 'UserError(f"edited: ')):
        plan = planned_after(lambda text, old=old, new=new: text.replace(old, new, 1), words, finished, clone, tmp_path)
        assert plan == []
    assert planned_after("{}\nEDITED = 1\n".format, runtime, finished, clone, tmp_path) == []


def test_an_edit_of_the_loss_trains_everything_again(finished, clone, tmp_path):
    losses = clone / "scripts/dnalm/training/objectives/classification.py"
    plan = planned_after(
        lambda text: text.replace('reduction="none")', 'reduction="none") * 2'), [losses], finished, clone, tmp_path
    )
    (whole,) = dry_runs([["--forceall", *options(tmp_path, subject())]], finished)
    trained, there = ([job.outputs for job in jobs if job.rule == "finetune"] for jobs in (plan, whole))
    assert there and sorted(trained) == sorted(there)


def imported(script, found={}):  # noqa: B006
    """The modules a script imports, as Python's own reader of bytecode finds them."""
    if script not in found:
        finder = ModuleFinder(path=[str(ROOT / "scripts")])
        finder.run_script(str(ROOT / "scripts" / script))
        found[script] = set(finder.modules)
    return found[script]


def test_two_changes_at_once_re_run_what_either_does(finished, tmp_path):
    """Behind an input that is `ancient`, as every training is behind its audit, Snakemake alone would pass one over."""
    audit = ("datasets.<repeats>.audit.leaked", Edit("arrays", 0.1))
    others = [
        ("recipes.<name>.learning_rate", Edit("plain", 5e-3)),
        ("evaluation.confidence", Edit("", 0.9)),
        ("datasets.<repeats>.background", Edit("arrays", 0)),
    ]
    configs = [edited(subject(), *audit)]
    for key, edit in others:
        configs += [edited(subject(), key, edit), edited(configs[0], key, edit)]
    first, *pairs = dry_runs([options(tmp_path, config, str(n)) for n, config in enumerate(configs)], finished)
    for alone, both in zip(pairs[::2], pairs[1::2], strict=True):
        assert {job.outputs for job in both} == {job.outputs for job in (*first, *alone)}


def test_one_more_run_trains_and_scores_no_other(finished, tmp_path):
    """It is another plan, which everything that scores the test split waits for."""
    (plan,) = dry_runs([options(tmp_path, edited(subject(), "runs[].seeds", Edit("0", [1, 2, 3])))], finished)
    of_runs = {"finetune", "predict_splits", "baseline", "baseline_cnn", "evaluate"}
    again = [(job.rule, job.wildcards) for job in plan if job.rule in of_runs]
    assert sorted(rule for rule, _ in again) == ["evaluate", "finetune", "predict_splits"]
    assert all("seed3" in wildcards.get("run", "") or wildcards.get("seed") == "3" for _, wildcards in again)
    assert rules(plan) - of_runs == {"plan", "look", "compare", "model_card", "summarize", "report"}


def test_a_changed_file_is_not_taken_for_what_was_made(own):
    (own / "results/labelled/data/train.parquet").write_text("edited by hand")
    (own / "labelled.csv").touch()
    (plan,) = dry_runs([options(own, subject())], own)
    assert {"finetune", "baseline", "train_tokenizer", "audit"} <= rules(plan)
    assert not {"import_table", "split_labels"} & rules(plan)
    assert {job.wildcards["dataset"] for job in plan if "dataset" in job.wildcards} == {"labelled"}


def test_a_part_run_after_a_change_leaves_the_rest_to_be_done(own):
    """What was made with the old settings is not fresh because something else has been made since."""
    changed = edited(subject(), "recipes.<name>.learning_rate", Edit("plain", 5e-3))
    changed = options(own, edited(changed, "evaluation.confidence", Edit("", 0.9)))
    ((status, said),) = call([["--touch", "results/published/runs/kept/adapters/seed1/metrics.json", *changed]], own)
    assert status == 0, said
    (plan,) = dry_runs([changed], own)
    trained = {tuple(job.wildcards[key] for key in ("dataset", "recipe")) for job in plan if job.rule == "finetune"}
    assert trained == {("arrays", "plain"), ("labelled", "plain")}
    evaluated = {
        job.wildcards["run"] for job in plan if job.rule == "evaluate" and job.wildcards["dataset"] == "published"
    }
    assert evaluated == {"baseline/majority/seed1"}


DATA = {
    "download", "simulate_genome", "import_genome", "find_repeats", "import_catalogue", "place_catalogue",
    "simulate_arrays", "mask", "split", "extract", "balance", "import_table", "relate", "call_repeats", "split_labels",
    "compare_splits", "audit", "train_tokenizer", "tokenize", "fetch_model", "window_corpus", "tokenize_corpus",
    "audit_corpus", "compare_pretraining",
}  # fmt: skip
OF_NO_MODEL = {"download", "simulate_arrays", "place_catalogue"}
MODELS = DATA - OF_NO_MODEL | {"gate", "certify", "finetune", "embed", "probe"}
METRICS = DATA | MODELS | {
    "draw_background", "predict_splits", "baseline", "baseline_cnn", "plan", "evaluate", "look", "compare",
    "summarize",
}  # fmt: skip


def test_named_parts_are_planned_from_nothing(tmp_path, finished):
    for name in ("given.fa", "placed.bed", "labelled.csv", "measured.csv", "train.csv", "validation.csv", "test.csv"):
        (tmp_path / name).touch()
    for name in ("tokenizer", "checkpoint"):
        shutil.copytree(finished / name, tmp_path / name)
    config = options(tmp_path, subject())
    run = "results/arrays/runs/small/plain/seed1/metrics.json"
    targets = ["data", "models", "metrics", "report", "results/published/comparison.json", run, "all"]
    data, models, metrics, report, dataset, one, everything = dry_runs([[t, *config] for t in targets], tmp_path)
    assert rules(data) == DATA
    assert rules(models) == MODELS
    assert rules(metrics) == METRICS
    assert rules(report) == METRICS - {"summarize"} | {"report", "select_embeddings", "map_embeddings"}
    assert {job.wildcards["dataset"] for job in dataset if "dataset" in job.wildcards} == {"published"}
    assert rules(dataset) == {
        "import_table",
        "relate",
        "split_labels",
        "certify",
        "compare_splits",
        "tokenize",
        "audit",
        "gate",
        "baseline",
        "finetune",
        "predict_splits",
        "plan",
        "look",
        "compare",
    }
    assert [job.wildcards["seed"] for job in one if job.rule == "finetune"] == ["1"]
    assert rules(one) >= {"finetune", "predict_splits", "evaluate"}
    assert not rules(one) & {"baseline", "compare", "report"}
    assert rules(everything) == METRICS | {"model_card", "report", "select_embeddings", "map_embeddings"}


def test_a_stage_is_repeated_by_hand(finished, tmp_path):
    config = options(tmp_path, subject())
    asked = [
        ["metrics", "--forcerun", "evaluate"],
        ["report", "--forcerun", "report"],
        ["models", "--forcerun", "finetune"],
        ["results/labelled/runs/hub/adapters/seed1/metrics.json", "--forcerun", "finetune"],
        ["data", "--forcerun", "split_labels"],
    ]
    evaluate, report, models, one, data = dry_runs([[*words, *config] for words in asked], finished)
    assert rules(evaluate) == {"evaluate", "summarize"}
    assert rules(report) == {"report"}
    assert rules(models) == {"finetune", "certify"}  # a model that is a run is certified again
    assert [job.rule for job in one] == ["finetune", "predict_splits", "evaluate"]
    assert rules(data) == {
        "split_labels", "compare_splits", "train_tokenizer", "tokenize", "audit", "compare_pretraining",
    }  # fmt: skip
