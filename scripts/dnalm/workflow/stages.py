"""Which part of the config each stage reads, and which files a config asks for.

A stage's section is one JSON text with sorted keys and typed values: Snakemake re-runs a job when that text changes, so
it holds exactly what the stage's result depends on, and no path, thread count or device.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from dnalm.config.base import Settings
from dnalm.config.datasets import Dataset, Repeats, Table
from dnalm.config.models import Model
from dnalm.config.root import Config
from dnalm.config.stages.training import (
    BaselineCnnSettings,
    CertifySettings,
    FetchModelSettings,
    FinetuneSettings,
    Labels,
    PredictSplitsSettings,
    TokenizeSettings,
    TrainTokenizerSettings,
)
from dnalm.names import BASELINE_SEED, TRF_PARAMETERS


class Wildcards(Protocol):
    """The wildcards of a job; which are there depends on the rule."""

    def __getattr__(self, name: str) -> str:
        """The value of a wildcard."""
        ...


Builder = Callable[[Config, Wildcards], Settings]

_BUILDERS: dict[str, Builder] = {}


def _stage(builder: Builder) -> Builder:
    """Register what the stage of the builder's name is told."""
    _BUILDERS[builder.__name__] = builder
    return builder


def section(config: Config, stage: str, wildcards: Wildcards) -> str:
    """What a job of rule `stage` is told, as JSON."""
    value = _STAGES[stage](config, wildcards) if stage in _STAGES else _BUILDERS[stage](config, wildcards)
    if isinstance(value, Settings):
        value = value.model_dump(mode="json")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _download(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    if wildcards.kind == "catalogues":
        catalogue = config.catalogues[wildcards.name]
        return {"url": catalogue.url, "sha256": catalogue.sha256, "md5": catalogue.md5}
    genome = config.genomes[wildcards.name]
    sums = {
        key: value[wildcards.part] if isinstance(value, dict) and wildcards.part in value else value
        for key, value in (("sha256", genome.sha256), ("md5", genome.md5))
    }
    return {"url": genome.parts()[wildcards.part], **sums}


def _simulate_genome(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    simulation = config.genomes[wildcards.genome].simulate
    return simulation.model_dump() if simulation else {}


def _import_genome(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    genome = config.genomes[wildcards.genome]
    return {"parts": list(genome.parts()), "chromosomes": genome.chromosomes}


def _find_repeats(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    return {"parameters": list(TRF_PARAMETERS)}


def _import_catalogue(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    catalogue = config.catalogues[wildcards.catalogue]
    return {"catalogue": wildcards.catalogue, "format": catalogue.layout, "filters": catalogue.filters}


def _simulate_arrays(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    simulation = config.catalogues[wildcards.catalogue].simulate
    return {"catalogue": wildcards.catalogue, **(simulation.model_dump() if simulation else {})}


def mask_name(config: Config, dataset: Repeats) -> str:
    """The folder of a genome masked this way, e.g. `soft+danbing`; data sets masked alike share it."""
    return "+".join(["soft" if dataset.mask.soft else "all", *dataset.masked_catalogues(config)])


def _mask(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    return {"soft": wildcards.mask.split("+")[0] == "soft", "source": wildcards.source}


def _split(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    return {"min_length": int(wildcards.min_length), "source": wildcards.source}


def repeats_of(config: Config, wildcards: Wildcards) -> Repeats:
    """The data set of a job, which is of kind repeats by the rule's constraint."""
    dataset = config.datasets[wildcards.dataset]
    if not isinstance(dataset, Repeats):
        raise TypeError(f"datasets.{wildcards.dataset} is not of kind repeats")
    return dataset


def table_of(config: Config, wildcards: Wildcards) -> Table:
    """The data set of a job, which is of kind table by the rule's constraint."""
    dataset = config.datasets[wildcards.dataset]
    if not isinstance(dataset, Table):
        raise TypeError(f"datasets.{wildcards.dataset} is not of kind table")
    return dataset


def _extract(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset = repeats_of(config, wildcards)
    catalogue = config.catalogues[dataset.catalogue]
    return {
        "format": catalogue.layout,
        "located": catalogue.home is not None,
        **dataset.model_dump(include={"min_length", "flank", "deduplicate"}),
    }


def _balance(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset = repeats_of(config, wildcards)
    return {
        "negatives": {source: weight for source, weight in dataset.negatives.items() if weight},
        "flank": dataset.flank,
        "zones": dataset.split.chromosomes,
        **dataset.balance.model_dump(),
    }


def _import_table(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset = table_of(config, wildcards)
    return {
        "parts": list(dataset.parts()),
        **dataset.model_dump(mode="json", include={"sequence_column", "label_column", "labels", "target_column"}),
    }


def _labels(dataset: Dataset) -> Labels | None:
    return dataset.labels if isinstance(dataset, Table) else {0: "no repeat", 1: "tandem repeat"}


def _split_labels(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset: Dataset = config.datasets[wildcards.dataset]
    table = dataset if isinstance(dataset, Table) else None
    return {
        "kind": "table" if table else "repeats",
        "given": bool(table and not table.path),
        "labels": _labels(dataset),
        "caps": dataset.caps(),
        **dataset.split.model_dump(),
    }


def _call_repeats(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    return {"parameters": list(TRF_PARAMETERS)}


def _draw_background(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset = repeats_of(config, wildcards)
    return {"number": dataset.background, "seed": dataset.balance.seed, "flank": dataset.flank}


def _compare_splits(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    return {"kind": config.datasets[wildcards.dataset].kind}


def _audit(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset = config.datasets[wildcards.dataset]
    return {
        "dataset": wildcards.dataset,
        "kind": dataset.kind,
        "audit": dataset.audit.model_dump(),
        "labels": _labels(dataset),
        "models": {name: config.models[name].limit for name in models_on(config, wildcards.dataset)},
    }


@_stage
def train_tokenizer(config: Config, wildcards: Wildcards) -> TrainTokenizerSettings:
    """A tokenizer to train."""
    return TrainTokenizerSettings.model_validate(config.models[wildcards.model].tokenizer, from_attributes=True)


@_stage
def tokenize(config: Config, wildcards: Wildcards) -> TokenizeSettings:
    """Tokens of a table, for all recipes of a model."""
    return TokenizeSettings(
        reverse_complement=wildcards.table.endswith("_reverse"),
        trust_remote_code=config.models[wildcards.model].trust_remote_code,
    )


def checkpoint_name(model: Model) -> str | None:
    """How a result says which checkpoint it began from: `id@commit`, or a directory's own name."""
    if model.checkpoint is None or model.revision is None:
        return model.checkpoint and model.checkpoint.rstrip("/").rsplit("/", 1)[-1]
    return f"{model.checkpoint}@{model.revision}"


@_stage
def fetch_model(config: Config, wildcards: Wildcards) -> FetchModelSettings:
    """A hub model; entries of the same commit share its folder, with its code if one of them runs that."""
    entries = [
        model
        for model in config.models.values()
        if hub_folder(model) == wildcards.hub_id and model.revision == wildcards.revision
    ]
    return FetchModelSettings(
        checkpoint=entries[0].checkpoint or "",
        revision=wildcards.revision,
        trust_remote_code=any(model.trust_remote_code for model in entries),
    )


def hub_folder(model: Model) -> str:
    """A hub id as one folder name."""
    return (model.checkpoint or "").replace("/", "--")


@_stage
def certify(config: Config, wildcards: Wildcards) -> CertifySettings:
    """A checkpoint, and where the sequences come from that it is asked about."""
    model = config.models[wildcards.model]
    return CertifySettings(
        checkpoint=checkpoint_name(model) or "",
        dataset=probed_dataset(config, wildcards.model),
        max_tokens=model.max_tokens,
        trust_remote_code=model.trust_remote_code,
    )


def probed_dataset(config: Config, model: str) -> str:
    """The first data set, in the order of `runs`, that a model is run on."""
    return next(run.dataset for run in config.runs if run.model == model)


@_stage
def finetune(config: Config, wildcards: Wildcards) -> FinetuneSettings:
    """A model, a recipe and a seed; the recipe names its metric, whether the config does or not."""
    model, recipe = config.models[wildcards.model], config.recipes[wildcards.recipe]
    return FinetuneSettings(
        recipe=recipe.model_copy(update={"best_metric": recipe.chosen_by}),
        seed=int(wildcards.seed),
        architecture=model.architecture,
        checkpoint=checkpoint_name(model),
        initialisation="random" if model.architecture else model.initialisation,
        max_tokens=model.max_tokens,
        trust_remote_code=model.trust_remote_code,
        labels=_labels(config.datasets[wildcards.dataset]),
    )


def conduct(config: Config, wildcards: Wildcards) -> list[str]:
    """Options of `finetune.py` that are no part of the result: on what it trains, where it saves and reports."""
    recipe = config.recipes[wildcards.recipe]
    options = {
        "device": config.device,
        "processes": recipe.processes,
        "sharding": recipe.sharding,
        "minutes": config.checkpoint_minutes,
        "events": f"logs/tensorboard/{wildcards.dataset}/{wildcards.model}/{wildcards.recipe}/seed{wildcards.seed}",
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return words + (["--report-to", *config.report_to] if config.report_to else [])


def gpus(config: Config, wildcards: Wildcards) -> int:
    """GPUs that a fine-tuning asks of the scheduler."""
    recipe = config.recipes[wildcards.recipe]
    if recipe.gpus is not None:
        return recipe.gpus
    return 0 if config.device == "cpu" else recipe.processes


@_stage
def predict_splits(config: Config, wildcards: Wildcards) -> PredictSplitsSettings:
    """How a finished model is applied to its data set."""
    model = config.models[wildcards.model]
    return PredictSplitsSettings(
        overlong=config.recipes[wildcards.recipe].overlong,
        max_tokens=model.max_tokens,
        trust_remote_code=model.trust_remote_code,
        background=config.datasets[wildcards.dataset].has_background,
    )


def _baseline(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    background = config.datasets[wildcards.dataset].has_background
    return {"name": wildcards.baseline, "seed": int(wildcards.seed), "background": background}


@_stage
def baseline_cnn(config: Config, wildcards: Wildcards) -> BaselineCnnSettings:
    """The convolutional baseline."""
    background = config.datasets[wildcards.dataset].has_background
    return BaselineCnnSettings(seed=int(wildcards.seed), background=background)


def _evaluate(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    limits = config.datasets[wildcards.dataset].audit.model_dump(include={"effective_groups", "largest_group"})
    return {**config.evaluation.model_dump(), **limits}


def _compare(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    dataset = config.datasets[wildcards.dataset]
    return {
        "dataset": wildcards.dataset,
        "kind": dataset.kind,
        "runs": runs_on(config, wildcards.dataset),
        "evaluation": config.evaluation.model_dump(),
        **dataset.audit.model_dump(include={"effective_groups", "largest_group"}),
    }


def _model_card(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    model = config.models[wildcards.model]
    return {
        "run": {
            "dataset": wildcards.dataset,
            "model": wildcards.model,
            "recipe": wildcards.recipe,
            "seed": int(wildcards.seed),
        },
        "checkpoint": model.checkpoint if model.on_hub else None,
        "confidence": config.evaluation.confidence,
        "dataset": config.datasets[wildcards.dataset].model_dump(mode="json", exclude_none=True),
    }


def _summarize(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    return {"runs": [*runs(config)]}


def _report(config: Config, wildcards: Wildcards) -> dict[str, Any]:
    whole = config.model_dump(mode="json", exclude_none=True)
    return {"runs": [*runs(config)], "datasets": whole["datasets"], "config": whole}


_STAGES = {
    "download": _download,
    "simulate_genome": _simulate_genome,
    "import_genome": _import_genome,
    "find_repeats": _find_repeats,
    "import_catalogue": _import_catalogue,
    "simulate_arrays": _simulate_arrays,
    "mask": _mask,
    "split": _split,
    "extract": _extract,
    "balance": _balance,
    "import_table": _import_table,
    "split_labels": _split_labels,
    "call_repeats": _call_repeats,
    "draw_background": _draw_background,
    "compare_splits": _compare_splits,
    "audit": _audit,
    "baseline": _baseline,
    "evaluate": _evaluate,
    "compare": _compare,
    "model_card": _model_card,
    "summarize": _summarize,
    "report": _report,
}


def runs(config: Config) -> Iterator[dict[str, Any]]:
    """Every run, baselines first within a data set: {dataset, model, recipe, seed}; a baseline's model is `baseline`.

    Data sets come in the order of the list `runs`, then by name: the order of keys means nothing.
    """
    for name in dict.fromkeys([*(run.dataset for run in config.runs), *sorted(config.datasets)]):
        dataset = config.datasets[name]
        for baseline in dataset.simple_models:
            yield {"dataset": name, "model": "baseline", "recipe": baseline, "seed": BASELINE_SEED}
        for run in config.runs:
            if run.dataset == name:
                for seed in run.seeds:
                    yield {"dataset": name, **run.model_dump(include={"model", "recipe"}), "seed": seed}


def runs_on(config: Config, dataset: str) -> list[dict[str, Any]]:
    """Every run on a data set."""
    return [run for run in runs(config) if run["dataset"] == dataset]


def models_on(config: Config, dataset: str) -> list[str]:
    """The models that are run on a data set, sorted."""
    return sorted({run.model for run in config.runs if run.dataset == dataset})


def run_folder(run: dict[str, Any]) -> str:
    """Where a run's results lie."""
    return "results/{dataset}/runs/{model}/{recipe}/seed{seed}".format(**run)
