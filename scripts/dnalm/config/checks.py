"""Checks across the sections of a config: names that exist, and settings that go together."""

from collections.abc import Iterator, Mapping
from typing import Any

from dnalm.config.corpora import Corpus
from dnalm.config.datasets import Repeats
from dnalm.config.messages import listing, nearest
from dnalm.config.root import Config
from dnalm.names import RESERVED_DATASETS, RESERVED_MODELS, TRUTH

LONGEST_MASK = 200
"""Characters of the names of the catalogues that are masked together."""


def reserved(config: Config) -> Iterator[str]:
    """Problems with names that the workflow reserves."""
    for name in sorted(RESERVED_DATASETS & set(config.datasets)):
        yield f"datasets.{name}: this name is reserved; choose another"
    for name in sorted(RESERVED_MODELS & set(config.models)):
        yield f"models.{name}: this name is reserved; choose another"


def dangling(config: Config) -> Iterator[str]:
    """Problems with references to entries that do not exist, and runs listed twice."""
    for name, catalogue in config.catalogues.items():
        if catalogue.genome is not None:
            yield from _unknown(f"catalogues.{name}.genome", catalogue.genome, config.genomes)
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Repeats):
            yield from _unknown(f"datasets.{name}.genome", dataset.genome, config.genomes)
            yield from _unknown(f"datasets.{name}.catalogue", dataset.catalogue, config.catalogues)
            for entry in dataset.mask.catalogues:
                yield from _unknown(f"datasets.{name}.mask.catalogues", entry, config.catalogues)
        if isinstance(dataset, Corpus):
            for genome in dataset.genomes:
                yield from _unknown(f"datasets.{name}.genome", genome, config.genomes)
    for name, embedding in config.embeddings.items():
        yield from _unknown(f"embeddings.{name}.model", embedding.model, config.models)
        yield from _unknown(f"embeddings.{name}.dataset", embedding.dataset, config.datasets)
    seen: set[tuple[str, str, str, int]] = set()
    for index, run in enumerate(config.runs):
        place = f"runs[{index}]"
        yield from _unknown(f"{place}.dataset", run.dataset, config.datasets)
        yield from _unknown(f"{place}.model", run.model, config.models)
        yield from _unknown(f"{place}.recipe", run.recipe, config.recipes)
        for seed in run.seeds:
            key = (run.dataset, run.model, run.recipe, seed)
            if key in seen:
                yield f"{place}: {'/'.join(key[:3])}/seed{seed} is listed twice"
            seen.add(key)
    for index, rung in enumerate(config.evaluation.ladder):
        yield from _unknown(f"evaluation.ladder[{index}]", rung, config.datasets)
        if rung in config.evaluation.ladder[:index]:
            yield f"evaluation.ladder[{index}]: '{rung}' is listed twice; each rung is a data set of its own"


def misplaced(config: Config) -> Iterator[str]:
    """Problems with settings that do not go together."""
    for name, catalogue in config.catalogues.items():
        if catalogue.simulated and config.genomes[catalogue.genome or ""].simulate is None:
            yield f"catalogues.{name}.simulated: genome '{catalogue.genome}' is not a simulated one"
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Repeats):
            for entry in dataset.mask.catalogues:
                masked = config.catalogues[entry]
                if masked.home != dataset.genome and not masked.is_placed:
                    yield (
                        f"datasets.{name}.mask.catalogues: '{entry}' does not lie on genome '{dataset.genome}'; "
                        "only such catalogues can be masked, and those without `genome`, by their sequences"
                    )
            if len("+".join(names := dataset.masked_catalogues(config.catalogues))) > LONGEST_MASK:
                yield (
                    f"datasets.{name}.mask.catalogues: the names of {len(names)} catalogues are joined to the name of "
                    f"a folder, and have over {LONGEST_MASK} characters; shorten them"
                )
            home = config.catalogues[dataset.catalogue].home
            why = "is simulated" if config.catalogues[dataset.catalogue].simulate else "has no genome"
            if home is None and dataset.flank:
                yield (
                    f"datasets.{name}.flank: catalogue '{dataset.catalogue}' {why}, so its arrays have no context; "
                    "use flank: 0"
                )
            if home is None and dataset.split.method == "chromosome":
                yield (
                    f"datasets.{name}.split.method: catalogue '{dataset.catalogue}' {why}, so its arrays lie on no "
                    "chromosome; use grouped"
                )
            if home not in (None, dataset.genome):
                yield (
                    f"datasets.{name}.catalogue: '{dataset.catalogue}' lies on genome '{home}', the data set on "
                    f"'{dataset.genome}'"
                )
    for index, run in enumerate(config.runs):
        model, recipe = config.models[run.model], config.recipes[run.recipe]
        if recipe.method == "qlora" and config.device in ("cpu", "mps"):
            yield f"runs[{index}]: recipe '{run.recipe}' (qlora) needs a CUDA GPU, and `device` is {config.device}"
        truth, needed = config.datasets[run.dataset].truth, TRUTH[recipe.objective]
        if truth != needed:
            fitting = ", ".join(objective for objective, column in TRUTH.items() if column == truth)
            yield (
                f"runs[{index}]: recipe '{run.recipe}' learns a {needed}, and the records of data set '{run.dataset}' "
                f"have a {truth}; use objective: {fitting}"
            )
        if recipe.method == "none" and (model.architecture is not None or model.initialisation == "random"):
            yield f"runs[{index}]: recipe '{run.recipe}' trains nothing and model '{run.model}' has random weights"
    rungs = config.evaluation.ladder
    if len(rungs) == 1:
        yield "evaluation.ladder: one rung is no ladder; list the data sets that are compared, or leave it out"
    for index, rung in enumerate(rungs[1:], 1):
        first, here = config.datasets[rungs[0]].truth, config.datasets[rung].truth
        if first != here:
            yield (
                f"evaluation.ladder[{index}]: the records of '{rung}' have a {here}, those of '{rungs[0]}' a {first}; "
                "rungs are compared by one metric"
            )


def _unknown(place: str, name: str, known: Mapping[str, Any]) -> Iterator[str]:
    if name not in known:
        yield f"{place}: no entry '{name}'{nearest(name, known) or listing(known)}"
