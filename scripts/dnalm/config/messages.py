"""Error messages for mistakes in settings: one line that names the key."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dnalm.config.base import PRINTABLE

BRANCHES = frozenset({"[key]", "int", "constrained-int", "constrained-str", "MaxRecords"})
"""Parts of an error's place that no user wrote: which type of a value was tried."""

_REFERENCE = re.compile(r"#/\$defs/(\w+)")

LONGEST_SHOWN = 60
"""Characters of a value that a message repeats, at most."""


def describe(error: ValidationError, section: type[BaseModel]) -> str:
    """One line for the first error of a section's validation: the key, what is wrong, and the nearest known key."""
    first = min(error.errors(), key=lambda item: (item["type"] != "extra_forbidden", item["type"] == "int_type"))
    location = [part for part in first["loc"] if part not in BRANCHES]
    if location[:1] == ["datasets"]:
        del location[2:3]  # the kind
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{short(part)}" for part in location).lstrip(".")
    found = short(repr(first["input"]))
    at = f"{place}: " if place else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(section, first["loc"][:-1])
        key = str(location[-1])
        hint = nearest(key, known, 0.8) or _elsewhere(key, section) or nearest(key, known) or listing(known)
        return f"{place}: unknown key{hint}"
    if first["type"] == "missing":
        return f"{place}: this key is required"
    if first["type"].startswith("union_tag"):
        return f"{place}.kind: give one of repeats, table (found {short(repr(first['input'].get('kind')))})"
    if first["type"] == "string_pattern_mismatch":
        if first["ctx"]["pattern"] == PRINTABLE:
            return f"{place}: {found} holds a line break or another control character"
        return f"{place}: {found} is not allowed here (it must match {first['ctx']['pattern']})"
    if first["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{at}give keys and values here (found {found})"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return at + message
    return f"{at}{message[0].lower()}{message[1:]} (found {found})"


def short(text: str) -> str:
    """A text as it is, or its beginning if it is too long for a message."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _elsewhere(key: str, section: type[BaseModel]) -> str:
    """`; it is a key of ...` with the parts of a section that hold this key, if they are one or two."""
    schema = section.model_json_schema()
    places = []
    for name, node in schema["properties"].items():
        reached, pending = set[str](), _REFERENCE.findall(str(node))
        while pending:
            part = pending.pop()
            if part not in reached:
                reached.add(part)
                pending += _REFERENCE.findall(str(schema["$defs"][part]))
        if any(key in schema["$defs"][part].get("properties", {}) for part in reached):
            places.append(f"`{name}`")
    return f"; it is a key of {' and '.join(places)}" if 0 < len(places) <= 2 else ""


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


def nearest(name: str, known: Mapping[str, Any] | list[str], cutoff: float = 0.5) -> str:
    """`; did you mean ...?` with the nearest known name, or nothing if none is as similar as `cutoff` (0 to 1)."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean '{near[0]}'?" if near else ""


def listing(known: Mapping[str, Any] | list[str]) -> str:
    """`; there is ...` with all known names."""
    return f"; there is {', '.join(sorted(known))}" if known else "; there is none"
