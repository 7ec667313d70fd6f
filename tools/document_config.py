"""Write config/README.md and workflow/schemas/config.schema.json from the config's classes; --check only compares."""

import library  # noqa: F401, I001

import argparse
import json
import sys
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dnalm.config.base import Name
from dnalm.config.root import Config
from dnalm.files import atomic
from planning.keys import sections

ROOT = Path(__file__).parents[1]

HEAD = """# Configuration

Generated from the classes in `scripts/dnalm/config/` by `make docs`; edit them.

`config/config.yaml` is the demo. A file given with `--configfile` is a complete config: it replaces the demo. To change
one key of the demo, give both files: `--configfile config/config.yaml mine.yaml`. Relative paths are relative to the
working directory (`--directory`). An unknown key is an error that names the nearest known one. Names of entries consist
of letters, digits, `.`, `_` and `-`, and begin with a letter or digit.

Worked examples are in [examples](examples).
"""


def describe_type(kind: Any) -> str:
    """A type in words, e.g. `list of name`."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Name:
        return "name"
    if origin is Annotated:  # for example a checksum
        return describe_type(parts[0])
    if origin is Literal:
        return " \\| ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(describe_type(part) for part in parts if part is not type(None))
    if origin is dict:
        return f"{describe_type(parts[0])} → {describe_type(parts[1])}"
    if origin in (list, tuple):
        return f"list of {describe_type(parts[0])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return {str: "text", int: "integer", float: "number", bool: "true or false", Any: "any"}.get(kind, str(kind))


def describe_default(field: FieldInfo) -> str:
    """The default, as written in YAML."""
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        return "see there"
    return f"`{json.dumps(value)}`"


def describe_limits(field: FieldInfo) -> str:
    """Bounds of a number, e.g. `(ge 0, lt 1)`."""
    bounds = [
        f"{name} {value:g}"
        for entry in field.metadata
        if isinstance(entry, BaseMetadata)
        for name in ("ge", "gt", "le", "lt")
        if (value := getattr(entry, name, None)) is not None
    ]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return f" ({', '.join(signs[bound[:2]] + bound[2:] for bound in bounds)})" if bounds else ""


def readme() -> str:
    """The text of config/README.md: one table for each section, in the order of first reference."""
    order: list[type[BaseModel]] = [Config]
    for section in order:
        found = [model for field in section.model_fields.values() for model in sections(field.annotation)]
        order += [model for index, model in enumerate(found) if model not in order and model not in found[:index]]
    parts = [HEAD]
    for section in order:
        rows = [
            f"| `{key}` | {describe_type(field.annotation)}{describe_limits(field)} | {describe_default(field)} "
            f"| {(field.description or '').replace('|', chr(92) + '|')} |"
            for key, field in section.model_fields.items()
        ]
        table = "\n".join(["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows])
        parts.append(f"## {section.__name__}\n\n{(section.__doc__ or '').strip()}\n\n{table}\n")
    return "\n".join(parts)


def schema() -> str:
    """The JSON schema, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def run() -> None:
    """Write the two files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is out of date")
    check = parser.parse_args().check
    files = {ROOT / "config/README.md": readme(), ROOT / "workflow/schemas/config.schema.json": schema()}
    stale = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"error: {path.relative_to(ROOT)} is out of date with scripts/dnalm/config; run make docs")
        else:
            with atomic(path) as temporary:
                temporary.write_text(files[path])
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    run()
