"""Checks of models that are runs: the run exists, trains a model, and no run begins with itself."""

from collections.abc import Iterator

from dnalm.config.messages import listing, nearest
from dnalm.config.root import Config
from dnalm.config.runs import SeededRun


def problems(config: Config) -> Iterator[str]:
    """What is wrong with the models that begin with a run; for a config whose other names all exist."""
    known = {one.folder.replace("/runs/", "/"): one for one in _runs(config)}
    for name, model in config.models.items():
        begins = model.begins_with
        if model.run is None or begins is None:
            continue
        if model.run not in known:
            yield f"models.{name}.run: '{model.run}' is not in `runs`{nearest(model.run, known) or listing(known)}"
            return
        if config.recipes[begins.recipe].method == "probe":
            yield f"models.{name}.run: recipe '{begins.recipe}' trains a probe and no model; begin with its model"
    for name in config.models:
        circle = _circle(config, name)
        if circle:
            yield (f"models.{name}.run: circle {' -> '.join(circle)}; a chain begins with a checkpoint or architecture")
            return


def ancestors(config: Config, model: str) -> list[SeededRun]:
    """The runs that a model descends from, the nearest first; none for a checkpoint or an architecture."""
    found: list[SeededRun] = []
    begins = config.models[model].begins_with
    while begins is not None and begins not in found:
        found.append(begins)
        begins = config.models[begins.model].begins_with
    return found


def _circle(config: Config, model: str) -> list[str]:
    """The models of a circle that `model` is part of, `model` first and last; empty if it is in none."""
    path = [model, *(run.model for run in ancestors(config, model))]
    return path[: path.index(model, 1) + 1] if model in path[1:] else []


def _runs(config: Config) -> Iterator[SeededRun]:
    for run in config.runs:
        for seed in run.seeds:
            yield SeededRun(dataset=run.dataset, model=run.model, recipe=run.recipe, seed=seed)
