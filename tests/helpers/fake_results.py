"""A small results tree with the files the report reads; its figures are made up."""

from pathlib import Path

import numpy as np
import pandas as pd

from dnalm.config.runs import SeededRun
from dnalm.config.stages.evaluation import EvaluateSettings
from dnalm.evaluation.statistics.run_metrics import evaluate
from dnalm.files import write_json, write_tsv
from dnalm.names import METRICS
from dnalm.tables.predictions import ClassPredictions, NumberPredictions, write_predictions

SETTINGS = EvaluateSettings(
    replicates=200, calibration_bins=10, temperature=True, effective_groups=30, largest_group=0.05
)
"""What `evaluate` is asked for."""


CERTIFICATE = {
    "checkpoint": "base@1",
    "missing": ["classifier.bias", "classifier.weight"],
    "unexpected": [],
    "reload_difference": 0.0,
    "language_model": {
        "objective": "masked", "loss": 5.1234, "uniform_loss": 6.4102,
        "bits_per_base": 1.8765, "markov_order": 3, "markov_bits_per_base": 1.9432,
    },
    "tokenizer": {"tokens": 1234, "unknown_tokens": 5, "changed_by_round_trip": 1},
    "probes": {"sequences": 32, "bases": 4800, "fitted": 268, "dataset": "d", "split": "validation"},
}  # fmt: skip
"""The certificate of a checkpoint, as run.json holds it."""


def run_of(dataset: str, model: str, recipe: str, seed: int = 1) -> SeededRun:
    """A run's name."""
    return SeededRun(dataset=dataset, model=model, recipe=recipe, seed=seed)


def predictions(n: int, classes: int, skill: float, seed: int, split: str) -> ClassPredictions:
    """Scores that favour the true label by `skill` (0: chance)."""
    labels = np.arange(n) % classes
    noise = np.random.default_rng([seed, len(split)]).normal(size=(n, classes))
    noise[np.arange(n), labels] += skill
    scores = np.exp(noise - noise.max(axis=1, keepdims=True))
    ids = np.array([f"{split}{i}" for i in range(n)], dtype=object)
    return ClassPredictions(ids, labels, (scores / scores.sum(axis=1, keepdims=True)).round(6))


def numbers(n: int, skill: float, seed: int, split: str) -> NumberPredictions:
    """Targets around 20, some of them far above, and predictions that follow them by `skill` (0: chance)."""
    targets = np.random.default_rng(len(split)).lognormal(3, 0.4, n)
    noise = np.random.default_rng([seed, len(split)]).normal(size=n)
    followed = skill / (1 + skill) * (targets - targets.mean()) + targets.mean()
    ids = np.array([f"{split}{i}" for i in range(n)], dtype=object)
    return NumberPredictions(ids, targets, followed + 3 * noise)


def add_run(
    results: Path,
    run: SeededRun,
    skill: float,
    n: int = 300,
    classes: int = 2,
    epochs: int = 6,
    method: str = "full",
    objective: str = "classification",
    best_metric: str | None = None,
    certificate: dict | None = None,
) -> None:
    """Write predictions, metrics, run.json and (for a model) the training log of one run."""
    folder = results / run.folder
    seed = run.seed + 10 * len(run.recipe)
    scored = {
        split: predictions(n, classes, skill, seed, split)
        if objective == "classification"
        else numbers(n, skill, seed, split)
        for split in ("validation", "test")
    }
    write_predictions(folder / "predictions.parquet", scored)
    groups = {split: np.array([f"group{i // 3}" for i in range(n)]) for split in scored}
    metrics = evaluate(scored, groups, SETTINGS)
    write_json(folder / "metrics.json", metrics)
    versions = {"python": "3.12.1", "numpy": "2.4.6", "scikit-learn": "1.9.1"}
    if run.model == "baseline":
        account = {
            "description": "Logistic regression on something simple",
            "chosen": {"C": 1.0, "k": 4},
            "converged": True,
        }
        write_json(folder / "run.json", {"spec": {"name": run.recipe, "seed": 1}, "versions": versions, "device": "cpu", "seconds": 1.2, "baseline": account})  # fmt: skip
        return
    best = max(1, epochs - 2) if epochs > 1 else epochs
    criteria = METRICS[objective]
    recipe = {
        "objective": objective,
        "method": method,
        "best_metric": best_metric or criteria[0],
        "learning_rate": 5e-4,
        "epochs": epochs,
        "overlong": "window",
    }
    record = {"spec": {"recipe": recipe, "seed": run.seed, "checkpoint": None}, "versions": versions | {"torch": "2.13.0"}, "device": "cpu"}  # fmt: skip
    counts = {"records": 900, "overlong": 0, "dropped": 0, "windows": 900, "unknown_tokens": 0}
    record |= {
        "seconds": 81.4,
        "best_epoch": best,
        "counts": {"train": counts, "validation": counts},
        "max_tokens": 512,
        "certificate": certificate,
        "trainable_parameters": 12_034 if method == "lora" else 456_194,
        "engine": {"kind": "packed", "because": "shown to give the same results as padded", "padding": 0.1642},
    }
    write_json(folder / "run.json", record | {"parameters": 456_194, "files": {"model.safetensors": "ab" * 32}})
    score = metrics["validation"][criteria[0]]
    rows = []
    for epoch in range(1, epochs + 1) if method != "none" else [0]:
        shape = 1 - abs(epoch - best) / (epochs + 2)
        losses = (None if method == "none" else 0.69 * 0.82**epoch, 0.7 - 0.2 * shape * score)
        rows.append([epoch, epoch * 50, *losses, *[score * shape] * len(criteria), 5e-4 * (1 - epoch / (epochs + 1))])
    columns = ["epoch", "step", "training_loss", "validation_loss", *criteria, "learning_rate"]
    write_tsv(folder / "training_log.tsv", pd.DataFrame(rows, columns=columns), float_format="%.6g")


def distribution(median: float) -> dict:
    """Quartiles around a median, as manifests hold them."""
    return {"n": 9, "mean": median, "minimum": 0, "quartile_1": median / 2, "median": median, "quartile_3": median * 2, "maximum": median * 4}  # fmt: skip


def add_manifest(
    results: Path, dataset: str, names: list[str], sizes: tuple[int, int, int] = (900, 300, 300), **more
) -> dict:
    """Write a manifest for labels of these names, or without names for targets; `more` replaces parts of it."""
    splits, keys = {}, [str(k) for k in range(len(names))] or ["all"]
    for split, size in zip(("train", "validation", "test"), sizes, strict=True):
        splits[split] = {
            "records": size,
            **(
                {"labels": {str(k): size // len(names) for k in range(len(names))}}
                if names
                else {"targets": distribution(20.25) | {"sd": 8.5, "distinct": size - 3}}
            ),
            "groups": size // 3,
            "sha256": "0123456789abcdef" * 4,
            "length": {key: distribution(80 + 3 * k) for k, key in enumerate(keys)},
            "gc": {key: distribution(0.4 + 0.01 * k) for k, key in enumerate(keys)},
        }
    pairs = ("train/validation", "train/test", "validation/test")
    manifest = {
        "ledger": [{"stage": "import_table", "source": "table", "in": sum(sizes) + 7, "kept": sum(sizes), "dropped": {"empty sequence": 7}}],
        "splits": splits,
        "labels": {str(k): name for k, name in enumerate(names)},
        "groups": {"number": 500, "largest": 41, "largest_fraction": 0.027333, "in_several_splits": 0, "definition": ["identical on either strand"]},
        "shared_sequences": dict.fromkeys(pairs, 0),
        "kept_vs_dropped": None,
        "warnings": [],
    } | more  # fmt: skip
    write_json(results / dataset / "data" / "manifest.json", manifest)
    return manifest
