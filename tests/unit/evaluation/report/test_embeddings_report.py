"""Probes and embeddings on the page: what was tried, seeds that are one run, maps coloured by label."""

import numpy as np
import pandas as pd
import pytest
from fake_findings import add_audit, add_comparison, comparison
from fake_results import add_manifest, add_run, run_of
from pages import checked

from dnalm.config.stages.evaluation import ReportSettings
from dnalm.evaluation.report.charts import MODEL_COLOURS
from dnalm.evaluation.report.modelcard import model_card
from dnalm.evaluation.report.page import render
from dnalm.evaluation.report.results import read_dataset
from dnalm.files import read_json, write_json, write_tsv

TABLE = {
    "kind": "table", "train": "a.csv", "validation": "b.csv", "test": "c.csv", "split": {"method": "grouped"},
    "audit": {"shortcut_auroc": 0.6},
}  # fmt: skip
SETTINGS = [(layer, pooling, penalty) for layer in range(13) for pooling in ("mean", "max") for penalty in (1.0, 0.01)]


def add_probe(results, run, skill, best, **spec):
    """A probe that was best at setting number `best`, from 0; MCC falls with the distance from its layer."""
    add_run(results, run, skill, method="probe")
    folder = results / run.folder
    rows = [
        {"setting": number + 1, "layer": layer, "pooling": pooling, "penalty": penalty, "converged": True,
         "training_loss": 0.5, "validation_loss": 0.6, "mcc": 0.5 - abs(number - best) / 100}
        for number, (layer, pooling, penalty) in enumerate(SETTINGS)
    ]  # fmt: skip
    write_tsv(folder / "training_log.tsv", pd.DataFrame(rows), float_format="%.6g")
    record = read_json(folder / "run.json")
    del record["best_epoch"]
    chosen = dict(zip(("layer", "pooling", "penalty"), SETTINGS[best], strict=True))
    record |= {"best_setting": best + 1, "chosen": chosen, "not_converged": 2, "engine": None}
    record["spec"] |= {"checkpoint": "base@1", **spec}
    write_json(folder / "run.json", record)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    runs = [run_of("d", "baseline", "kmer")]
    add_run(results, runs[0], 0.5)
    for model, seeds in (("base", (1, 2)), ("random", (1, 2)), ("single", (1,))):
        for seed in seeds:
            runs.append(run_of("d", model, "probe", seed))
            random = {"initialisation": "random"} if model == "random" else {}
            add_probe(results, runs[-1], 1.0, 43 if model != "random" else 4 + 2 * seed, **random)
    add_manifest(results, "d", ["other", "<b>planted</b>"])
    add_audit(results, "d")
    keys = list(dict.fromkeys(f"{run.model}/{run.recipe}" for run in runs))
    twin = comparison("base", "probe", "random", 0.5, 0.4) | {"recipe": "probe"}
    add_comparison(results, "d", keys, comparison("base", "probe", "kmer", 0.5, 0.3), twins=[twin])
    random = np.random.default_rng(1)
    labels = np.arange(3000) % 2
    points = pd.DataFrame({"id": [f"r{i}" for i in range(3000)], "split": "test", "label": labels})
    points["x"], points["y"] = random.normal(size=3000) + 2.5 * labels, random.normal(size=3000)
    (results / "embeddings/vectors").mkdir(parents=True)
    points.to_csv(results / "embeddings/vectors/map.tsv", sep="\t", index=False)
    counts = {"records": 90_000, "dropped": 12, "truncated": 0, "unknown_tokens": 3456}
    facts = {"model": "base", "splits": ["test"], "column": "mean_layer12", "hidden": 768, "method": "pca",
             "explained": [0.31, 0.12], "records": 90_000, "drawn": 3000, "counts": {"test": counts}}  # fmt: skip
    write_json(results / "embeddings/vectors/map.json", facts)
    return results, runs


@pytest.fixture(scope="module")
def page(tree):
    results, runs = tree
    settings = ReportSettings(
        runs=runs, datasets={"d": TABLE}, confidence=0.95, config={}, embeddings={"vectors": "d", "elsewhere": "e"}
    )
    return render([read_dataset(results, "d", TABLE, runs, settings.embeddings)], settings)["index"]


def test_all_that_a_probe_tried_is_a_heat_map(page):
    text = " ".join(" ".join(checked(page).text).split())
    assert "A probe on frozen states, the best of 52 settings by validation MCC; layer 10, max, penalty 0.01" in text
    assert "cells are means over seeds; seed 1: layer 1, max, penalty 1; seed 2: layer 2, mean, penalty 1" in text
    assert "2 fits did not converge" in text
    described = page.split("Validation MCC of probes of single · probe")[1].split("</desc>")[0]
    assert described.count("layer") == 26 and "layer 10 max 0.50" in described and "layer 9 max 0.46" in described


def test_seeds_of_a_probe_that_are_one_run_are_no_certainty(page):
    text = " ".join(" ".join(checked(page).text).split())
    assert "base · probe: its 2 seeds are the same run" in text and "2 seeds, the same run" in text
    assert "random · probe: its" not in text and "single · probe: its" not in text


def test_a_map_is_coloured_by_label(page):
    text = " ".join(" ".join(checked(page).text).split())
    said = "base on test: mean of layer 12, 768 numbers a record; the first two principal components hold 31 % and 12 %"
    assert (
        f"{said} of the variance; 2,000 of 90,000 records, drawn at random; 12 dropped; 3,456 unknown tokens." in text
    )
    map_drawn = page.split("Map of vectors")[1].split("</svg>")[0]
    drawn = [map_drawn.count(f'fill="{colour}"') for colour in MODEL_COLOURS[:2]]
    assert sum(drawn) in range(2000, 2010) and min(drawn) > 900, drawn
    assert "2000 records of d" in map_drawn and "<b>planted" not in map_drawn and "planted" in map_drawn


def test_a_card_says_how_a_probe_is_used(tree):
    results, runs = tree
    card = model_card(read_dataset(results, "d", TABLE, [runs[1]]), None, 0.95)
    assert "layer 10, max, penalty 0.01, was chosen by validation MCC" in card
    assert "`probe.safetensors` hold the probe" in card and "pipeline(" not in card
