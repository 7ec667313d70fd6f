"""Which files each stage reads: pure functions of the config and a job's wildcards."""

from collections.abc import Iterable
from pathlib import Path

from dnalm.config.corpora import Corpus
from dnalm.config.datasets import Repeats
from dnalm.config.loading import local_paths
from dnalm.config.root import Config
from dnalm.names import SHARDS, SPLITS, scored_splits
from dnalm.workflow import embedded, paths
from dnalm.workflow.runs import corpora_before, models_on, probed_dataset, runs_on
from dnalm.workflow.wildcards import Wildcards, corpus_of, first_of_chain, repeats_of, table_of

AUDITED = ("json", "offsets.npy")
"""The files of a table's tokens that the audit reads: counts, and where each record begins."""

CALLED_RECORDS = "trf/records.parquet"
"""What TRF calls in a data set's records, in the folder of its preparation."""

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx")


def given_files(config: Config) -> set[str]:
    """The user's own files: those that the config names, and those in the directories that it names."""
    return {file for _, path in local_paths(config) for file in (path, *_listed(path))}


def genome_parts(config: Config, wildcards: Wildcards) -> list[str]:
    """The FASTA files of a genome: downloaded, given or simulated."""
    genome = config.genomes[wildcards.genome]
    if genome.simulate:
        return [paths.simulation(wildcards.genome, "fa.gz")]
    if genome.path:
        return list(genome.parts().values())
    return [paths.download("genomes", wildcards.genome, part) for part in genome.parts()]


def genome_fasta(config: Config, wildcards: Wildcards) -> list[str]:
    """The genome of a shard."""
    return paths.fasta(wildcards.genome)


def catalogue_files(config: Config, wildcards: Wildcards) -> list[str]:
    """The files that a catalogue is read from."""
    catalogue = config.catalogues[wildcards.catalogue]
    if catalogue.find and catalogue.genome:
        return [paths.repeats_found(catalogue.genome, shard) for shard in range(SHARDS)]
    if catalogue.simulated and catalogue.genome:
        return [paths.simulation(catalogue.genome, "vcf")]
    return [catalogue.path or paths.download("catalogues", wildcards.catalogue, "all")]


def catalogue_genome(config: Config, wildcards: Wildcards) -> list[str]:
    """The genome that a catalogue lies on or is simulated from, if any."""
    genome = config.catalogues[wildcards.catalogue].genome
    return paths.fasta(genome) if genome else []


def masked_catalogues(config: Config, wildcards: Wildcards) -> list[str]:
    """The catalogues named by a mask's folder, e.g. `soft+danbing`, as intervals of the genome."""
    return [_on_genome(config, wildcards.genome, name) for name in wildcards.mask.split("+")[1:]]


def positives_catalogue(config: Config, wildcards: Wildcards) -> list[str]:
    """The catalogue of a data set's positives."""
    return [paths.catalogue(repeats_of(config, wildcards).catalogue)]


def positives_genome(config: Config, wildcards: Wildcards) -> list[str]:
    """The genome that a data set's positives lie on, if any."""
    genome = config.catalogues[repeats_of(config, wildcards).catalogue].home
    return paths.fasta(genome) if genome else []


def negatives_genome(config: Config, wildcards: Wildcards) -> list[str]:
    """The genome that a data set's negatives are drawn from."""
    return paths.fasta(repeats_of(config, wildcards).genome)


def mask_name(config: Config, dataset: Repeats) -> str:
    """The folder of a genome masked this way, e.g. `soft+danbing`; data sets masked alike share it."""
    return "+".join(["soft" if dataset.mask.soft else "all", *dataset.masked_catalogues(config.catalogues)])


def pieces(config: Config, wildcards: Wildcards, source: str, suffix: str = "parquet") -> list[str]:
    """The pieces of a data set's genome that negatives of `source` come from: one file a shard, none if unused."""
    dataset = repeats_of(config, wildcards)
    if source not in [*dataset.piece_sources(), *(["context"] if dataset.flank else [])]:
        return []
    # The context of a flank may be of any length; only what a negative is cut from has a minimum.
    minimum = 1 if source == "context" else dataset.min_length
    mask = mask_name(config, dataset)
    return [paths.pieces(dataset.genome, mask, source, minimum, shard, suffix) for shard in range(SHARDS)]


def prepared(config: Config, wildcards: Wildcards, file: str) -> list[str]:
    """A file of a data set's records before they are split, which its variants share."""
    return [paths.preparation(config.base(wildcards.dataset), file)]


def ledgers(config: Config, wildcards: Wildcards) -> list[str]:
    """The ledgers of all stages before a data set's records, in the order of the stages."""
    dataset = config.datasets[wildcards.dataset]
    own, positives = (prepared(config, wildcards, f"{name}.json") for name in ("records", "positives"))
    if not isinstance(dataset, Repeats):
        return own
    masked = dataset.masked_catalogues(config.catalogues)
    return [
        *(paths.catalogue(name, "json") for name in sorted({dataset.catalogue, *masked})),
        *(paths.placed_catalogue(dataset.genome, name, "json") for name in masked if config.catalogues[name].is_placed),
        *positives,
        *(path for source in dataset.piece_sources() for path in pieces(config, wildcards, source, "json")),
        *own,
    ]


def predictions(config: Config, wildcards: Wildcards) -> list[str]:
    """The predictions of every run on a data set."""
    return [f"{paths.run(run)}/predictions.parquet" for run in runs_on(config, wildcards.dataset)]


def located_catalogues(config: Config, wildcards: Wildcards) -> list[str]:
    """The catalogues of repeats on a data set's genome; none for a table."""
    dataset = config.datasets[wildcards.dataset]
    if not isinstance(dataset, Repeats):
        return []
    return [_on_genome(config, dataset.genome, name) for name in dataset.masked_catalogues(config.catalogues)]


def _on_genome(config: Config, genome: str, name: str) -> str:
    """A catalogue's intervals on a genome: its own, or where its sequences were found."""
    return paths.placed_catalogue(genome, name) if config.catalogues[name].is_placed else paths.catalogue(name)


def called_records(config: Config, wildcards: Wildcards) -> list[str]:
    """TRF's calls in a data set's records; none for a table, whose labels may have nothing to do with repeats."""
    repeats = isinstance(config.datasets[wildcards.dataset], Repeats)
    return prepared(config, wildcards, CALLED_RECORDS) if repeats else []


def baseline_calls(config: Config, wildcards: Wildcards) -> list[str]:
    """The calls that the baseline `trf` scores: in the records and, if there is one, in the background."""
    if wildcards.baseline != "trf":
        return []
    own = paths.preparation(wildcards.dataset, "trf/background.parquet")
    background = [own] if config.datasets[wildcards.dataset].has_background else []
    return [*prepared(config, wildcards, CALLED_RECORDS), *background]


def called_table(config: Config, wildcards: Wildcards) -> list[str]:
    """The sequences that TRF is run on: all records before they are split, or the background."""
    if wildcards.table == "records":
        return [paths.preparation(wildcards.dataset, "records.parquet")]
    return [paths.table(wildcards.dataset, wildcards.table)]


def background(config: Config, wildcards: Wildcards) -> list[str]:
    """The windows of the genome that are scored as well as a data set's splits, if it has any."""
    wanted = config.datasets[wildcards.dataset].has_background
    return [paths.table(wildcards.dataset, "background")] if wanted else []


def audited_tokens(config: Config, wildcards: Wildcards) -> list[str]:
    """A data set's tokens by the tokenizers of all models that are run on it."""
    models = models_on(config, wildcards.dataset)
    return [path for model in models for path in paths.tokens(wildcards.dataset, model, SPLITS, AUDITED)]


def pretraining(config: Config, wildcards: Wildcards) -> list[str]:
    """What of a data set lies in the corpora that models run on it were pre-trained on."""
    dataset = wildcards.dataset
    return [paths.preparation(dataset, f"pretraining/{corpus}.json") for corpus in corpora_before(config, dataset)]


def table_files(config: Config, wildcards: Wildcards) -> list[str]:
    """The tables that a data set is read from."""
    return [file.path for file in table_of(config, wildcards).files()]


def corpus_genomes(config: Config, wildcards: Wildcards) -> list[str]:
    """The FASTA files of a corpus' genomes; none for a table."""
    return [paths.fasta(genome)[0] for genome in corpus_of(config, wildcards).genomes]


def corpus_indices(config: Config, wildcards: Wildcards) -> list[str]:
    """The indices of these files."""
    return [index for genome in corpus_of(config, wildcards).genomes for index in paths.fasta(genome)[1:]]


def corpus_table(config: Config, wildcards: Wildcards) -> list[str]:
    """The table that a corpus is read from, if it is not cut from genomes."""
    path = corpus_of(config, wildcards).path
    return [path] if path else []


def checkpoint_files(config: Config, wildcards: Wildcards) -> list[str]:
    """The files of a model's weights: a run's or a hub's directory and its record, a directory's files, or none."""
    model = config.models[wildcards.model]
    if (begins := model.begins_with) is not None:
        return [paths.run_model(begins), paths.run_record(begins)]
    if model.on_hub:
        return [paths.snapshot(model), paths.snapshot_record(model)]
    return _listed(model.checkpoint) if model.checkpoint else []


def checkpoint_folder(config: Config, wildcards: Wildcards) -> str:
    """The directory a model's weights are loaded from; empty for a new architecture."""
    model = config.models[wildcards.model]
    if (begins := model.begins_with) is not None:
        return paths.run_model(begins)
    if model.on_hub:
        return paths.snapshot(model)
    return model.checkpoint or ""


def certified(config: Config) -> list[str]:
    """The models that are run and whose weights come from a checkpoint or run: each gets a certificate."""
    used = {run.model for run in config.runs}
    return [
        name
        for name, model in config.models.items()
        if name in used and model.architecture is None and model.initialisation == "pretrained"
    ]


def certificate(config: Config, wildcards: Wildcards) -> list[str]:
    """The certificate of a model's checkpoint, if it has one."""
    return [paths.certificate(wildcards.model)] if wildcards.model in certified(config) else []


def probes(config: Config, wildcards: Wildcards) -> list[str]:
    """The real sequences that a checkpoint is certified with."""
    return [paths.table(probed_dataset(config, wildcards.model), "validation")]


def tokenizer_files(config: Config, wildcards: Wildcards) -> list[str]:
    """The files of a model's tokenizer."""
    model = config.models[wildcards.model]
    place = tokenizer_folder(config, wildcards)
    if model.tokenizer and model.tokenizer.train:
        return [f"{place}/{name}" for name in paths.TOKENIZER_FILES]
    if model.on_hub or model.run:
        return checkpoint_files(config, wildcards)
    return [path for path in _listed(place) if not path.endswith(WEIGHTS)]


def tokenizer_folder(config: Config, wildcards: Wildcards) -> str:
    """The directory a model's tokenizer is loaded from; one that is trained depends on the data set."""
    tokenizer = config.models[wildcards.model].tokenizer
    if tokenizer is None:
        return checkpoint_folder(config, wildcards)
    return tokenizer.path or paths.tokenizer(wildcards.model, wildcards.dataset)


def tokenizing_files(config: Config, wildcards: Wildcards) -> list[str]:
    """The files of the tokenizer that makes a model's tokens: that which its chain of runs begins with.

    Each run hands it on unchanged. Not from the run: its audit reads the tokens of all models on its data set, also of
    one that begins with the run.
    """
    return tokenizer_files(config, first_of_chain(config, wildcards))


def training_tables(config: Config, wildcards: Wildcards) -> list[str]:
    """The tables that a fine-tuning reads; method `none` needs no training split."""
    return [paths.table(wildcards.dataset, split) for split in _training_splits(config, wildcards)]


def training_tokens(config: Config, wildcards: Wildcards) -> list[str]:
    """The token tables that a fine-tuning reads."""
    splits = _training_splits(config, wildcards)
    reverse = config.recipes[wildcards.recipe].reverse_complement and "train" in splits
    tables = [*splits, *(["train_reverse"] if reverse else [])]
    return _tokens(config, wildcards, tables)


def _training_splits(config: Config, wildcards: Wildcards) -> list[str]:
    return ["validation", *([] if config.recipes[wildcards.recipe].method == "none" else ["train"])]


def scored_tokens(config: Config, wildcards: Wildcards) -> list[str]:
    """The token tables that predictions are made for."""
    return _tokens(config, wildcards, scored_splits(config.datasets[wildcards.dataset].has_background))


def _tokens(config: Config, wildcards: Wildcards, tables: Iterable[str]) -> list[str]:
    """Tokens of tables; of a corpus with their soft-masked bases."""
    more = ["soft_masked.npy"] if isinstance(config.datasets[wildcards.dataset], Corpus) else []
    return paths.tokens(wildcards.dataset, wildcards.model, tables, [*paths.TOKEN_FILES, *more])


def embedded_tokens(config: Config, wildcards: Wildcards) -> list[str]:
    """The token table of the records that are embedded."""
    return paths.tokens(wildcards.dataset, wildcards.model, [wildcards.split])


def probe_vectors(config: Config, wildcards: Wildcards) -> list[str]:
    """The stored vectors that a probe is trained on and chosen by."""
    return [path for split in ("train", "validation") for path in embedded.of_run(config, wildcards, split)]


def embedding_vectors(config: Config, wildcards: Wildcards) -> list[str]:
    """The stored vectors of a split that an entry of `embeddings` is made from."""
    return embedded.of_embedding(config, wildcards)


def embedding_tables(config: Config, wildcards: Wildcards) -> list[str]:
    """The splits that an entry of `embeddings` embeds."""
    entry = config.embeddings[wildcards.embedding]
    return [paths.table(entry.dataset, split) for split in entry.splits]


def embedding_table(config: Config, wildcards: Wildcards) -> list[str]:
    """One of those splits."""
    return [paths.table(config.embeddings[wildcards.embedding].dataset, wildcards.split)]


def embedding_files(config: Config, wildcards: Wildcards) -> list[str]:
    """The vectors, ids and records of all splits of an entry of `embeddings`."""
    splits, kinds = config.embeddings[wildcards.embedding].splits, ("npy", "parquet", "json")
    return [paths.embedding(wildcards.embedding, f"{split}.{kind}") for split in splits for kind in kinds]


def maps(config: Config) -> list[str]:
    """The maps of all entries of `embeddings`, and their records."""
    return [paths.embedding(name, file) for name in config.embeddings for file in ("map.tsv", "map.json")]


def _listed(directory: str) -> list[str]:
    """The files of a directory that a user gave: Snakemake does not look into directories."""
    found = Path(directory).iterdir() if Path(directory).is_dir() else []
    return sorted(str(path) for path in found if path.is_file() and not path.name.startswith("."))
