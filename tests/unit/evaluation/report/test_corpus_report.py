"""The report and card of a corpus: bits per base, smaller is better, and nothing speaks of classes."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_findings import PLAN, add_audit, check
from fake_results import SETTINGS, distribution, run_of
from pages import checked, pages_of

from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import CompareSettings
from dnalm.evaluation.report import views
from dnalm.evaluation.report.modelcard import model_card
from dnalm.evaluation.report.results import Dataset, read_dataset
from dnalm.evaluation.report.verdict import verdict
from dnalm.evaluation.statistics.comparison import RunGroup, compare
from dnalm.evaluation.statistics.run_metrics import evaluate
from dnalm.files import write_json, write_tsv
from dnalm.tables.predictions import BitPredictions, write_predictions

CONFIG = {"kind": "corpus", "genome": "yeast", "window": 200, "split": {"method": "stretch"}, "audit": {}}
STRETCHES, WINDOWS = 80, 5
BITS = {"uniform": 2.0, "markov": 1.95, "mixture": 1.90}


def _predictions(split: str, bits: float, seed: int, objective: str = "causal") -> BitPredictions:
    """Windows of 200 bases, a quarter of them soft-masked and cheaper by .4, in stretches that differ."""
    n = STRETCHES * WINDOWS
    hard = np.repeat(np.random.default_rng(len(split)).normal(0, 0.03, STRETCHES), WINDOWS)
    noise = np.random.default_rng([seed, len(split)]).normal(0, 0.005, n)
    each = np.full(n, 2.0) if bits == 2.0 else bits + hard + noise
    soft = np.where(np.arange(n) % 2, 100.0, 0.0)
    cheaper = each - (0.4 if bits != 2.0 else 0.0)
    counts = np.column_stack([np.full(n, 200.0), (200 - soft) * each + soft * cheaper, soft, soft * cheaper])
    return BitPredictions(np.array([f"{split}{i}" for i in range(n)], dtype=object), counts, objective)


def _run(folder: Path, run: SeededRun, bits: float, objective: str = "causal") -> dict[str, BitPredictions]:
    scored = {split: _predictions(split, bits, run.seed, objective) for split in ("validation", "test")}
    place = folder / run.folder
    write_predictions(place / "predictions.parquet", scored)
    stretches = {split: np.repeat([f"chrI:{i}" for i in range(STRETCHES)], WINDOWS) for split in scored}
    metrics = evaluate(scored, stretches, SETTINGS)
    write_json(place / "metrics.json", metrics)
    record = {"versions": {"python": "3.12.1"}, "device": "cpu", "seconds": 3.2}
    if run.model == "baseline":
        account = {"description": "A baseline", "chosen": {"k": 11}, "tried": [1, 2], "grid": 2, "converged": True}
        write_json(place / "run.json", record | {"spec": {"name": run.recipe, "seed": 1}, "baseline": account})
        return scored
    name = scored["test"].metric
    recipe = {"objective": objective, "method": "full", "best_metric": name, "epochs": 3, "overlong": "window"}
    counts = {"records": 900, "overlong": 0, "dropped": 0, "windows": 900, "unknown_tokens": 0}
    write_json(place / "run.json", record | {
        "spec": {"recipe": recipe, "seed": run.seed, "checkpoint": None}, "best_epoch": 2,
        "counts": {"train": counts, "validation": counts}, "max_tokens": 64, "parameters": 456_194,
        "trainable_parameters": 456_194, "files": {"model.safetensors": "ab" * 32}, "certificate": None,
        "engine": {"kind": "packed", "because": "shown to give the same results as padded", "padding": 0.0},
    })  # fmt: skip
    log = pd.DataFrame({"epoch": [1, 2, 3], "step": [9, 18, 27], "training_loss": [5.0, 4.9, 4.8],
                        "validation_loss": [5.0, 4.95, 4.96], name: [1.99, bits, bits + 0.01],
                        "learning_rate": [1e-3, 5e-4, 0.0]})  # fmt: skip
    write_tsv(place / "training_log.tsv", log, float_format="%.6g")
    return scored


def _results(folder: Path, models: dict[SeededRun, tuple[float, str]]) -> tuple[Path, list[SeededRun]]:
    runs = {run_of("c", "baseline", name): (bits, "causal") for name, bits in BITS.items()} | models
    scored: dict[tuple[str, str], list] = {}
    for run, (bits, objective) in runs.items():
        scored.setdefault((run.model, run.recipe), []).append(_run(folder, run, bits, objective))
    table = pd.DataFrame({"id": scored["baseline", "uniform"][0]["test"].ids})
    table["group"] = np.repeat([f"chrI:{i}" for i in range(STRETCHES)], WINDOWS)
    settings = CompareSettings(
        dataset="c", kind="corpus", runs=list(runs), twins={}, confidence=0.95, effective_groups=30, largest_group=0.05
    )
    members = [RunGroup(model, recipe, predictions) for (model, recipe), predictions in scored.items()]
    write_json(folder / "c" / "comparison.json", compare(members, table, settings) | {"plan": PLAN})
    size = STRETCHES * WINDOWS
    split = {"records": size, "bases": 200 * size, "soft_masked_bases": 50 * size, "sources": {"yeast": size},
             "groups": STRETCHES, "sha256": "01" * 32, "length": {"all": distribution(200)},
             "gc": {"all": distribution(0.4)}}  # fmt: skip
    groups = {"number": 3 * STRETCHES, "largest": 5, "largest_fraction": 0.004, "in_several_splits": 0,
              "definition": ["a stretch of 1,000 bases"]}  # fmt: skip
    ledger = [{"stage": "window_corpus", "source": "yeast", "in": 9, "kept": 7, "dropped": {"unknown bases": 2}}]
    write_json(folder / "c" / "data" / "manifest.json", {
        "ledger": ledger, "splits": dict.fromkeys(("train", "validation", "test"), split), "groups": groups,
        "labels": {}, "warnings": [],
    })  # fmt: skip
    add_audit(folder, "c", [check("sizes", "Enough bases in every split")], [])
    return folder, list(runs)


MODELS = {run_of("c", "tiny", "pretrain", seed): (1.85, "causal") for seed in (1, 2, 3)}
FAILED = {run_of("c", "tiny", "hot", 1): (1.97, "causal"), run_of("c", "tiny", "hot", 2): (2.3, "causal")}
MASKED = {run_of("c", "small", "fill"): (1.2, "masked")}


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> tuple[Path, list[SeededRun]]:
    return _results(tmp_path_factory.mktemp("results"), MODELS | FAILED | MASKED)


@pytest.fixture(scope="module")
def dataset(results) -> Dataset:
    return read_dataset(results[0], "c", CONFIG, results[1])


def test_the_verdict_says_what_has_been_learnt(dataset: Dataset) -> None:
    """More than the mixture, and than the Markov chain, by paired tests in which smaller is better."""
    said = verdict(dataset, 0.95)
    assert said.tone == "above"
    assert said.headline.startswith(
        "The best model has learnt more than the mixture of finite-context models on this test set (bits per base 1."
    )
    text = " ".join(said.details)
    assert "The difference in bits per base is −0.05" in text
    assert "The best model has learnt more than the best Markov chain on this test set" in text
    assert "more than a uniform guess" in text
    assert said.caveat.startswith("A uniform guess costs 2 bits for each of the 80,000 scored bases of the 400 test")


def test_a_model_that_costs_more_has_learnt_less(tmp_path: Path) -> None:
    """The same words with the other sign, and the seed that diverged by its number."""
    folder, runs = _results(tmp_path, FAILED)
    page = pages_of([read_dataset(folder, "c", CONFIG, runs)])["index"]
    text = " ".join(checked(page).text)
    assert "seed 2 collapsed: it costs 2 bits a base or more, no less than a uniform guess" in text
    folder, runs = _results(tmp_path, {run_of("c", "tiny", "hot", 1): (1.97, "causal")})
    said = verdict(read_dataset(folder, "c", CONFIG, runs), 0.95)
    assert (said.tone, "has learnt less than the mixture" in said.headline) == ("below", True)


def test_masked_models_are_named_and_compared_with_nothing(dataset: Dataset) -> None:
    """In comparison.json, and on the page in a table of their own."""
    found = dataset.comparison
    assert found["apart"] == ["small/fill"]
    compared = [found["primary"], *found["others"], *found["rivals"], *found["twins"]]
    assert {one["model"] for one in compared} == {"tiny"}
    assert "small/fill: bits per masked base are another quantity" in found["note"]
    assert [group.name for group in dataset.apart] == ["small · fill"]
    assert "small · fill" not in [row["name"] for row in views.forest(dataset)["rows"]]


def test_the_page_tells_of_bits_and_of_nothing_else(dataset: Dataset) -> None:
    """Columns, soft-masked bases, figures of whole genomes; the lowest figure first and bold."""
    page = pages_of([dataset])["index"]
    checker = checked(page)
    text = " ".join(checker.text)
    assert len(set(checker.ids)) == len(checker.ids)
    for said in (
        "Unlabelled sequence of yeast, 240,000 bases in windows of 200; 1,200 records, divided by stretch of the genome.",
        "Soft-masked bases and others", "Not comparable with the runs above", "Bits per masked base", "lowest bits per base first",
        "Published for a whole human genome", "GeCo3", "a different quantity", "finite-context mixture", "Kept were epochs 2 of seed 1",
    ):  # fmt: skip
        assert said in text, said
    assert re.findall(r"(?i)\b(MCC|AUROC|accuracy|confusion|calibration|probabilit\w+|label \d)\b", text) == []
    board = views.leaderboard(dataset)
    heads = [block[0] for block in board["blocks"]]
    scores = [head["cells"][0]["sort"] for head in heads]
    assert scores == sorted(scores)
    assert [head["cells"][0]["best"] for head in heads] == [True] + [False] * (len(heads) - 1)


def test_where_all_models_are_masked_the_baselines_stand_apart(tmp_path: Path) -> None:
    """No baseline is a yardstick for them."""
    folder, runs = _results(tmp_path, MASKED)
    dataset = read_dataset(folder, "c", CONFIG, runs)
    assert [group.name for group in dataset.groups] == ["small · fill"]
    assert dataset.comparison["primary"] is None
    said = verdict(dataset, 0.95).headline
    assert re.fullmatch(
        r"small · fill has a test bits per masked base of 1\.\d{3}; baselines predict something else\.", said
    )
    checked(pages_of([dataset])["index"])


@pytest.mark.parametrize(("model", "pipeline"), [("tiny", "text-generation"), ("small", "fill-mask")])
def test_a_card_says_what_the_model_is_for(model: str, pipeline: str, results) -> None:
    """The hub's task, bits per base with intervals, and the comparisons of a causal model."""
    folder, runs = results
    run = next(run for run in runs if run.model == model)
    card = model_card(read_dataset(folder, "c", CONFIG, [run]), None, 0.95)
    assert f"pipeline_tag: {pipeline}" in card
    assert re.search(r"\| Bits per (masked )?base \| 1\.\d{3} \| 1\.\d{3}–1\.\d{3} \|", card)
    assert ("learnt more than the mixture" in card) == (model == "tiny")
    assert "{{" not in card and "predict.py" not in card
