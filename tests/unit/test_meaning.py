"""An edit of code changes its hash if it can change a result, and else does not."""

import ast
import modulefinder
import subprocess
import sys
import textwrap

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from dnalm import meaning
from dnalm.meaning import NO_RESULT, code_hashes, facts

SCRIPTS = ROOT / "scripts"

MODULE = '''
"""What this is for."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from dnalm.errors import UserError

LIMIT = 3  # records


@dataclass
class Settings:
    """How it is done."""

    rate: float = 0.5
    """A share."""


def parse(options):
    options.add_argument("--rate", type=float, default=0.5, metavar="X", help="a share")


def mean(values: Sequence[float], settings: Settings) -> float:
    """The mean of values."""
    total: float = 0
    for value in tqdm(values, desc="adding", mininterval=1):
        if value > LIMIT:
            raise UserError(f"{value}: more than {LIMIT}; use less")
        assert value >= 0, "below nothing"
        total += value
    print(f"added {len(values)} values", file=sys.stderr)
    return total * settings.rate / len(values)
'''

SAME = {
    "a comment": ("# records", "# records at most"),
    "a comment more": ("import sys\n", "import sys  # for messages\n"),
    "layout": ("    total += value\n", "    total += (\n            value\n        )\n\n"),
    "a module's docstring": ("What this is for.", "What it's for."),
    "a class's docstring": ("How it is done.", "How."),
    "an attribute's docstring": ("A share.", "A share of one."),
    "a function's docstring": ('    """The mean of values."""\n', ""),
    "an error's words": ("more than {LIMIT}; use less", "too much: at most {LIMIT} is allowed, found in {len(values)}"),
    "an error's cause": ("use less\")", "use less\") from None"),
    "an assertion's words": ('"below nothing"', '"negative"'),
    "a message": ("added {len(values)} values", "the sum of {len(values)} numbers is known"),
    "a title of progress": ('desc="adding", mininterval=1', 'desc="summing", unit="value"'),
    "help": ('metavar="X", help="a share"', 'help="a share of one"'),
    "a parameter's type": ("values: Sequence[float]", "values: list[float]"),
    "a result's type": (") -> float:", "):"),
    "a variable's type": ("total: float = 0", "total = 0"),
    "imports for types": ("from collections.abc import Sequence\n", "from typing import Any\n"),
}  # fmt: skip
OTHER = {
    "a constant": ("LIMIT = 3", "LIMIT = 4"),
    "a number's type": ("LIMIT = 3", "LIMIT = 3.0"),
    "a default": ("rate: float = 0.5", "rate: float = 0.25"),
    "a field's type": ("rate: float = 0.5", "rate: int = 0.5"),
    "an option's default": ("type=float, default=0.5", "type=float, default=0.25"),
    "a formula": ("total * settings.rate", "total + settings.rate"),
    "a comparison": ("value > LIMIT", "value >= LIMIT"),
    "an error's kind": ("raise UserError(", "raise KeyError("),
    "no error": ('raise UserError(f"{value}: more than {LIMIT}; use less")', "continue"),
    "what is asserted": ("assert value >= 0", "assert value > 0"),
    "what is gone through": ("tqdm(values, desc", "tqdm(values[1:], desc"),
    "what a message does": ("{len(values)} values", "{values.pop()} values"),
    "where a message goes": (", file=sys.stderr", ""),
    "an import": ("from tqdm import tqdm", "from tqdm.rich import tqdm"),
    "a decorator": ("@dataclass\n", "@dataclass(frozen=True)\n"),
    "the order of statements": ("        total += value\n", ""),
}  # fmt: skip


def digest(text):
    return facts(text.encode())[0]


def edited(old, new):
    assert MODULE.count(old) == 1
    changed = MODULE.replace(old, new)
    ast.parse(changed)
    return changed


@pytest.mark.parametrize(("old", "new"), SAME.values(), ids=SAME)
def test_what_only_people_read_does_not_count(old, new):
    assert digest(edited(old, new)) == digest(MODULE)


@pytest.mark.parametrize(("old", "new"), OTHER.values(), ids=OTHER)
def test_what_can_change_a_result_counts(old, new):
    assert digest(edited(old, new)) != digest(MODULE)


def test_a_decorator_may_read_annotations():
    text = "@jit\ndef kernel(x, size: constexpr): ...\n"
    assert digest(text) != digest(text.replace(": constexpr", ""))
    assert digest(text.replace("@jit\n", "")) == digest(text.replace("@jit\n", "").replace(": constexpr", ""))


OURS = sorted(path for path in SCRIPTS.rglob("*.py"))


@given(st.sampled_from(OURS))
def test_our_own_code_means_the_same_printed_again(path):
    """`ast.unparse` drops every comment and lays all out anew."""
    text = path.read_text()
    assert facts(ast.unparse(ast.parse(text)).encode()) == facts(text.encode())


@given(st.sampled_from(OURS), st.randoms(use_true_random=False))
def test_another_number_in_our_own_code_counts(path, random):
    """One number changed, anywhere but in words."""
    tree = ast.parse(path.read_text())
    words = {
        id(inner) for node in ast.walk(tree) for inner in ast.walk(node) if isinstance(node, ast.Raise | ast.Assert)
    } | {id(inner) for node in ast.walk(tree) if isinstance(node, ast.keyword) for inner in ast.walk(node)}
    types = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.arg | ast.AnnAssign) for inner in ast.walk(node)
    }
    numbers = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) in (int, float) and id(node) not in words | types]  # fmt: skip
    if numbers:
        random.choice(numbers).value += 1
        assert facts(ast.unparse(tree).encode())[0] != facts(path.read_bytes())[0]


def test_the_text_holds_no_empty_fields():
    """So that a Python whose trees have new fields finds the same, and re-runs nothing."""
    text = meaning.meaning(ast.parse("def f(x): return f'{x:>3} {x!r}' 'y'\nclass A: pass\n"))
    assert text == (
        "Module(body=[FunctionDef(name='f';args=arguments(args=[arg(arg='x';)])body=[Return(value=JoinedStr(values=["
        "FormattedValue(value=Name(id='x';ctx=Load())conversion=-1;format_spec=JoinedStr(values=[str:'>3';]))str:' ';"
        "FormattedValue(value=Name(id='x';ctx=Load())conversion=114;)str:'y';]))])ClassDef(name='A';body=[Pass()])])"
    )


def library(root):
    (root / "dnalm/data").mkdir(parents=True)
    for name, text in {
        "dnalm/__init__.py": "",
        "dnalm/cli.py": "import dnalm.a\n",
        "dnalm/data/__init__.py": "",
        "dnalm/files.py": "import json\nfrom dnalm.cli import main\n",
        "dnalm/data/masks.py": "from dnalm.files import atomic\n",
        "dnalm/data/other.py": "import torch\n",
        "mask.py": "def run():\n    from dnalm.data import masks\n",
        "loop.py": "import dnalm.a\n",
        "dnalm/a.py": "from dnalm import b\n",
        "dnalm/b.py": "import dnalm.a\n",
    }.items():
        (root / name).write_text(text)
    return root


def forget():
    """As a new process would."""
    meaning._facts.cache_clear()
    meaning.code_hashes.cache_clear()


def test_imports_are_followed_also_inside_functions(tmp_path):
    hashes = code_hashes(library(tmp_path) / "mask.py")
    assert list(hashes) == ["dnalm", "dnalm.data", "dnalm.data.masks", "dnalm.files", "mask.py"]


def test_circles_end(tmp_path):
    assert set(code_hashes(library(tmp_path) / "loop.py")) == {"loop.py", "dnalm", "dnalm.a", "dnalm.b"}


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_python_itself_finds_the_same_modules(script):
    excluded = [name for name in NO_RESULT if (SCRIPTS / name.replace(".", "/")).with_suffix(".py").is_file()]
    packages = [name for name in NO_RESULT if (SCRIPTS / name.replace(".", "/")).is_dir()]
    inner = [f"{name}.{path.stem}" for name in packages for path in (SCRIPTS / name.replace(".", "/")).glob("*.py")]
    finder = modulefinder.ModuleFinder(path=[str(SCRIPTS)], excludes=[*excluded, *packages, *inner])  # reads bytecode
    finder.run_script(str(script))
    ours = {name for name, module in finder.modules.items() if name.startswith("dnalm") and module.__file__}
    assert set(code_hashes(script)) == {script.name, *ours}


def test_what_changes_no_result_is_there():
    for name in NO_RESULT:
        base = SCRIPTS / name.replace(".", "/")
        assert base.is_dir() or base.with_suffix(".py").is_file(), name
    training = code_hashes(SCRIPTS / "finetune.py")
    assert "dnalm.training.engine.steps" in training
    assert not any(name.startswith("dnalm.training.runtime") for name in training)


def test_an_edit_changes_the_hash_of_what_imports_it_alone(tmp_path):
    before = code_hashes(library(tmp_path) / "mask.py")
    forget()
    (tmp_path / "dnalm/data/other.py").write_text("x = 1\n")
    (tmp_path / "dnalm/cli.py").write_text("x = 1\n")
    assert code_hashes(tmp_path / "mask.py") == before
    (tmp_path / "dnalm/files.py").write_text("x = 1\n")
    forget()
    assert {name for name, digest in code_hashes(tmp_path / "mask.py").items() if digest != before[name]} == {
        "dnalm.files"
    }


def test_other_folders_count_too(tmp_path):
    library(tmp_path)
    (tmp_path / "dnalm/data/templates").mkdir()
    (tmp_path / "dnalm/data/templates/page.html").write_text("one")
    before = code_hashes(tmp_path / "mask.py", "dnalm/data/templates")
    assert "dnalm/data/templates/page.html" in before
    (tmp_path / "dnalm/data/templates/page.html").write_text("two")
    forget()
    assert code_hashes(tmp_path / "mask.py", "dnalm/data/templates") != before


def test_snakemake_keeps_what_it_found(tmp_path, monkeypatch):
    """A second process reads no file; after an edit, that one."""
    monkeypatch.chdir(tmp_path)
    library(tmp_path)
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(SCRIPTS)!r})
        from pathlib import Path
        from dnalm import meaning
        from dnalm.workflow.kept import Kept
        kept, read, facts = Kept("code.json", meaning.version()), [], meaning.facts
        meaning.facts = lambda source: read.append(source) or facts(source)
        hashes = meaning.code_hashes(Path("mask.py").absolute(), kept=kept.fact)
        kept.save()
        print(len(read), sorted(hashes.items()))
    """)

    def call():
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        number, _, hashes = done.stdout.partition(" ")
        return int(number), hashes

    first = call()
    assert first[0] == 5 and call() == (0, first[1])
    (tmp_path / "dnalm/files.py").write_text("x = 1\n")
    number, hashes = call()
    assert number == 1 and hashes != first[1]
    (tmp_path / ".snakemake/dnalm/code.json").write_text("{half")
    assert call() == (5, hashes)
