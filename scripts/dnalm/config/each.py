"""One entry for many data sets: `each` of a table makes a data set of every task that it lists."""

from collections.abc import Iterator, Mapping

from dnalm.config.datasets import Dataset, Table
from dnalm.config.root import Config
from dnalm.names import LONGEST_NAME


def members(name: str, table: Table) -> Iterator[tuple[str, str, Table]]:
    """(group, name, data set) of each task of a table with `each`."""
    for group, tasks in (table.each or {}).items():
        for task in tasks:
            files = {
                key: _filled(given, group, task)
                for key in ("train", "validation", "test", "path")
                if (given := getattr(table, key))
            }
            yield group, f"{name}.{group}.{task}", table.model_copy(update={**files, "each": None})


def stands_for(config: Config) -> dict[str, list[str]]:
    """The data sets that a name stands for, in a config as written: a table with `each`, a group of it, or itself."""
    found: dict[str, list[str]] = {}
    for name, dataset in config.datasets.items():
        if not isinstance(dataset, Table) or not dataset.each:
            found.setdefault(name, []).append(name)
            continue
        for group, one, _ in members(name, dataset):
            for alias in (name, f"{name}.{group}", one):
                found.setdefault(alias, []).append(one)
    return found


def problems(config: Config) -> Iterator[str]:
    """What is wrong with the tables with `each` of a config as written, and with runs on them."""
    names = set(config.datasets)
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Table) and dataset.each:
            files: dict[tuple[str, ...], str] = {}
            made = list(members(name, dataset))
            for other in [f"{name}.{group}" for group in dataset.each] + [one for _, one, _ in made]:
                if other in names:
                    yield f"datasets.{name}.each: makes '{other}', which is the name of another data set; rename one"
                names.add(other)
                if len(other) > LONGEST_NAME:
                    yield f"datasets.{name}.each: '{other}' would be longer than {LONGEST_NAME} characters"
            for _, one, table in made:
                read = tuple(file.path for file in table.files())
                if read in files:
                    yield (
                        f"datasets.{name}.each: '{files[read]}' and '{one}' read the same files; put {{task}} (and "
                        "{group}) into their paths"
                    )
                files[read] = one
    known = stands_for(config)
    seen: dict[tuple[str, str, str, int], str] = {}
    for index, run in enumerate(config.runs):
        for dataset_name in known.get(run.dataset, []):
            for seed in run.seeds:
                key = (dataset_name, run.model, run.recipe, seed)
                if seen.get(key, run.dataset) != run.dataset:
                    yield f"runs[{index}]: {'/'.join(key[:3])}/seed{seed} is in '{seen[key]}' too; leave one out"
                seen[key] = run.dataset


def expanded(config: Config) -> Config:
    """The config with the data sets that `each` makes in place of its tables, and with their names written out."""
    datasets: dict[str, Dataset] = {}
    for name, dataset in config.datasets.items():
        made: dict[str, Dataset] = {}
        if isinstance(dataset, Table):
            made |= {one: table for _, one, table in members(name, dataset)}
        datasets |= made or {name: dataset}
    known = stands_for(config)
    runs = [run.model_copy(update={"dataset": name}) for run in config.runs for name in known[run.dataset]]
    board = config.evaluation.leaderboard
    groups = {title: [one for name in names for one in known[name]] for title, names in board.items()}
    evaluation = config.evaluation.model_copy(update={"leaderboard": groups})
    return config.model_copy(update={"datasets": datasets, "runs": runs, "evaluation": evaluation})


def with_aliases(config: Config) -> Config:
    """The config as written, with a data set for each name that stands for several: the first of them.

    So that checks of references name the entry that a user wrote.
    """
    made: dict[str, Dataset] = dict(config.datasets)
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Table):
            for group, one, table in members(name, dataset):
                made |= {one: table, f"{name}.{group}": made.get(f"{name}.{group}", table), name: table}
    return config.model_copy(update={"datasets": made})


def _filled(given: str | Mapping[str, str], group: str, task: str) -> str | dict[str, str]:
    if isinstance(given, str):
        return given.replace("{group}", group).replace("{task}", task)
    return {label: path.replace("{group}", group).replace("{task}", task) for label, path in given.items()}
