"""Snakemake's dry runs as lists of jobs; and finished runs for them, laid out without running anything."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULE = re.compile(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)*)", re.MULTILINE)
DIRECTORY = re.compile(r"^resources/models/.*(?<!\.json)$|/model$")


@dataclass(frozen=True)
class Job:
    """One job of a dry run; reason: why it would run, in Snakemake's words; resources: including `threads`."""

    rule: str
    wildcards: dict[str, str]
    outputs: tuple[str, ...]
    reason: str
    resources: dict[str, str]


class PlanError(RuntimeError):
    """A dry run failed without an error of ours; the message is Snakemake's output."""


def jobs(text: str) -> list[Job]:
    """The jobs in a dry run's output, without rules that have no output."""
    found = []
    for rule, body in RULE.findall(text):
        lines = dict(line.strip().split(": ", 1) for line in body.splitlines() if ": " in line)
        if "output" in lines:
            outputs = tuple(lines["output"].split(", "))
            resources = {"threads": lines.get("threads", "1"), **_pairs(lines.get("resources", ""))}
            wildcards = _pairs(lines.get("wildcards", ""))
            found.append(Job(rule, wildcards, outputs, lines.get("reason", ""), resources))
    return found


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(", ") if "=" in pair)


def rules(plan: Iterable[Job]) -> frozenset[str]:
    """The rules of some jobs."""
    return frozenset(job.rule for job in plan)


def call(many: Sequence[Sequence[str | Path]], directory: Path, root: Path = ROOT) -> list[tuple[int, str]]:
    """Call Snakemake in `directory` with each list of arguments; returns (exit status, output) of each call.

    root: the clone whose Snakefile is used.
    """
    common = ["--snakefile", str(root / "Snakefile"), "--directory", str(directory), "--cores", "2"]
    sent = json.dumps([[*common, *map(str, arguments)] for arguments in many])
    paths = os.pathsep.join([str(root / "scripts"), str(root / "tools"), os.environ.get("PYTHONPATH", "")])
    worker = subprocess.run(
        [sys.executable, "-m", "planning.worker"],
        input=sent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    return [(status, text) for status, text in json.loads(worker.stdout)]


def dry_runs(many: Sequence[Sequence[str | Path]], directory: Path, root: Path = ROOT) -> list[list[Job] | str]:
    """The jobs that each call would run in `directory`, or its error line. Raises `PlanError` for any other failure."""
    answers = call([["--dry-run", *arguments] for arguments in many], directory, root)
    return [jobs(text) if status == 0 else _refusal(text) for status, text in answers]


def _refusal(text: str) -> str:
    last = text.strip().rsplit("\n", 1)[-1]
    if not last.startswith("error: "):
        raise PlanError(text)
    return last


def lay_out(directory: Path, config: Path, files: Iterable[str]) -> list[Job]:
    """Create the files of a finished run of `config`, all empty, and have Snakemake record them as its outputs.

    files: the config's own input files, relative to `directory`. Returns the jobs that a run would have had.
    """
    for name in files:
        _empty(directory / name)
    options = ["--configfile", str(config)]
    (plan,) = dry_runs([options], directory)
    if isinstance(plan, str):
        raise PlanError(plan)
    for output in (output for job in plan for output in job.outputs):
        if DIRECTORY.search(output):
            (directory / output).mkdir(parents=True)
        else:
            _empty(directory / output)
    ((status, text),) = call([["--touch", "--forceall", *options]], directory)
    if status:
        raise PlanError(text)
    return plan


def _empty(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
