"""The report and card of a data set with a number to predict: what it holds, and that nothing speaks of classes."""

import base64
import re

import numpy as np
import pytest
import yaml
from fake_findings import add_audit, add_comparison, check, comparison, probe
from fake_results import SETTINGS, add_manifest, add_run, run_of
from pages import checked, pages_of

from dnalm.evaluation.report import number_details, views
from dnalm.evaluation.report.descriptions import DESCRIPTIONS
from dnalm.evaluation.report.modelcard import model_card
from dnalm.evaluation.report.results import read_dataset
from dnalm.evaluation.report.text import significant, spanned
from dnalm.evaluation.report.verdict import verdict
from dnalm.evaluation.statistics.residuals import residuals_by_target
from dnalm.evaluation.statistics.run_metrics import evaluate
from dnalm.files import write_json
from dnalm.tables.predictions import NumberPredictions, read_predictions, write_predictions

CONFIG = {
    "kind": "table", "path": "scores.csv", "train": None, "target_column": "Entropy", "split": {"method": "grouped"},
    "audit": {"shortcut_auroc": 0.6, "shortcut_spearman": 0.3},
}  # fmt: skip
CLASSES = r"(?i)\b(class|classes|label|labels|labelled|MCC|AUROC|AUPRC|ROC|accuracy|F1|confusion|calibration|threshold|probabilit\w+|positives|negatives|prevalence|likely)\b"
GROUPS = ("mean", "length_gc", "kmer", "boosting", "periodicity")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    runs = [run_of("d", "baseline", name) for name in GROUPS]
    runs += [run_of("d", "small", "scratch", seed) for seed in (1, 2)] + [run_of("d", "grover", "full")]
    for place, run in enumerate(runs):
        more = {"n": 900, "best_metric": "rmse"} if run.model == "grover" else {}
        add_run(folder, run, place / 4, objective="regression", **more)
    add_manifest(folder, "d", [])
    found = [
        check("sizes", "Enough targets in every split"),
        check("shortcuts", "Shortcuts", "fail", found="The target can be predicted from length."),
    ]
    probes = [probe("length", 0.41, "fail", "A shortcut.", "spearman"), probe("gc", -0.05, metric="spearman")]
    add_audit(folder, "d", found, probes)
    primary = comparison("grover", "full", "kmer", 0.62, 0.5, metric="spearman")
    others = [comparison("small", "scratch", "kmer", 0.4, 0.5, metric="spearman", seeds=2, p_holm=0.002)]
    add_comparison(folder, "d", list(dict.fromkeys(f"{run.model}/{run.recipe}" for run in runs)), primary, others)
    return folder, runs


@pytest.fixture(scope="module")
def dataset(results):
    return read_dataset(results[0], "d", CONFIG, results[1])


@pytest.fixture(scope="module")
def page(dataset):
    return pages_of([dataset])["index"]


def test_the_page_tells_of_numbers_and_of_nothing_else(page):
    checker = checked(page)
    text = " ".join(checker.text)
    assert len(set(checker.ids)) == len(checker.ids)
    assert {reference[1:] for reference in checker.references if reference.startswith("#")} <= set(checker.ids)
    assert re.findall(CLASSES, text.replace("one class only", "")) == []  # a made-up note of the strata
    for said in (
        "Table with a number to predict, Entropy; 1,500 records, related records stay in one split.",
        "Test Spearman correlation", "Validation Spearman", "Differences of the test Spearman correlation", "R²", "RMSE", "mean target",
        "Mean target", "Spearman correlation of each feature alone", "limit 0.30", "k-mer regression",
        "Kept were epochs 4 of seed 1 and 4 of seed 2 (highest validation Spearman correlation", "Epoch 4 of 6 was kept (lowest validation RMSE",
        "The test set in detail", "Where are the errors?", "True minus predicted", "Targets of each split",
        "The runs were not scored on the same test records",
    ):  # fmt: skip
        assert said in text, said
    for absent in ("Are the probabilities calibrated", "Where positives are rare", "Reliability of"):
        assert absent not in page
    assert len(page) < 1_000_000


def test_the_verdict_is_of_the_rank_correlation(dataset):
    said = verdict(dataset, 0.95)
    assert said.headline == (
        "The best model beats a k-mer ridge regression on this test set (Spearman correlation 0.620 against 0.500),"
        " but the audit of the data failed."
    )
    assert said.details[0].startswith("The difference in Spearman correlation is +0.120 (95 % interval 0.100–0.140")
    assert re.search(r"by validation Spearman correlation \(0\.\d+\) is grover · full: test Spearman correlation 0\.\d+, RMSE \d", said.details[1])  # fmt: skip
    metrics = dataset.group("grover/full").runs[0].metrics
    deviation = dataset.group("grover/full").runs[0].predictions["test"].targets.std()
    assert said.caveat.startswith(
        f"Always answering their mean would have an RMSE of {significant(deviation)} on the {metrics['n']:,} test records"
    )


def test_the_leaderboard_ranks_by_correlation_and_marks_the_smallest_error(dataset):
    board = views.leaderboard(dataset)
    assert board["columns"] == ["Spearman", "Pearson", "R²", "RMSE", "Validation Spearman", "n"]
    heads = [block[0] for block in board["blocks"]]
    scores = [head["cells"][0]["sort"] for head in heads]
    assert scores == sorted(scores, reverse=True) and scores[0] > scores[-1]
    errors = [head["cells"][3]["sort"] for head in heads]
    assert [head["cells"][3]["best"] for head in heads] == [error == min(errors) for error in errors]
    group = dataset.group("small/scratch")
    row = next(block for block in board["blocks"] if len(block) == 3)
    bounds = group.runs[0].metrics["intervals"]["spearman"]
    assert row[1]["cells"][0]["range"] == "–".join(f"{bounds[side]:.3f}" for side in ("low", "high"))


def test_predictions_are_drawn_as_points_or_counted_in_squares(dataset):
    plots = {plot["name"]: plot for plot in number_details.scatters(dataset)}
    assert len(plots) == len(dataset.groups) and "small · scratch, seed 1" in plots
    few, many = plots["k-mer regression"]["chart"], plots["grover · full"]["chart"]
    assert few.count("<path") > 300 and many.count("<path") < few.count("<path") and "900 test records" in many
    run = dataset.group("baseline/kmer").runs[0]
    assert f"Spearman correlation {run.metrics['spearman']:.3f}" in few


def test_predictions_beyond_the_targets_are_drawn_at_the_edge_and_said(tmp_path):
    run = run_of("d", "baseline", "kmer")
    add_run(tmp_path, run, 2, n=40, objective="regression")
    part = read_predictions(tmp_path / "d/runs/baseline/kmer/seed1/predictions.parquet")
    far = part["test"].predicted.clip(part["test"].targets.min(), part["test"].targets.max())
    far[:2] = -1e6, 1e6
    wild = {split: NumberPredictions(one.ids, one.targets, far) for split, one in part.items()}
    write_predictions(tmp_path / "d/runs/baseline/kmer/seed1/predictions.parquet", wild)
    add_manifest(tmp_path, "d", [])
    add_audit(tmp_path, "d")
    add_comparison(tmp_path, "d", [])
    (plot,) = number_details.scatters(read_dataset(tmp_path, "d", CONFIG, [run]))
    assert plot["note"] == "2 predictions beyond, drawn at the edge"
    assert max(map(float, re.findall(r"translate\(([\d.]+)", plot["chart"]))) < 300


def test_residuals_between_quantiles_of_the_target():
    rng = np.random.default_rng(1)
    targets = rng.normal(size=1000)
    shrunk = NumberPredictions(np.arange(1000).astype(str), targets, targets / 2)
    bins = residuals_by_target(shrunk)
    assert [part["n"] for part in bins] == [100] * 10 and bins[0]["low"] == targets.min()
    assert [part["median"] for part in bins] == sorted(part["median"] for part in bins)
    lowest = np.sort(targets)[:100] / 2
    assert bins[0]["mean"] == pytest.approx(lowest.mean()) and bins[0]["rmse"] == pytest.approx(np.sqrt((lowest**2).mean()))  # fmt: skip
    ties = NumberPredictions(np.arange(9).astype(str), np.array([0.0] * 8 + [5]), np.zeros(9))
    assert [(part["low"], part["high"], part["n"]) for part in residuals_by_target(ties)] == [(0, 0, 8), (5, 5, 1)]
    constant = NumberPredictions(np.arange(3).astype(str), np.ones(3), np.zeros(3))
    assert [part["n"] for part in residuals_by_target(constant)] == [3]


def test_the_table_of_residuals_has_the_figures_of_the_predictions(dataset, results):
    row = next(row for row in number_details.errors(dataset).rows if row[0] == "k-mer regression")
    part = read_predictions(results[0] / "d/runs/baseline/kmer/seed1/predictions.parquet")["test"]
    left = part.targets - part.predicted
    assert row[1] == significant(left.mean()) and row[2] == significant(left.std(ddof=1))
    assert row[5] == spanned(left.min(), left.max())


def test_tables_can_be_taken_along(page):
    files = {name: base64.b64decode(address.split(",")[1]).decode() for name, address in checked(page).files.items()}
    whole = ("metrics", "comparison", "strata", "residuals", "audit", "shortcuts")
    shown = ("residuals-by-run", "splits", "length-and-gc", "independence-of-the-splits", "ledger", "runs")
    assert set(files) == {f"d-{name}.tsv" for name in (*whole, *shown)}
    assert files["d-metrics.tsv"].splitlines()[0].split("\t")[5:8] == ["spearman", "spearman_low", "spearman_high"]
    assert files["d-strata.tsv"].splitlines()[0].endswith("\tspearman")
    assert files["d-shortcuts.tsv"].splitlines()[1].startswith("length\tspearman\t0.41\t")


def test_a_data_set_without_runs_has_its_audit_and_data(results):
    page = pages_of([read_dataset(results[0], "d", CONFIG, [])])["index"]
    checked(page)
    assert "Nothing was run on this data set." in page and "Mean target" in page and "Runs side by side" not in page


def test_data_sets_of_numbers_are_a_ladder_beside_one_of_labels(tmp_path):
    runs = []
    for name, objective in (("a", "regression"), ("b", "regression"), ("c", "classification")):
        for run in (run_of(name, "baseline", "kmer"), run_of(name, "small", "x")):
            runs.append(run)
            add_run(tmp_path, run, 1.5, n=60, epochs=1, objective=objective)
        add_manifest(tmp_path, name, [] if objective == "regression" else ["0", "1"])
        add_audit(tmp_path, name)
        add_comparison(tmp_path, name, [])
    configs = {"a": CONFIG, "b": CONFIG, "c": {**CONFIG, "target_column": None}}
    sets = {name: read_dataset(tmp_path, name, config, runs) for name, config in configs.items()}
    index = pages_of(list(sets.values()), ladder=["a", "b"])["index"]
    checked(index)
    assert "Test Spearman correlation on every rung" in index


def test_the_card_tells_the_hub_and_the_reader_of_numbers(results):
    runs = [run_of("d", "grover", "full")]
    dataset = read_dataset(results[0], "d", CONFIG, runs)
    card = model_card(dataset, "PoetschLab/GROVER", 0.95)
    _, front, text = card.split("---\n", 2)
    metadata, metrics = yaml.safe_load(front), dataset.members[0][1].metrics
    assert metadata["pipeline_tag"] == "text-classification" and "regression" in metadata["tags"]
    (result,) = metadata["model-index"][0]["results"]
    assert result["task"]["name"] == "DNA sequence regression"
    hub = {"spearmanr": "spearman", "pearsonr": "pearson", "r_squared": "r2", "rmse": "rmse"}
    assert {one["type"]: one["value"] for one in result["metrics"]} == {name: round(metrics[key], 6) for name, key in hub.items()}  # fmt: skip
    assert metadata["metrics"] == list(hub)
    bounds = metrics["intervals"]["spearman"]
    row = f"| Spearman | {metrics['spearman']:.3f} | {bounds['low']:.3f}–{bounds['high']:.3f} | {metrics['validation']['spearman']:.3f} |"
    assert row in text and f"| RMSE | {significant(metrics['rmse'])} |" in text
    for said in (
        "predicts a number, *Entropy*, from a sequence, trained from random weights", '* getattr(config, "target_scale", 1) + getattr(config, "target_mean", 0)',
        "by validation RMSE", "beats a k-mer ridge regression on this test set (Spearman correlation 0.620 against 0.500)",
        "targets beyond 0 to 81, the range of the training data",
    ):  # fmt: skip
        assert said in text, said
    prose = text.replace('pipeline("text-classification"', "")
    assert re.findall(CLASSES, prose) == []


def test_a_run_that_never_varies_is_drawn_too(tmp_path):
    run = run_of("d", "baseline", "mean")
    add_run(tmp_path, run, 0, n=40, objective="regression")
    path = tmp_path / "d/runs/baseline/mean/seed1"
    part = read_predictions(path / "predictions.parquet")
    flat = {split: NumberPredictions(one.ids, one.targets, np.full(40, 21.0)) for split, one in part.items()}
    write_predictions(path / "predictions.parquet", flat)
    write_json(path / "metrics.json", evaluate(flat, dict.fromkeys(flat, np.arange(40).astype(str)), SETTINGS))
    add_manifest(tmp_path, "d", [])
    add_audit(tmp_path, "d")
    add_comparison(tmp_path, "d", [], note="There is no model to compare.")
    page = pages_of([read_dataset(tmp_path, "d", CONFIG, [run])])["index"]
    checked(page)
    assert "The best baseline, always answering the mean, has a test Spearman correlation of 0.000." in page


def test_numbers_of_any_size_are_told_with_four_digits():
    assert [significant(x) for x in (0.0123456, -12.3456, 12345.6, 1.5e9, 0.0)] == ["0.01235", "−12.35", "12,350", "1.500e+09", "0"]  # fmt: skip
    assert (spanned(0.1, 20), spanned(-0.1, 20)) == ("0.1000–20", "−0.1000 to 20")
    rmse = DESCRIPTIONS["regression"].metric("rmse")
    assert (rmse.best([3.0, 1.0, 2.0]), DESCRIPTIONS["regression"].primary.best([0.1, 0.9])) == ("1", "0.900")
    assert rmse.text(None) == "–"
