"""Reading a config: every mistake as one line that names the key."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dnalm.config import chains, each, standings, variants
from dnalm.config.checks import dangling, misplaced, reserved
from dnalm.config.corpora import Corpus
from dnalm.config.datasets import Table
from dnalm.config.messages import describe
from dnalm.config.root import Config
from dnalm.errors import UserError


def load_config(raw: Mapping[str, Any], check_paths: bool = True) -> Config:
    """Validate a config as read from YAML.

    Raises `UserError` with one line for the first mistake: the key, what is wrong, and the nearest known key. With
    `check_paths`, local files it names must exist (relative paths are relative to the working directory). The data
    sets of the result are those of the config, with those that `each` makes, and their variants.
    """
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise UserError(describe(error, Config).replace("\n", "\\n")) from None
    for problem in each.problems(config):
        raise UserError(problem)
    aliased = each.with_aliases(config)
    for problem in chain(reserved(aliased), dangling(aliased), standings.dangling(aliased)):
        raise UserError(problem)
    written, config = aliased, each.expanded(config)
    found = chain(
        variants.problems(config.datasets),
        chains.problems(config),
        misplaced(written),
        standings.misplaced(config),
    )
    for problem in found:
        raise UserError(problem)
    if check_paths:
        for place, path in local_paths(config):
            if any(sign in path for sign in "{}<>"):  # Snakemake would format them
                raise UserError(f"{place}: a path cannot hold braces or angle brackets: {path}")
            if path.startswith("-"):
                raise UserError(f"{place}: '{path}' would be taken for an option; give its whole path")
            if not Path(path).exists():
                raise UserError(f"{place}: no such file or directory: {path}")
    return config.with_variants()


def local_paths(config: Config) -> Iterator[tuple[str, str]]:
    """(key, path) of every local file or directory the config names."""
    for name, genome in config.genomes.items():
        if genome.path:
            yield from ((f"genomes.{name}.path", path) for path in genome.parts().values())
    for name, catalogue in config.catalogues.items():
        if catalogue.path:
            yield f"catalogues.{name}.path", catalogue.path
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Table):
            for file in dataset.files():
                yield f"datasets.{name}.{file.key}", file.path
        if isinstance(dataset, Corpus) and dataset.path:
            yield f"datasets.{name}.path", dataset.path
    for name, model in config.models.items():
        if model.checkpoint and not model.on_hub:
            yield f"models.{name}.checkpoint (a hub id needs a `revision`)", model.checkpoint
        if model.tokenizer and model.tokenizer.path:
            yield f"models.{name}.tokenizer.path", model.tokenizer.path
