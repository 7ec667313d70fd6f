"""Scripts run in this process, with the arguments, standard streams and exit status that a new process would have.

A new process spends seconds on imports; most tests ask only what a script reads, writes and says. What a process of its
own is needed for (its start, signals, its end) is tested with one.
"""

import contextlib
import io
import json
import re
import runpy
import subprocess
import sys
import traceback
from pathlib import Path
from unittest import mock

from needed import ROOT

SCRIPTS = ROOT / "scripts"
TOOLS = ROOT / "tools"


def path_of(name):
    """The file of a script of the workflow, or of a developers' tool."""
    return next(path for path in (SCRIPTS / name, TOOLS / name) if path.is_file())


def _text(spec):
    """Settings, or a dict of what may be none, as JSON; nothing of None."""
    if spec is None:
        return ""
    return json.dumps(spec) if isinstance(spec, dict | list) else spec.model_dump_json()


def run_script(name, *arguments, spec=None, cwd=None):
    """Run `name` to its end; `spec`, if any, is given as --spec on standard input. Returns a CompletedProcess."""
    path = path_of(name)
    words = [str(path), *([] if spec is None else ["--spec", "-"]), *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    given = io.StringIO(_text(spec))
    status = 0
    with (
        mock.patch.multiple(sys, argv=words, stdin=given, path=[str(path.parent), *sys.path]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd or Path.cwd()),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as end:
            status = end.code or 0
            if isinstance(status, str):  # as Python treats it
                print(status, file=sys.stderr)
                status = 1
        except Exception:
            traceback.print_exc()
            status = 1
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def run(script, spec, **options):
    """`run_script` with its options as keywords: a value, or a list of values."""
    arguments = []
    for option, value in options.items():
        arguments += [f"--{option}", *(value if isinstance(value, list) else [value])]
    return run_script(f"{script}.py", *arguments, spec=spec)


def start_script(name, *arguments, spec=None, **options):
    """The same in a process of its own."""
    words = [sys.executable, path_of(name), *([] if spec is None else ["--spec", "-"]), *arguments]
    return subprocess.run(
        [*map(str, words)],
        input=_text(spec),
        text=True, capture_output=True, check=False, **options,
    )  # fmt: skip


def refused(done, message, *outputs):
    """A script ended in one line that matches `message`, and left none of `outputs`, whole or in part."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert re.search(message, last), last
    for output in outputs:
        assert not list(output.parent.glob(f"*{output.name}*"))
