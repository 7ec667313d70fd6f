"""Paths of the workflow's files, relative to the working directory."""

from collections.abc import Iterable

from dnalm.config.models import Model
from dnalm.config.runs import SeededRun

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
"""What a trained tokenizer consists of."""


TOKEN_FILES = ("ids.npy", "offsets.npy")
"""What a table's tokens consist of."""


def download(kind: str, name: str, part: str) -> str:
    """A downloaded file of a genome or catalogue."""
    return f"resources/downloads/{kind}/{name}/{part}"


def simulation(genome: str, suffix: str) -> str:
    """A simulated genome (fa.gz) or its arrays (vcf)."""
    return f"resources/simulations/{genome}.{suffix}"


def fasta(genome: str) -> list[str]:
    """A genome's FASTA and its two indices."""
    return [f"resources/genomes/{genome}.fa.gz{suffix}" for suffix in ("", ".fai", ".gzi")]


def hub_folder(model: Model) -> str:
    """A hub id as one folder name."""
    return (model.checkpoint or "").replace("/", "--")


def snapshot(model: Model) -> str:
    """The directory that a hub model is fetched into."""
    return f"resources/models/{hub_folder(model)}/{model.revision}"


def snapshot_record(model: Model) -> str:
    """The file that says which commit a snapshot is: Snakemake does not look into directories."""
    return f"{snapshot(model)}.json"


def repeats_found(genome: str, shard: int) -> str:
    """What Tandem Repeats Finder found in one shard of a genome."""
    return f"results/genomes/{genome}/trf/{shard}.dat"


def catalogue(name: str, suffix: str = "parquet") -> str:
    """An imported catalogue, or its ledger (json)."""
    return f"results/catalogues/{name}.{suffix}"


def placed_catalogue(genome: str, name: str, suffix: str = "parquet") -> str:
    """Where a genome holds the arrays of a catalogue without positions, or the ledger (json)."""
    return f"results/genomes/{genome}/placed/{name}.{suffix}"


def pieces(genome: str, mask: str, source: str, least: int, shard: int, suffix: str = "parquet") -> str:
    """The pieces of one shard of a masked genome with at least `least` bases, or their ledger (json)."""
    return f"results/genomes/{genome}/{mask}/{source}/min{least}/{shard}.{suffix}"


def preparation(dataset: str, file: str) -> str:
    """A file made on the way to a data set's tables."""
    return f"results/{dataset}/preparation/{file}"


def table(dataset: str, name: str) -> str:
    """A sequence table: a split, or the background."""
    return f"results/{dataset}/data/{name}.parquet"


def tokens(dataset: str, model: str, tables: Iterable[str], parts: Iterable[str] = TOKEN_FILES) -> list[str]:
    """The tokens of tables by a model's tokenizer."""
    place = f"results/{dataset}/tokens/{model}"
    parts = tuple(parts)
    return [f"{place}/{name}.{part}" for name in tables for part in parts]


def tokenizer(model: str, dataset: str) -> str:
    """The directory of a tokenizer that is trained on a data set."""
    return f"results/models/{model}/tokenizer/{dataset}"


def certificate(model: str) -> str:
    """The certificate of a model's checkpoint."""
    return f"results/models/{model}/certificate.json"


def run(one: SeededRun) -> str:
    """The folder of a run's results."""
    return f"results/{one.folder}"


def run_model(one: SeededRun) -> str:
    """The directory of the model that a run trained."""
    return f"{run(one)}/model"


def run_record(one: SeededRun) -> str:
    """The file by which a run's model is tracked: Snakemake does not look into directories."""
    return f"{run(one)}/run.json"


def vectors(dataset: str, model: str, weights: str, overlong: str, split: str) -> list[str]:
    """The stored hidden states of a split's records by a model, pooled, and their record."""
    place = f"results/{dataset}/embeddings/{model}/{weights}-{overlong}/{split}"
    return [f"{place}.npy", f"{place}.json"]


def embedding(name: str, file: str) -> str:
    """A file of an entry of `embeddings`."""
    return f"results/embeddings/{name}/{file}"


def events(dataset: str, model: str, recipe: str, seed: str) -> str:
    """TensorBoard's folder of a training."""
    return f"logs/tensorboard/{dataset}/{model}/{recipe}/seed{seed}"


def pages(datasets: Iterable[str]) -> list[str]:
    """The report's pages: the index, which is the page of a single data set, and one for each of several."""
    names = list(datasets)
    return [f"results/report/{name}.html" for name in ("index", *(names if len(names) > 1 else []))]
