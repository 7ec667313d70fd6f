"""A user's mistake ends in one line; a fault of ours keeps its traceback."""

import errno
import json
import subprocess
import sys

import pytest
from script_runs import SCRIPTS

from dnalm.cli import main, message_of, parser
from dnalm.config.stages.training import PredictSplitsSettings
from dnalm.errors import UserError


def test_user_errors_end_in_one_line(capsys):
    def fail():
        raise UserError("x.csv line 3: no label; add one")

    with pytest.raises(SystemExit) as caught:
        main(fail)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "error: x.csv line 3: no label; add one\n"


def test_a_librarys_line_breaks_do_not_reach_the_user(capsys):
    def fail():
        raise UserError("x.csv: not a valid table (Expected 2 fields\n in line 52\n)")

    with pytest.raises(SystemExit):
        main(fail)
    assert capsys.readouterr().err == "error: x.csv: not a valid table (Expected 2 fields in line 52 )\n"


def test_ctrl_c_ends_in_one_line_too(capsys):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        main(stop)
    assert caught.value.code == 130
    assert capsys.readouterr().err == "error: stopped by SIGINT\n"


def test_a_full_disk_is_named():
    assert message_of(OSError(errno.ENOSPC, "No space left", "/a/b")) == (
        "/a/b: the disk is full; free space or use another --directory"
    )


def test_our_own_faults_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        main(lambda: 1 / 0)


GOOD = {"overlong": "window", "max_tokens": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps({**GOOD, "overlnog": "drop"}), "overlnog: unknown key; did you mean 'overlong'?"),
        (
            json.dumps({**GOOD, "overlong": "shorten"}),
            "overlong: input should be 'window', 'truncate', 'drop' or 'error'",
        ),
        (json.dumps({"overlong": "drop"}), "max_tokens: this key is required"),
        ("[1]", ": give keys and values here (found [1])"),
        ("{", "not a readable JSON file"),
        (None, "not a readable JSON file"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, text, message):
    path = tmp_path / "spec.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        parser("", PredictSplitsSettings).parse_args(["--spec", str(path)])
    assert str(caught.value).startswith(f"--spec: {path}: ") and message in str(caught.value)
    assert "\n" not in str(caught.value)


HELP = """
import contextlib, io, json, runpy, sys
found = {}
for script in sys.argv[1:]:
    sys.argv = [script, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        try:
            runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            status = end.code
    heavy = {"torch", "transformers", "pandas", "sklearn", "altair"} & set(sys.modules)
    found[script] = [status, shown.getvalue()[:6], sorted(heavy)]
    for name in heavy:  # so that each script is told of its own
        del sys.modules[name]
print(json.dumps(found))
"""


def test_every_script_has_help_and_starts_fast():
    """All in one fresh process: none of them loads a large library, so none is there for the next."""
    scripts = sorted(str(path) for path in SCRIPTS.glob("*.py"))
    command = [sys.executable, "-c", HELP, *scripts]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 20 and {script: facts for script, facts in found.items() if facts != [0, "usage:", []]} == {}
