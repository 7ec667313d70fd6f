"""All keys of the config that have a value, from its definition."""

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from dnalm.config.root import Config


def leaf_keys() -> list[str]:
    """Paths like `genomes.<name>.simulate.length`, `datasets.<table>.labels` and `runs[].seeds`, in defined order.

    <name> stands for an entry's name; a data set's keys are listed for each kind.
    """
    return list(_below(Config, ""))


def sections(kind: Any) -> Iterator[type[BaseModel]]:
    """The sections that a type refers to."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for part in get_args(kind):
        yield from sections(part)


def _below(section: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        key, kind = f"{prefix}{name}", field.annotation
        found = list(sections(kind))
        plain = [part for part in get_args(kind) if part is not type(None) and not list(sections(part))]
        containers = {get_origin(part) for part in (kind, *get_args(kind))}
        if not found or (plain and dict not in containers):
            yield key
        for inner in found:
            if dict in containers:
                kinds = get_args(inner.model_fields["kind"].annotation) if "kind" in inner.model_fields else ("name",)
                yield from _below(inner, f"{key}.<{kinds[0]}>.")
            else:
                yield from _below(inner, f"{key}[]." if list in containers else f"{key}.")
