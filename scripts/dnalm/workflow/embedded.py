"""Which hidden states are stored of a model and a split: the union of what probes and embeddings read."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from dnalm.config.embeddings import Embedding
from dnalm.config.recipes import Recipe
from dnalm.config.root import Config
from dnalm.workflow import paths
from dnalm.workflow.wildcards import Wildcards

PRETRAINED = "pretrained"
"""The folder of vectors by a model's own weights; `seed1` holds those by random weights of that seed."""

SEED = 1
"""Seed of the weights, if an embedding is by a model with random ones."""


class Stored(NamedTuple):
    """Vectors that are stored together."""

    dataset: str
    model: str
    weights: str
    overlong: str
    split: str


def probes(config: Config) -> list[str]:
    """The recipes that train a probe."""
    return [name for name, recipe in config.recipes.items() if recipe.method == "probe"]


def weights_seed(weights: str) -> int | None:
    """The seed of random weights, None for a model's own."""
    return None if weights == PRETRAINED else int(weights.removeprefix("seed"))


def of_run(config: Config, wildcards: Wildcards, split: str) -> list[str]:
    """The stored vectors that a probe reads of a split."""
    recipe = config.recipes[wildcards.recipe]
    weights = _weights(config, wildcards.model, int(wildcards.seed))
    return paths.vectors(wildcards.dataset, wildcards.model, weights, recipe.overlong, split)


def of_embedding(config: Config, wildcards: Wildcards) -> list[str]:
    """The stored vectors that an entry of `embeddings` is made from."""
    entry = config.embeddings[wildcards.embedding]
    weights = _weights(config, entry.model, SEED)
    return paths.vectors(entry.dataset, entry.model, weights, entry.overlong, wildcards.split)


def union(config: Config, stored: Stored) -> tuple[Literal["all"] | list[int], list[str]]:
    """Layers and poolings that are read of these vectors, in an order that does not depend on who reads them."""
    wanted = [entry for place, entry in _wanted(config) if place == stored]
    numbers = {layer for entry in wanted for layer in entry.layers if isinstance(layer, int)}
    every = any(entry.layers == "all" for entry in wanted)
    return "all" if every else sorted(numbers), sorted({name for entry in wanted for name in entry.pooling})


def _weights(config: Config, model: str, seed: int) -> str:
    entry = config.models[model]
    random = entry.architecture is not None or entry.initialisation == "random"
    return f"seed{seed}" if random else PRETRAINED


def _wanted(config: Config) -> Iterator[tuple[Stored, Recipe | Embedding]]:
    """Each probe and embedding, with each place that it reads."""
    for entry in config.embeddings.values():
        for split in entry.splits:
            yield Stored(entry.dataset, entry.model, _weights(config, entry.model, SEED), entry.overlong, split), entry
    for run in config.runs:
        recipe = config.recipes[run.recipe]
        if recipe.method == "probe":
            for dataset in (name for name in config.datasets if config.base(name) == run.dataset):
                for seed in run.seeds:
                    for split in ("train", "validation"):
                        weights = _weights(config, run.model, seed)
                        yield Stored(dataset, run.model, weights, recipe.overlong, split), recipe
