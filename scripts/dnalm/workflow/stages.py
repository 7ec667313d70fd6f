"""The settings of each stage, of its class in `dnalm.config.stages`, made from the config and a job's wildcards.

Snakemake re-runs a job when the settings' JSON changes, so they hold exactly what the stage's result depends on, and no
path, thread count or device.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dnalm.config.base import Labels, Settings
from dnalm.config.chains import ancestors
from dnalm.config.corpora import Corpus, CorpusSplitting
from dnalm.config.datasets import Dataset, Labelled, MaxRecords, Repeats, Splitting, Table
from dnalm.config.evaluation import Resampling, Scoring
from dnalm.config.genomes import Simulation
from dnalm.config.models import Model, Tokenizer
from dnalm.config.root import Config
from dnalm.config.runs import SeededRun
from dnalm.config.stages import data, evaluation, training
from dnalm.names import METRICS, TRF_PARAMETERS, TRUTH
from dnalm.workflow import embedded, paths
from dnalm.workflow.runs import BASELINE, corpora_before, models_on, probed_dataset, random_twins, runs, runs_on
from dnalm.workflow.wildcards import Wildcards, corpus_of, first_of_chain, labelled_of, repeats_of, table_of

Builder = Callable[[Config, Wildcards], Settings]
Registered = TypeVar("Registered", bound=Builder)

BUILDERS: dict[str, Builder] = {}
"""The function that makes a stage's settings, by the name of its rule."""


def stage(builder: Registered) -> Registered:
    """Register a builder for the rule of its name; the rule's script reads the class that it returns."""
    BUILDERS[builder.__name__] = builder
    return builder


def section(config: Config, rule: str, wildcards: Wildcards) -> str:
    """A job's settings as JSON with sorted keys: equal settings are always the same text."""
    value = BUILDERS[rule](config, wildcards).model_dump(mode="json")
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@stage
def download(config: Config, wildcards: Wildcards) -> data.DownloadSettings:
    """A catalogue, or one part of a genome with its own checksums."""
    if wildcards.kind == "catalogues":
        catalogue = config.catalogues[wildcards.name]
        return data.DownloadSettings(url=catalogue.url or "", sha256=catalogue.sha256, md5=catalogue.md5)
    genome, part = config.genomes[wildcards.name], wildcards.part
    return data.DownloadSettings(
        url=genome.parts()[part],
        sha256=genome.sha256[part] if isinstance(genome.sha256, dict) else genome.sha256,
        md5=genome.md5[part] if isinstance(genome.md5, dict) else genome.md5,
    )


@stage
def simulate_genome(config: Config, wildcards: Wildcards) -> Simulation:
    """The config's own section."""
    return config.genomes[wildcards.genome].simulate or Simulation()


@stage
def import_genome(config: Config, wildcards: Wildcards) -> data.ImportGenomeSettings:
    """Which chromosomes come from which file."""
    genome = config.genomes[wildcards.genome]
    return data.ImportGenomeSettings(parts=list(genome.parts()), chromosomes=genome.chromosomes)


@stage
def find_repeats(config: Config, wildcards: Wildcards) -> data.FindRepeatsSettings:
    """The same parameters for every genome."""
    return data.FindRepeatsSettings(parameters=list(TRF_PARAMETERS))


@stage
def import_catalogue(config: Config, wildcards: Wildcards) -> data.ImportCatalogueSettings:
    """A catalogue's format."""
    catalogue = config.catalogues[wildcards.catalogue]
    return data.ImportCatalogueSettings(
        catalogue=wildcards.catalogue, format=catalogue.layout, filters=catalogue.filters
    )


@stage
def place_catalogue(config: Config, wildcards: Wildcards) -> data.PlaceCatalogueSettings:
    """The catalogue's name, for the ledger."""
    return data.PlaceCatalogueSettings(catalogue=wildcards.catalogue)


@stage
def simulate_arrays(config: Config, wildcards: Wildcards) -> data.SimulateArraysSettings:
    """The config's own section, with the catalogue's name for the ledger."""
    simulation = config.catalogues[wildcards.catalogue].simulate
    return data.SimulateArraysSettings(catalogue=wildcards.catalogue, **dict(simulation or {}))


@stage
def mask(config: Config, wildcards: Wildcards) -> data.MaskSettings:
    """From a mask's name: `soft+danbing` masks soft-masked bases and the catalogue, `all+danbing` the catalogue."""
    return data.MaskSettings.model_validate(
        {"soft": wildcards.mask.split("+")[0] == "soft", "source": wildcards.source}
    )


@stage
def split(config: Config, wildcards: Wildcards) -> data.SplitSettings:
    """Which pieces are long enough."""
    return data.SplitSettings.model_validate({"min_length": wildcards.min_length, "source": wildcards.source})


@stage
def extract(config: Config, wildcards: Wildcards) -> data.ExtractSettings:
    """A data set's positives."""
    dataset = repeats_of(config, wildcards)
    catalogue = config.catalogues[dataset.catalogue]
    return data.ExtractSettings(
        format=catalogue.layout,
        located=catalogue.home is not None,
        min_length=dataset.min_length,
        flank=dataset.flank,
        deduplicate=dataset.deduplicate,
    )


@stage
def balance(config: Config, wildcards: Wildcards) -> data.BalanceSettings:
    """A data set's negatives, without sources of weight 0."""
    dataset = repeats_of(config, wildcards)
    return data.BalanceSettings(
        negatives={source: weight for source, weight in dataset.negatives.items() if weight},
        flank=dataset.flank,
        zones=dataset.split.chromosomes,
        **dict(dataset.balance),
    )


@stage
def import_table(config: Config, wildcards: Wildcards) -> data.ImportTableSettings:
    """The columns of a table."""
    dataset = table_of(config, wildcards)
    return data.ImportTableSettings(
        parts=[file.part for file in dataset.files()],
        file_labels=[file.label for file in dataset.files()],
        sequence_column=dataset.sequence_column,
        label_column=dataset.label_column,
        target_column=dataset.target_column,
        labels=dataset.labels,
        extra=dataset.extra_columns(),
        zones=dataset.split.chromosomes,
    )


@stage
def window_corpus(config: Config, wildcards: Wildcards) -> data.WindowCorpusSettings:
    """How a corpus is made."""
    corpus = corpus_of(config, wildcards)
    return data.WindowCorpusSettings(
        genomes=corpus.genomes,
        sequence_column=corpus.sequence_column,
        window=corpus.window,
        stride=corpus.stride or corpus.window,
        max_unknown=corpus.max_unknown,
        max_soft_masked=corpus.max_soft_masked,
        both_strands=corpus.both_strands,
        split=corpus.split,
        caps=corpus.caps(),
    )


@stage
def relate(config: Config, wildcards: Wildcards) -> data.RelateSettings:
    """When two sequences are relatives."""
    return data.RelateSettings(**dict(labelled_of(config, wildcards).related))


@stage
def split_labels(config: Config, wildcards: Wildcards) -> data.SplitLabelsSettings:
    """How a data set is divided, or that it was published with its splits."""
    dataset = labelled_of(config, wildcards)
    return data.SplitLabelsSettings(
        kind=config.datasets[wildcards.dataset].kind,
        related=dataset.related,
        given=isinstance(dataset, Table) and not dataset.path,
        labels=_labels(dataset),
        caps=dataset.caps(),
        **{key: value for key, value in dataset.split if key != "repeats"},
    )


@stage
def call_repeats(config: Config, wildcards: Wildcards) -> data.FindRepeatsSettings:
    """The same parameters as for genomes."""
    return data.FindRepeatsSettings(parameters=list(TRF_PARAMETERS))


@stage
def draw_background(config: Config, wildcards: Wildcards) -> data.DrawBackgroundSettings:
    """Windows, drawn with the seed of the negatives."""
    dataset = repeats_of(config, wildcards)
    return data.DrawBackgroundSettings(
        number=dataset.background, seed=dataset.balance.seed, flank=dataset.flank, related=dataset.related
    )


@stage
def compare_splits(config: Config, wildcards: Wildcards) -> data.CompareSplitsSettings:
    """The kind of the data set, and when two sequences are relatives."""
    dataset = labelled_of(config, wildcards)
    return data.CompareSplitsSettings(kind=config.datasets[wildcards.dataset].kind, related=dataset.related)


@stage
def compare_pretraining(config: Config, wildcards: Wildcards) -> data.ComparePretrainingSettings:
    """A data set, and a corpus before it."""
    dataset = config.datasets[wildcards.dataset]
    return data.ComparePretrainingSettings(
        corpus=wildcards.corpus, genome=dataset.genome if isinstance(dataset, Repeats) else None
    )


@stage
def audit(config: Config, wildcards: Wildcards) -> evaluation.AuditSettings:
    """A data set's audit, and the token limits of the models that are run on it."""
    dataset = config.datasets[wildcards.dataset]
    return evaluation.AuditSettings(
        dataset=wildcards.dataset,
        kind=dataset.kind,
        audit=dataset.audit,
        labels=_labels(dataset),
        models={name: _limit(config, name) for name in models_on(config, wildcards.dataset)},
        pretraining=corpora_before(config, wildcards.dataset),
    )


@stage
def audit_corpus(config: Config, wildcards: Wildcards) -> evaluation.AuditSettings:
    """The same for a corpus."""
    return audit(config, wildcards)


@stage
def fetch_model(config: Config, wildcards: Wildcards) -> training.FetchModelSettings:
    """A hub model. Entries of the same commit share its folder, with the model's code if one of them runs it."""
    entries = [
        model
        for model in config.models.values()
        if paths.hub_folder(model) == wildcards.hub_id and model.revision == wildcards.revision
    ]
    return training.FetchModelSettings(
        checkpoint=entries[0].checkpoint or "",
        revision=wildcards.revision,
        trust_remote_code=any(model.trust_remote_code for model in entries),
    )


@stage
def train_tokenizer(config: Config, wildcards: Wildcards) -> Tokenizer:
    """The config's own section."""
    return config.models[wildcards.model].tokenizer or Tokenizer()


@stage
def tokenize(config: Config, wildcards: Wildcards) -> training.TokenizeSettings:
    """Tokens of a table, for all recipes of a model."""
    return training.TokenizeSettings(
        reverse_complement=wildcards.table.endswith("_reverse"),
        trust_remote_code=config.models[first_of_chain(config, wildcards).model].trust_remote_code,
    )


@stage
def tokenize_corpus(config: Config, wildcards: Wildcards) -> training.TokenizeSettings:
    """The same for the windows of a corpus."""
    return tokenize(config, wildcards)


@stage
def certify(config: Config, wildcards: Wildcards) -> training.CertifySettings:
    """A checkpoint, and the data set whose sequences it is certified with."""
    model = config.models[wildcards.model]
    return training.CertifySettings(
        checkpoint=_checkpoint_name(model) or "",
        dataset=probed_dataset(config, wildcards.model),
        max_tokens=model.max_tokens,
        trust_remote_code=model.trust_remote_code,
    )


@stage
def embed(config: Config, wildcards: Wildcards) -> training.EmbedSettings:
    """All layers and poolings that probes and embeddings read of these hidden states."""
    model, (weights, overlong) = config.models[wildcards.model], (wildcards.weights, wildcards.overlong)
    place = embedded.Stored(wildcards.dataset, wildcards.model, weights, overlong, wildcards.split)
    layers, pooling = embedded.union(config, place)
    return training.EmbedSettings.model_validate(
        {
            "dataset": wildcards.dataset,
            "model": wildcards.model,
            "split": wildcards.split,
            "overlong": overlong,
            "architecture": model.architecture,
            "checkpoint": _checkpoint_name(model),
            "seed": embedded.weights_seed(weights),
            "max_tokens": model.max_tokens,
            "trust_remote_code": model.trust_remote_code,
            "pooling": pooling,
            "layers": layers,
        }
    )


@stage
def select_embeddings(config: Config, wildcards: Wildcards) -> training.SelectEmbeddingsSettings:
    """An entry of `embeddings`: its layers and poolings."""
    entry = config.embeddings[wildcards.embedding]
    return training.SelectEmbeddingsSettings(name=wildcards.embedding, pooling=entry.pooling, layers=entry.layers)


@stage
def map_embeddings(config: Config, wildcards: Wildcards) -> training.MapEmbeddingsSettings:
    """The map of an entry of `embeddings`."""
    entry = config.embeddings[wildcards.embedding]
    return training.MapEmbeddingsSettings(
        name=wildcards.embedding, dataset=entry.dataset, model=entry.model, splits=entry.splits, map=entry.map
    )


@stage
def probe(config: Config, wildcards: Wildcards) -> training.FinetuneSettings:
    """As of a fine-tuning."""
    return finetune(config, wildcards)


@stage
def finetune(config: Config, wildcards: Wildcards) -> training.FinetuneSettings:
    """A model, a recipe and a seed; the recipe's `best_metric` is always filled in."""
    model, recipe = config.models[wildcards.model], config.recipes[wildcards.recipe]
    dataset = config.datasets[wildcards.dataset]
    return training.FinetuneSettings(
        recipe=recipe.model_copy(update={"best_metric": recipe.chosen_by}),
        seed=int(wildcards.seed),
        architecture=model.architecture,
        checkpoint=_checkpoint_name(model),
        initialisation="random" if model.architecture else model.initialisation,
        max_tokens=model.max_tokens,
        trust_remote_code=model.trust_remote_code,
        labels=_labels(dataset),
        soft_masked_weight=dataset.soft_masked_weight if isinstance(dataset, Corpus) else 1.0,
    )


@stage
def predict_splits(config: Config, wildcards: Wildcards) -> training.PredictSplitsSettings:
    """How a finished model is applied to its data set."""
    model = config.models[wildcards.model]
    return training.PredictSplitsSettings(
        overlong=config.recipes[wildcards.recipe].overlong,
        max_tokens=model.max_tokens,
        trust_remote_code=model.trust_remote_code,
        background=config.datasets[wildcards.dataset].has_background,
    )


@stage
def baseline_cnn(config: Config, wildcards: Wildcards) -> training.BaselineCnnSettings:
    """The convolutional baseline."""
    dataset = config.datasets[wildcards.dataset]
    return training.BaselineCnnSettings(
        seed=int(wildcards.seed), most_settings=dataset.baseline_settings, background=dataset.has_background
    )


@stage
def baseline(config: Config, wildcards: Wildcards) -> evaluation.BaselineSettings:
    """Every other baseline."""
    dataset = config.datasets[wildcards.dataset]
    return evaluation.BaselineSettings.model_validate(
        {
            "name": wildcards.baseline,
            "seed": wildcards.seed,
            "most_settings": dataset.baseline_settings,
            "background": dataset.has_background,
        }
    )


@stage
def plan(config: Config, wildcards: Wildcards) -> evaluation.PlanSettings:
    """The runs on a data set, what they are made of, and how they will be compared."""
    dataset, mine = config.datasets[wildcards.dataset], runs_on(config, wildcards.dataset)
    recipes = {run.recipe: config.recipes[run.recipe] for run in mine if run.model != BASELINE}
    given = isinstance(dataset, Table) and not dataset.path
    split: Splitting | CorpusSplitting | None = None
    if isinstance(dataset, Corpus):
        split = dataset.split
    elif isinstance(dataset, Labelled) and not given:
        split = Splitting(**{key: getattr(dataset.split, key) for key in Splitting.model_fields})
    learnt: set[str] = {one.objective for one in recipes.values()} or set(TRUTH)
    resampling = {key: getattr(config.evaluation, key) for key in Resampling.model_fields}
    limits = {key: getattr(dataset.audit, key) for key in evaluation.GroupLimits.model_fields}
    return evaluation.PlanSettings(
        metric=next(
            METRICS[objective][0]
            for objective, truth in TRUTH.items()
            if truth == dataset.truth and objective in learnt
        ),
        runs=mine,
        models={name: _without_paths(config.models[name]) for name in models_on(config, wildcards.dataset)},
        recipes={name: one.model_copy(update={"best_metric": one.chosen_by}) for name, one in recipes.items()},
        baseline_settings=dataset.baseline_settings,
        split=split,
        max_records=MaxRecords(**dataset.caps()),
        intervals=evaluation.IntervalSettings(**resampling, **limits),
    )


@stage
def evaluate(config: Config, wildcards: Wildcards) -> evaluation.EvaluateSettings:
    """How results are measured, and how many groups intervals need."""
    limits = config.datasets[wildcards.dataset].audit
    scoring = {key: getattr(config.evaluation, key) for key in Scoring.model_fields}
    return evaluation.EvaluateSettings(
        effective_groups=limits.effective_groups, largest_group=limits.largest_group, **scoring
    )


@stage
def compare(config: Config, wildcards: Wildcards) -> evaluation.CompareSettings:
    """All runs on a data set."""
    dataset = config.datasets[wildcards.dataset]
    return evaluation.CompareSettings(
        dataset=wildcards.dataset,
        kind=dataset.kind,
        runs=runs_on(config, wildcards.dataset),
        twins=random_twins(config, wildcards.dataset),
        confidence=config.evaluation.confidence,
        effective_groups=dataset.audit.effective_groups,
        largest_group=dataset.audit.largest_group,
    )


@stage
def model_card(config: Config, wildcards: Wildcards) -> evaluation.ModelCardSettings:
    """A run with the config of its data set."""
    model = config.models[wildcards.model]
    return evaluation.ModelCardSettings(
        run=SeededRun(
            dataset=wildcards.dataset, model=wildcards.model, recipe=wildcards.recipe, seed=int(wildcards.seed)
        ),
        checkpoint=model.checkpoint if model.on_hub else None,
        confidence=config.evaluation.confidence,
        dataset=config.datasets[wildcards.dataset].model_dump(mode="json", exclude_none=True),
    )


@stage
def summarize(config: Config, wildcards: Wildcards) -> evaluation.SummarizeSettings:
    """All runs."""
    return evaluation.SummarizeSettings(runs=[*runs(config)])


@stage
def report(config: Config, wildcards: Wildcards) -> evaluation.ReportSettings:
    """All runs, and the whole config to print, as it was written."""
    printed, variants = config.model_dump(mode="json", exclude_none=True), config.variants()
    written = {name: dataset for name, dataset in printed["datasets"].items() if name not in variants}
    return evaluation.ReportSettings(
        runs=[*runs(config)],
        datasets=printed["datasets"],
        variants=variants,
        confidence=config.evaluation.confidence,
        ladder=config.evaluation.ladder,
        embeddings={name: entry.dataset for name, entry in config.embeddings.items()},
        leaderboard=list(config.evaluation.leaderboard.items()),
        replicates=config.evaluation.replicates,
        seed=config.evaluation.seed,
        published=config.evaluation.published,
        config=printed | {"datasets": written},
    )


def _limit(config: Config, model: str) -> int | None:
    """The longest input of a model that the config states: its own, or that of a model that it descends from."""
    line = [model, *(run.model for run in ancestors(config, model))]
    return min((limit for name in line if (limit := config.models[name].limit) is not None), default=None)


def _labels(dataset: Dataset) -> Labels | None:
    if isinstance(dataset, Repeats):
        return {0: "no repeat", 1: "tandem repeat"}
    return dataset.labels if isinstance(dataset, Table) else None


def _without_paths(model: Model) -> Model:
    """A model with the last parts of local paths: a moved directory is the same one."""
    tokenizer, checkpoint = model.tokenizer, model.checkpoint
    if tokenizer and tokenizer.path:
        tokenizer = tokenizer.model_copy(update={"path": Path(tokenizer.path).name or "."})
    if checkpoint and not model.on_hub:
        checkpoint = Path(checkpoint).name or "."
    return model.model_copy(update={"tokenizer": tokenizer, "checkpoint": checkpoint})


def _checkpoint_name(model: Model) -> str | None:
    """The checkpoint's name in results: a run, `id@commit`, or a directory's last part."""
    if model.run is not None:
        return model.run
    if model.checkpoint is None or model.revision is None:
        return model.checkpoint and model.checkpoint.rstrip("/").rsplit("/", 1)[-1]
    return f"{model.checkpoint}@{model.revision}"
