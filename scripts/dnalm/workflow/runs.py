"""The runs of a config, and the options and GPUs of a training."""

from collections.abc import Iterator

from dnalm.config.chains import ancestors
from dnalm.config.corpora import Corpus
from dnalm.config.root import Config
from dnalm.config.runs import SeededRun
from dnalm.names import BASELINE_SEED
from dnalm.workflow import paths
from dnalm.workflow.wildcards import Wildcards

BASELINE = "baseline"
"""The model's name in the runs of baselines."""


def runs(config: Config) -> Iterator[SeededRun]:
    """Every run, baselines first within a data set; a run on a data set is one on each of its variants too.

    Data sets come in the order of the list `runs`, then by name, each before its variants: the order of keys does not
    matter.
    """
    varied = config.variants()
    written = sorted(set(config.datasets) - set(varied))
    for base in dict.fromkeys([*(run.dataset for run in config.runs), *written]):
        for name in [base, *(name for name, variant in varied.items() if variant.base == base)]:
            for baseline in config.datasets[name].simple_models:
                yield SeededRun(dataset=name, model=BASELINE, recipe=baseline, seed=BASELINE_SEED)
            for run in (run for run in config.runs if run.dataset == base):
                for seed in run.seeds:
                    yield SeededRun(dataset=name, model=run.model, recipe=run.recipe, seed=seed)


def runs_on(config: Config, dataset: str) -> list[SeededRun]:
    """Every run on a data set."""
    return [run for run in runs(config) if run.dataset == dataset]


def models_on(config: Config, dataset: str) -> list[str]:
    """The models that are run on a data set, sorted."""
    return sorted({run.model for run in config.runs if run.dataset == config.base(dataset)})


def corpora_before(config: Config, dataset: str) -> dict[str, list[str]]:
    """The corpora that models run on a data set were pre-trained on, sorted, with these models."""
    found: dict[str, list[str]] = {}
    for model in models_on(config, dataset):
        before = {run.dataset for run in ancestors(config, model)} - {dataset}
        for name in sorted(before):
            if isinstance(config.datasets[name], Corpus):
                found.setdefault(name, []).append(model)
    return dict(sorted(found.items()))


def random_twins(config: Config, dataset: str) -> dict[str, str]:
    """The pre-trained models that are run on a data set and the twin of each: the same model with random weights."""
    models = {name: config.models[name] for name in models_on(config, dataset)}
    return {
        name: twin
        for name, model in models.items()
        for twin, other in models.items()
        if name != twin
        and model.architecture is None
        and other == model.model_copy(update={"initialisation": "random"})
    }


def probed_dataset(config: Config, model: str) -> str:
    """The first data set, in the order of `runs`, that a model is run on."""
    return next(run.dataset for run in config.runs if run.model == model)


def execution(config: Config, wildcards: Wildcards) -> list[str]:
    """Options of `finetune.py` that do not affect the result: device, processes, checkpoints and trackers."""
    recipe = config.recipes[wildcards.recipe]
    options = {
        "device": config.device,
        "processes": recipe.processes,
        "sharding": recipe.sharding,
        "minutes": config.checkpoint_minutes,
        "events": paths.events(wildcards.dataset, wildcards.model, wildcards.recipe, wildcards.seed),
    }
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return words + (["--report-to", *config.report_to] if config.report_to else [])


def gpus(config: Config, wildcards: Wildcards) -> int:
    """GPUs that a fine-tuning requests from the scheduler."""
    recipe = config.recipes[wildcards.recipe]
    if recipe.gpus is not None:
        return recipe.gpus
    return 0 if config.device == "cpu" else recipe.processes
