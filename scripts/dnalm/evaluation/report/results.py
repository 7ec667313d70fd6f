"""The results of one data set for the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from dnalm.config.runs import SeededRun
from dnalm.errors import UserError
from dnalm.evaluation.report.descriptions import DESCRIPTIONS, Description
from dnalm.evaluation.statistics.comparison import REFERENCE
from dnalm.files import read_json
from dnalm.names import LABEL, METRICS, TARGET, TRUTH
from dnalm.tables.predictions import Predictions, read_predictions

BASELINE_NAMES = {
    "majority": "commonest label",
    "mean": "mean target",
    "length_gc": "length and GC",
    "kmer": "k-mer regression",
    "boosting": "k-mer boosting",
    "periodicity": "periodicity",
    "cnn": "small CNN",
    "trf": "Tandem Repeats Finder",
    "uniform": "uniform guess",
    "markov": "Markov chain",
    "mixture": "finite-context mixture",
}

CONSTANT = ("majority", "uniform")
"""The baselines that answer the same throughout by their nature."""


@dataclass(frozen=True)
class Run:
    """One run: a model or baseline, trained with one seed. `log` is None for a baseline."""

    model: str
    recipe: str
    seed: int
    metrics: dict[str, Any]
    predictions: dict[str, Predictions]
    record: dict[str, Any]
    log: pd.DataFrame | None

    @property
    def is_baseline(self) -> bool:
        """Whether this is one of the simple models."""
        return self.model == "baseline"

    @property
    def collapsed(self) -> bool:
        """Whether it answers one class throughout the test split, or costs 2 bits a base or more; False for numbers.

        Of the rule that always answers the same that is no finding.
        """
        return self.recipe not in CONSTANT and bool(self.metrics.get("collapsed"))

    @property
    def objective(self) -> str:
        """What it was trained for."""
        return self.predictions["test"].objective

    @property
    def pretrained(self) -> bool:
        """Whether it begins from the weights of a checkpoint."""
        spec = self.record.get("spec", {})
        return bool(spec.get("checkpoint")) and spec.get("initialisation") != "random"

    @property
    def name(self) -> str:
        """Model and recipe, or baseline, as named in the report; without the seed."""
        return BASELINE_NAMES.get(self.recipe, self.recipe) if self.is_baseline else f"{self.model} · {self.recipe}"

    @property
    def kind(self) -> str:
        """`model`, `baseline`, or `reference` for the baseline that made the labels."""
        return ("reference" if self.recipe == REFERENCE else "baseline") if self.is_baseline else "model"


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the seed."""

    runs: Sequence[Run]

    @property
    def name(self) -> str:
        """Name of the runs, without a seed."""
        return self.runs[0].name

    @property
    def key(self) -> str:
        """The group's name in files: `model/recipe`, or `baseline/name`."""
        return f"{self.runs[0].model}/{self.runs[0].recipe}"

    @property
    def kind(self) -> str:
        """`model`, `baseline` or `reference`."""
        return self.runs[0].kind

    @property
    def is_baseline(self) -> bool:
        """Whether these are simple models."""
        return self.runs[0].is_baseline

    @property
    def collapsed(self) -> list[Run]:
        """The runs that answer one class only."""
        return [run for run in self.runs if run.collapsed]

    def values(self, metric: str, split: str = "test") -> list[float]:
        """A metric of each run where it is defined."""
        sources = (run.metrics if split == "test" else run.metrics[split] for run in self.runs)
        return [float(source[metric]) for source in sources if source[metric] is not None]

    def mean(self, metric: str, split: str = "test") -> float | None:
        """Mean of a metric over the seeds, None where it is undefined."""
        values = self.values(metric, split)
        return mean(values) if values else None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Confidence interval of a test metric, None if withheld for a run.

        With several seeds, the mean lower and the mean upper bound: variation over seeds is not included.
        """
        known = [run.metrics["intervals"].get(metric) for run in self.runs]
        if not all(known):
            return None
        return mean(part["low"] for part in known), mean(part["high"] for part in known)


@dataclass(frozen=True)
class Details:
    """What a page shows of the test set beside the scores; depends on the objective.

    shown: values for the objective's template; files: tables to download, by name, as columns and rows.
    """

    shown: Mapping[str, Any]
    files: Mapping[str, tuple[Sequence[str], list[list[Any]]]]


@dataclass(frozen=True)
class EmbeddingMap:
    """The map of an entry of `embeddings`: how it was drawn, and a row a record with `x` and `y`."""

    name: str
    facts: dict[str, Any]
    points: pd.DataFrame


@dataclass(frozen=True)
class Dataset:
    """One data set: config, manifest, audit, comparison, and its run groups in the order of the config.

    clusters: the group of each test record, by id; only of data sets on a leaderboard. apart: run groups of a corpus
    whose figures are another quantity than those of `groups`: masked language models beside causal ones, or baselines
    where all models are masked ones.
    """

    name: str
    config: dict[str, Any]
    manifest: dict[str, Any]
    audit: dict[str, Any]
    comparison: dict[str, Any]
    groups: Sequence[Group]
    embeddings: Sequence[EmbeddingMap] = ()
    clusters: Mapping[str, str] = field(default_factory=dict)
    apart: Sequence[Group] = ()

    @property
    def description(self) -> Description:
        """The description of the objective; from the config, as there may be no runs."""
        if self.is_corpus:
            return DESCRIPTIONS[self.groups[0].runs[0].objective if self.groups else "causal"]
        truth = TARGET if self.config.get("target_column") else LABEL
        return next(DESCRIPTIONS[objective] for objective, column in TRUTH.items() if column == truth)

    @property
    def is_corpus(self) -> bool:
        """Whether it has no labels or targets, and models learn the sequence itself."""
        return str(self.config.get("kind")) == "corpus"

    @property
    def members(self) -> list[tuple[Group, Run]]:
        """Every run with its group."""
        return [(group, run) for group in self.groups for run in group.runs]

    @property
    def models(self) -> list[Group]:
        """Groups of language models."""
        return [group for group in self.groups if not group.is_baseline]

    @property
    def baselines(self) -> list[Group]:
        """Groups of baselines."""
        return [group for group in self.groups if group.is_baseline]

    def group(self, key: str) -> Group | None:
        """The group with a `key`, None where there is none."""
        return next((group for group in self.groups if group.key == key), None)


def read_dataset(
    results: Path,
    name: str,
    config: dict[str, Any],
    runs: Sequence[SeededRun],
    embeddings: Mapping[str, str] | None = None,
) -> Dataset:
    """Read the files of a data set, of its `runs`, and of its `embeddings` {name: data set}; others are ignored."""
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.dataset == name:
            groups.setdefault((run.model, run.recipe), []).append(_read_run(results / run.folder, run))
    folder = results / name
    found = [Group(members) for members in groups.values()]
    objectives = {group.runs[0].objective for group in found if not group.is_baseline} or {"causal"}
    shown = "masked" if objectives == {"masked"} else "causal"
    corpus = config.get("kind") == "corpus"
    apart = [group for group in found if corpus and group.runs[0].objective != shown]
    return Dataset(
        name,
        config,
        read_json(folder / "data" / "manifest.json"),
        read_json(folder / "audit.json"),
        read_json(folder / "comparison.json"),
        [group for group in found if group not in apart],
        embeddings=[
            _read_map(results / "embeddings" / one, one) for one, of in (embeddings or {}).items() if of == name
        ],
        apart=apart,
    )


def _read_map(folder: Path, name: str) -> EmbeddingMap:
    points = pd.read_csv(folder / "map.tsv", sep="\t", dtype={"id": str, "split": str}, keep_default_na=False)
    return EmbeddingMap(name, read_json(folder / "map.json"), points)


def _read_run(directory: Path, run: SeededRun) -> Run:
    predictions = read_predictions(directory / "predictions.parquet")
    primary = METRICS[predictions["test"].objective][0]
    return Run(
        run.model,
        run.recipe,
        run.seed,
        read_json(directory / "metrics.json"),
        predictions,
        read_json(directory / "run.json"),
        None if run.model == "baseline" else _read_log(directory / "training_log.tsv", primary),
    )


def _read_log(path: Path, primary: str) -> pd.DataFrame:
    log = pd.read_csv(path, sep="\t")
    place = "setting" if "setting" in log else "epoch"
    missing = [name for name in (place, "training_loss", "validation_loss", primary) if name not in log]
    if missing or log.empty:
        raise UserError(f"{path}: {f'no column {missing[0]!r}' if missing else 'no rows'}; not a training log")
    return log
