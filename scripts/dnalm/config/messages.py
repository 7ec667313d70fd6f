"""Error messages for mistakes in settings: one line that names the key."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dnalm.config.base import PRINTABLE


def describe(error: ValidationError, section: type[BaseModel]) -> str:
    """One line for the first error of a section's validation: the key, what is wrong, and the nearest known key."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    location = [part for part in first["loc"] if part not in ("repeats", "table", "[key]")]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    at = f"{place}: " if place else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(section, first["loc"][:-1])
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
        return f"{at}give keys and values here (found {first['input']!r})"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return at + message
    return f"{at}{message[0].lower()}{message[1:]} (found {first['input']!r})"


def _known_keys(section: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Keys at a location in a section, found by walking its JSON schema."""
    schema = section.model_json_schema()
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
    """The definition that a node of a JSON schema, or an alternative of it, refers to; the node itself without one."""
    for alternative in [node, *node.get("anyOf", [])]:
        if "$ref" in alternative:
            found: dict[str, Any] = schema["$defs"][alternative["$ref"].rsplit("/", 1)[1]]
            return found
    return node


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """`; did you mean ...?` with the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def listing(known: Mapping[str, Any] | list[str]) -> str:
    """`; there is ...` with all known names."""
    return f"; there is {', '.join(sorted(known))}" if known else "; there is none"
