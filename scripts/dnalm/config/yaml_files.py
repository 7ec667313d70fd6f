"""Config files as text: what cannot be read as keys and values is one line that names the file and what to do."""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import yaml

from dnalm.errors import UserError

EXAMPLE = "write keys and values into it, as config/config.yaml does"
MOST_VALUES = 1_000_000
"""Keys and values of a config, with every anchor written out where it is used."""

MERGE = "tag:yaml.org,2002:merge"
"""Tag of the key `<<`."""

_WIDE = {codecs.BOM_UTF32_LE: 32, codecs.BOM_UTF32_BE: 32, codecs.BOM_UTF16_LE: 16, codecs.BOM_UTF16_BE: 16}


def check_files(paths: Iterable[Path | str]) -> None:
    """Raise a one-line `UserError` for a config file that Snakemake would misread, or refuse without naming it.

    Each must be YAML or JSON in UTF-8 with keys at its top level. A key given twice is refused (PyYAML silently uses
    the last one), and so is an anchor that holds itself, which has no end.
    """
    for path in paths:
        text = _text(Path(path))
        if not text.strip():
            raise UserError(f"{path}: this config is empty; {EXAMPLE}")
        if text.lstrip()[0] not in '{["' or not _is_json(path, text):
            _check_yaml(path, text)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: this config cannot be read ({error.strerror}); check its name") from None
    for mark, bits in _WIDE.items():
        if content.startswith(mark):
            raise UserError(f"{path}: this config is in UTF-{bits}; save it as UTF-8")
    if re.search(rb"[\x00-\x08\x0e-\x1a]", content):
        raise UserError(f"{path}: this is no text file; give a config in YAML, in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not in UTF-8; save this config as UTF-8") from None


def _is_json(path: Path | str, text: str) -> bool:
    """Whether a text is JSON, which Snakemake tries first."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        for key, times in Counter(key for key, _ in pairs).items():
            if times > 1:
                raise UserError(f"{path}: key '{key}' is given {times} times in one place; keep one of them")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        raise UserError(f"{path}: this config has no keys at its top level; {EXAMPLE}")
    return True


def _check_yaml(path: Path | str, text: str) -> None:
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise UserError(_no_yaml(path, text, error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"{path}, line {line}: a control character; this is no text file, or a broken one") from None
    except RecursionError:
        raise UserError(f"{path}: this config is nested too deeply; {EXAMPLE}") from None
    if root is None:
        raise UserError(f"{path}: this config holds nothing but comments; {EXAMPLE}")
    if not isinstance(root, yaml.MappingNode):
        what = "a list" if isinstance(root, yaml.SequenceNode) else "a single value"
        raise UserError(f"{path}: this config is {what}, without keys at its top level; {EXAMPLE}")
    _check_nodes(path, root)


def _no_yaml(path: Path | str, text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{path}: this config is not valid YAML ({error.problem})"
    line = mark.line + 1
    start = text.splitlines()[mark.line][: mark.column + 1] if mark.line < len(text.splitlines()) else ""
    if "\t" in start and not start.strip():
        return f"{path}, line {line}: a tab; YAML is indented with spaces only"
    return f"{path}, line {line}: this config is not valid YAML: {error.problem}"


def _check_nodes(path: Path | str, root: yaml.MappingNode) -> None:
    """Refuse keys given twice, anchors that hold themselves or expand without measure, and values without meaning."""
    values: dict[int, int] = {}
    """Number of values in a node, anchors written out; 0 while those inside it are counted."""
    pending: list[yaml.Node] = [root]
    while pending:
        node = pending[-1]
        line = node.start_mark.line + 1
        inner = _inner(node)
        if id(node) not in values:
            _check_value(path, node)
            _check_keys(path, node)
            values[id(node)] = 0
            if any(values.get(id(part)) == 0 for part in inner):
                raise UserError(f"{path}, line {line}: an anchor (&) that holds itself; write out what is meant")
            pending += [part for part in inner if id(part) not in values]
            continue
        pending.pop()
        values[id(node)] = 1 + sum(values[id(part)] for part in inner)
        if values[id(node)] > MOST_VALUES:
            raise UserError(f"{path}, line {line}: more than {MOST_VALUES:,} values, with anchors written out")


def _inner(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _check_value(path: Path | str, node: yaml.Node) -> None:
    """Refuse tags, and what is only refused when a value is made, such as a month 13 or a number of 5,000 digits."""
    line = node.start_mark.line + 1
    if node.tag == MERGE:
        return
    if node.tag not in yaml.SafeLoader.yaml_constructors:
        raise UserError(f"{path}, line {line}: a config has no tags; leave out '{node.tag}'")
    if isinstance(node, yaml.ScalarNode):
        try:
            yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            value = node.value if len(node.value) <= 40 else f"{node.value[:40]}..."
            raise UserError(f"{path}, line {line}: '{value}' cannot be read; correct it, or put it in quotes") from None


def _check_keys(path: Path | str, node: yaml.Node) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in seen and key.value != "<<":
            raise UserError(
                f"{path}, line {line}: key '{key.value}' was given before, in line {seen[key.value]}; keep one of them"
            )
        seen[key.value] = line
