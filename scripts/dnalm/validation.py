"""Reading a config: what the schema cannot say, and every mistake as one line that names the key."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dnalm.config import Config
from dnalm.datasets import Repeats, Table
from dnalm.errors import UserError
from dnalm.names import RESERVED_DATASETS, RESERVED_MODELS
from dnalm.sources import PRINTABLE


def load_config(raw: Mapping[str, Any], check_paths: bool = True) -> Config:
    """Validate a config as read from YAML.

    Raises `UserError` with one line for the first mistake: the key, what is wrong, and the nearest known key. With
    `check_paths`, local files it names must exist (relative paths are relative to the working directory).
    """
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise UserError(describe(error).replace("\n", "\\n")) from None
    for problem in chain(_reserved(config), _dangling(config), _misplaced(config)):
        raise UserError(problem)
    if check_paths:
        for place, path in local_paths(config):
            if any(sign in path for sign in "{}<>"):  # which Snakemake fills in
                raise UserError(f"{place}: a path cannot hold braces or angle brackets: {path}")
            if path.startswith("-"):
                raise UserError(f"{place}: '{path}' would be taken for an option; give its whole path")
            if not Path(path).exists():
                raise UserError(f"{place}: no such file or directory: {path}")
    return config


def check_files(paths: Iterable[Path | str]) -> None:
    """Refuse a YAML file that gives a key twice: the reader takes the last one and says nothing."""
    import yaml

    for path in paths:
        with open(path, encoding="utf-8") as stream:
            pending = [yaml.compose(stream, yaml.SafeLoader)]
        while pending:
            node = pending.pop()
            if isinstance(node, yaml.SequenceNode):
                pending += node.value
            elif isinstance(node, yaml.MappingNode):
                seen: dict[str, int] = {}
                for key, value in node.value:
                    pending.append(value)
                    if not isinstance(key, yaml.ScalarNode):
                        continue
                    line = key.start_mark.line + 1
                    if key.value in seen and key.value != "<<":
                        raise UserError(
                            f"{path}, line {line}: key '{key.value}' was given before, in line {seen[key.value]}; keep one of them"
                        )
                    seen[key.value] = line


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
            for part, path in dataset.parts().items():
                yield f"datasets.{name}.{'path' if part == 'all' else part}", path
    for name, model in config.models.items():
        if model.checkpoint and not model.on_hub:
            yield f"models.{name}.checkpoint (a hub id needs a `revision`)", model.checkpoint
        if model.tokenizer and model.tokenizer.path:
            yield f"models.{name}.tokenizer.path", model.tokenizer.path


def _reserved(config: Config) -> Iterator[str]:
    for name in sorted(RESERVED_DATASETS & set(config.datasets)):
        yield f"datasets.{name}: this name is reserved; choose another"
    for name in sorted(RESERVED_MODELS & set(config.models)):
        yield f"models.{name}: this name is reserved; choose another"


def _dangling(config: Config) -> Iterator[str]:
    for name, catalogue in config.catalogues.items():
        if catalogue.genome is not None:
            yield from _unknown(f"catalogues.{name}.genome", catalogue.genome, config.genomes)
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Repeats):
            yield from _unknown(f"datasets.{name}.genome", dataset.genome, config.genomes)
            yield from _unknown(f"datasets.{name}.catalogue", dataset.catalogue, config.catalogues)
            for entry in dataset.mask.catalogues:
                yield from _unknown(f"datasets.{name}.mask.catalogues", entry, config.catalogues)
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


def _misplaced(config: Config) -> Iterator[str]:
    for name, catalogue in config.catalogues.items():
        if catalogue.simulated and config.genomes[catalogue.genome or ""].simulate is None:
            yield f"catalogues.{name}.simulated: genome '{catalogue.genome}' is not a simulated one"
    for name, dataset in config.datasets.items():
        if isinstance(dataset, Repeats):
            for entry in dataset.mask.catalogues:
                if config.catalogues[entry].home != dataset.genome:
                    yield f"datasets.{name}.mask.catalogues: '{entry}' does not lie on genome '{dataset.genome}'; only such catalogues can be masked"
            home = config.catalogues[dataset.catalogue].home
            why = "is simulated" if config.catalogues[dataset.catalogue].simulate else "has no genome"
            if home is None and dataset.flank:
                yield f"datasets.{name}.flank: catalogue '{dataset.catalogue}' {why}, so its arrays have no context; use flank: 0"
            if home is None and dataset.split.method == "chromosome":
                yield f"datasets.{name}.split.method: catalogue '{dataset.catalogue}' {why}, so its arrays lie on no chromosome; use grouped"
            if home not in (None, dataset.genome):
                yield f"datasets.{name}.catalogue: '{dataset.catalogue}' lies on genome '{home}', the data set on '{dataset.genome}'"
    for index, run in enumerate(config.runs):
        model, recipe = config.models[run.model], config.recipes[run.recipe]
        if recipe.method == "qlora" and config.device in ("cpu", "mps"):
            yield f"runs[{index}]: recipe '{run.recipe}' (qlora) needs a CUDA GPU, and `device` is {config.device}"
        if recipe.method == "none" and (model.architecture is not None or model.initialisation == "random"):
            yield f"runs[{index}]: recipe '{run.recipe}' trains nothing and model '{run.model}' has random weights"


def _unknown(place: str, name: str, known: Mapping[str, Any]) -> Iterator[str]:
    if name not in known:
        yield f"{place}: no entry '{name}'{_nearest(name, known) or _listing(known)}"


def _nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def _listing(known: Mapping[str, Any] | list[str]) -> str:
    return f"; there is {', '.join(sorted(known))}" if known else "; there is none"


def describe(error: ValidationError) -> str:
    """One line for the first error of a validation: the key, what is wrong, and the nearest known key."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    location = [part for part in first["loc"] if part not in ("repeats", "table", "[key]")]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        key = str(location[-1])
        return f"{place}: unknown key{_nearest(key, known) or _listing(known)}"
    if first["type"] == "missing":
        return f"{place}: this key is required"
    if first["type"].startswith("union_tag"):
        return f"{place}.kind: give one of repeats, table (found {first['input'].get('kind')!r})"
    if first["type"] == "string_pattern_mismatch":
        if first["ctx"]["pattern"] == PRINTABLE:
            return f"{place}: {first['input']!r} holds a line break or another control character"
        return f"{place}: {first['input']!r} is not allowed here (it must match {first['ctx']['pattern']})"
    if first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{place}: give keys and values here (found {first['input']!r})"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{place}: {message}" if place else message
    return f"{place}: {message[0].lower()}{message[1:]} (found {first['input']!r})"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """Keys of the section at a location, found by walking the JSON schema."""
    schema = Config.model_json_schema()
    node: dict[str, Any] = schema
    for part in location:
        node = _resolve(schema, node)
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif isinstance(part, int):
            node = node.get("items", {})
        elif "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        else:
            node = node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), {})
        node = _resolve(schema, node)
    return sorted(node.get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for choice in [node, *node.get("anyOf", [])]:
        if "$ref" in choice:
            found: dict[str, Any] = schema["$defs"][choice["$ref"].rsplit("/", 1)[1]]
            return found
    return node
