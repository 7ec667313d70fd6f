"""Hashes of a script's code that change with an edit that can change a result, and with no other edit.

What is hashed: the syntax tree of the script and of every `dnalm` module it imports, directly or not, without what
only people read: comments, formatting, docstrings, annotations, and the texts of errors, help, warnings and progress.
"""

import ast
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

NO_RESULT = {
    "dnalm.config": "reads and checks the config; all values that a stage uses are in the stage's JSON",
    "dnalm.cli": "reads the command line and prints the last line of a failure",
    "dnalm.errors": "the error class that stops a job",
    "dnalm.machine": "describes the machine of a measurement",
    "dnalm.meaning": "this module",
    "dnalm.orphans": "ends processes",
    "dnalm.provenance": "records versions once a result is made",
    "dnalm.training.runtime": "starts, saves, resumes, stops and watches a training, whose steps do not depend on it",
}
"""Modules and whole packages that cannot change a result, with the reason: they and their imports are not hashed."""

ERRORS = frozenset(
    {
        "UserError", "Stopped", "ValueError", "TypeError", "RuntimeError", "NotImplementedError", "AssertionError",
        "IndexError", "ArgumentTypeError",
    }
)  # fmt: skip
"""Errors that our code catches by class only: their arguments are text for people."""

TEXT_KEYWORDS = {
    "add_argument": {"help", "metavar"},
    "ArgumentParser": {"description", "epilog", "prog", "formatter_class"},
    "parser": {"description"},
    "Field": {"description", "title", "examples"},
    "tqdm": {"desc", "unit", "unit_scale", "mininterval", "ncols", "leave", "disable", "file"},
}
"""Function -> keyword arguments that only people read."""

TEXT_FIRST = {"parser", "ArgumentParser", "warn"}
"""Functions whose first argument only people read."""

_TYPES = ("__future__", "typing", "collections.abc")
"""Modules from which names for annotations come."""

Facts = list[Any]
"""What is read from a file: [digest, [imported modules]]."""


@cache
def code_hashes(
    script: Path, *folders: str, kept: Callable[[Path, Callable[[], Facts]], Facts] | None = None
) -> dict[str, str]:
    """A digest of the meaning of a script and of each `dnalm` module it imports, directly or not, by module name.

    Imports are read from the syntax tree, also those inside functions; nothing is executed. folders: other folders that
    the script reads, relative to the library's parent; their files are hashed as bytes, by relative path. kept: a cache
    of facts between processes, called with a file and the function that reads it; a process reads each file once.
    """
    root = script.parent if (script.parent / "dnalm").is_dir() else Path(__file__).resolve().parents[1]
    found: dict[str, str] = {}
    todo = [(script.name, script)]
    while todo:
        name, path = todo.pop()
        if name not in found:
            found[name], imports = _facts(path, kept)
            todo += [(m, p) for m in imports if counts(m) and (p := _module_file(root, m)) is not None]
    for path in (path for folder in folders for path in (root / folder).iterdir()):
        found[str(path.relative_to(root))] = _digest(path.read_bytes())
    return dict(sorted(found.items()))


@cache
def version() -> str:
    """A digest of this module: facts cached by another version of it are not used."""
    return _digest(Path(__file__).read_bytes())


def counts(module: str) -> bool:
    """Whether a module may change a result."""
    return not any(module == name or module.startswith(f"{name}.") for name in NO_RESULT)


@cache
def _facts(path: Path, kept: Callable[[Path, Callable[[], Facts]], Facts] | None) -> tuple[str, tuple[str, ...]]:
    digest, imports = (kept(path, lambda: facts(path.read_bytes()))) if kept else facts(path.read_bytes())
    return digest, tuple(imports)


def facts(source: bytes) -> Facts:
    """The digest of a module's meaning, and the `dnalm` modules that it imports."""
    tree = ast.parse(source)
    imports = sorted(set(_imports(tree)))
    return [_digest(meaning(tree).encode()), imports]


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def meaning(tree: ast.Module) -> str:
    """A syntax tree as text, without what only people read. The tree is changed."""
    parts: list[str] = []
    _write(tree, parts, annotated=True)
    return "".join(parts)


def _write(node: Any, parts: list[str], annotated: bool) -> None:
    """Append a tree as text. annotated: outside of functions, where annotations may be used (pydantic, dataclasses).

    Empty fields are left out, so that a newer Python, whose trees have more of them, gives the same text.
    """
    if isinstance(node, list):
        parts.append("[")
        for inner in node:
            _write(inner, parts, annotated)
        parts.append("]")
    elif isinstance(node, ast.Constant):
        parts.append(f"{type(node.value).__name__}:{node.value!r};")
    elif isinstance(node, ast.AST):
        kind = type(node)
        if (strip := _STRIP.get(kind)) is not None and (node := strip(node, annotated)) is None:
            return
        if kind in _SCOPES:
            annotated = kind is ast.ClassDef
        parts.append(f"{type(node).__name__}(")
        for field in node._fields:
            inner = getattr(node, field, None)
            if inner is not None and inner != []:
                parts.append(f"{field}=")
                _write(inner, parts, annotated)
        parts.append(")")
    else:
        parts.append(f"{node!r};")


def _statement(node: ast.Expr, annotated: bool) -> ast.AST | None:
    """Without docstrings and other strings that stand alone."""
    return None if isinstance(node.value, ast.Constant) else node


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, annotated: bool) -> ast.AST:
    """Without annotations, unless a decorator may use them."""
    if not node.decorator_list:
        node.returns = None
        given = node.args
        for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if argument is not None:
                argument.annotation = None
    return node


def _assignment(node: ast.AnnAssign, annotated: bool) -> ast.AST | None:
    """In a function, `x: int = 1` becomes `x = 1`, and `x: int` nothing."""
    if annotated:
        return node
    return None if node.value is None else ast.Assign(targets=[node.target], value=node.value)


def _import(node: ast.ImportFrom, annotated: bool) -> ast.AST | None:
    """Without imports of typing names: where such a name is used at run time, it appears there as well."""
    return None if node.module in _TYPES and not any(alias.asname for alias in node.names) else node


def _raise(node: ast.Raise, annotated: bool) -> ast.AST:
    """Of an error, only its class."""
    if isinstance(node.exc, ast.Call) and _name(node.exc.func) in ERRORS:
        return ast.Raise(exc=node.exc.func, cause=None)
    return node


def _assert(node: ast.Assert, annotated: bool) -> ast.AST:
    """Of an assertion, only its condition."""
    return ast.Assert(test=node.test, msg=None)


def _call(node: ast.Call, annotated: bool) -> ast.AST:
    """Without help, descriptions and titles, and without the text of errors and of prints to standard error."""
    name = _name(node.func)
    if name in TEXT_KEYWORDS:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in TEXT_KEYWORDS[name]]
    if name in TEXT_FIRST:
        node.args = node.args[1:]
    if name == "UserError":  # made here, raised elsewhere
        node.args = []
    if name == "print" and any(word.arg == "file" and _name(word.value) == "stderr" for word in node.keywords):
        for argument in node.args:
            for inner in ast.walk(argument):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    inner.value = ""
    return node


_STRIP: dict[type[ast.AST], Callable[[Any, bool], ast.AST | None]] = {
    ast.Expr: _statement,
    ast.FunctionDef: _function,
    ast.AsyncFunctionDef: _function,
    ast.AnnAssign: _assignment,
    ast.ImportFrom: _import,
    ast.Raise: _raise,
    ast.Assert: _assert,
    ast.Call: _call,
}
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _imports(tree: ast.Module) -> Iterator[str]:
    """The `dnalm` modules that a module's statements name, with the packages they lie in."""
    statements: list[Any] = [tree]
    while statements:  # statements only: walking expressions too takes five times as long
        node = statements.pop()
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names for name in _with_packages(alias.name))
        elif isinstance(node, ast.ImportFrom):
            yield from _with_packages(node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names if _with_packages(node.module or ""))
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, ())
            statements += inner if isinstance(inner, list) else ()  # a lambda's body is an expression


def _with_packages(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: length + 1]) for length in range(len(parts))] if parts[0] == "dnalm" else []


@cache
def _module_file(root: Path, module: str) -> Path | None:
    base = os.path.join(root, *module.split("."))  # strings, not Path: called for every imported name
    return next((Path(path) for path in (f"{base}.py", f"{base}/__init__.py") if os.path.isfile(path)), None)
