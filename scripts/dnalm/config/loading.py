"""Reading a config: every mistake as one line that names the key."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dnalm.config.base import PRINTABLE
from dnalm.config.checks import dangling, listing, misplaced, nearest, reserved
from dnalm.config.datasets import Table
from dnalm.config.root import Config
from dnalm.errors import UserError


def load_config(raw: Mapping[str, Any], check_paths: bool = True) -> Config:
    """Validate a config as read from YAML.

    Raises `UserError` with one line for the first mistake: the key, what is wrong, and the nearest known key. With
    `check_paths`, local files it names must exist (relative paths are relative to the working directory).
    """
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        raise UserError(describe(error).replace("\n", "\\n")) from None
    for problem in chain(reserved(config), dangling(config), misplaced(config)):
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
    """Refuse a YAML file that gives a key twice, of which PyYAML, and so Snakemake, silently takes the last."""
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


def describe(error: ValidationError) -> str:
    """One line for the first error of a validation: the key, what is wrong, and the nearest known key."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    location = [part for part in first["loc"] if part not in ("repeats", "table", "[key]")]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        key = str(location[-1])
        return f"{place}: unknown key{nearest(key, known) or listing(known)}"
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
