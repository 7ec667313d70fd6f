# What the rules share: the validated config and the functions that hand each rule its part of it.
import json
import re
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "scripts"
TOOLS = Path(workflow.basedir) / "tools"
sys.path.insert(0, str(SCRIPTS))

from dnalm import machine, names, provenance
from dnalm.workflow import inputs, paths, runs, session, stages
from dnalm.config.datasets import Repeats, Table
from dnalm.errors import UserError
from dnalm.config.loading import check_files, load_config

try:
    session.prepare()
except UserError as error:
    sys.exit(f"error: {error}")

try:
    check_files(workflow.configfiles)
    CONFIG = load_config(config)
except UserError as error:
    print(f"error: config: {error}", file=sys.stderr)
    sys.exit(1)

REPEATS = [name for name, dataset in CONFIG.datasets.items() if isinstance(dataset, Repeats)]
TABLES = [name for name, dataset in CONFIG.datasets.items() if isinstance(dataset, Table)]
TRAINED = [name for name, model in CONFIG.models.items() if model.tokenizer and model.tokenizer.train]
HUB_MODELS = [model for model in CONFIG.models.values() if model.on_hub]
SNAPSHOTS = {paths.snapshot(model) for model in HUB_MODELS}
RUNS = [paths.run(run) for run in runs.runs(CONFIG)]
MODEL_RUNS = [paths.run(run) for run in runs.runs(CONFIG) if run.model != runs.BASELINE]
GPUS = 0 if CONFIG.device == "cpu" else 1


def one_of(entries):
    """A wildcard constraint: one of these names."""
    return "|".join(map(re.escape, entries)) or "(?!)"


wildcard_constraints:
    genome=one_of(CONFIG.genomes),
    catalogue=one_of(CONFIG.catalogues),
    dataset=one_of(CONFIG.datasets),
    model=one_of(CONFIG.models),
    recipe=one_of(CONFIG.recipes),
    baseline=names.NAME,
    mask=rf"(soft|all)(\+{names.NAME})*",
    source="unique|interspersed|context",
    min_length=r"\d+",
    seed=r"\d+",
    shard=r"\d+",


def section(stage):
    """The settings a stage reads, as a function of wildcards (a plain string with braces would be formatted)."""
    return lambda wildcards: stages.section(CONFIG, stage, wildcards)


def program(name):
    """A script of the workflow, or a benchmark's program."""
    return (TOOLS if name.startswith("benchmark_") else SCRIPTS) / name


def code(script, *folders):
    """Hashes of a script, the modules it imports and other folders it reads, so that an edit re-runs what uses it."""
    return lambda wildcards: json.dumps(provenance.code_hashes(program(script), *folders))


def script(name):
    """A script's path; a function of input too, which Snakemake does not track, so a clone may be moved."""
    return lambda wildcards, input: str(program(name))


def folder(key):
    """The folder that an input's files are in, untracked for the same reason: a snapshot from the hub, or their own."""

    def place(wildcards, input):
        first, *others = [input[key]] if isinstance(input[key], str) else input[key]
        return first if others == [f"{first}.json"] else str(Path(first).parent)  # a snapshot's record follows it

    return place


def device(wildcards, input):
    """Where models run; not a part of the result, so untracked."""
    return CONFIG.device


def conduct(wildcards, input):
    """How a training is conducted, which is no part of the result either."""
    return runs.conduct(CONFIG, wildcards)


def gpus(wildcards):
    """GPUs that a training asks for."""
    return runs.gpus(CONFIG, wildcards)


def files(stage_input, *arguments):
    """The files that a stage reads, as a function of wildcards; a folder from the hub is tracked by the record beside it."""
    return lambda wildcards: [
        ancient(path) if path in SNAPSHOTS else path
        for path in getattr(inputs, stage_input)(CONFIG, wildcards, *arguments)
    ]


def option(key, value):
    """A command-line option with a value made of an input, if there is such an input: --key VALUE."""
    return lambda wildcards, input: [f"--{key}", value(wildcards, input)] if input[key] else []


def results(wildcards, input):
    """The folder of all results, from the first input: results/DATASET/runs/MODEL/RECIPE/SEED/FILE, in a storage or not."""
    return str(Path(input[0]).parents[5])


def options(*keys):
    """Command-line options for the inputs of these names that are in use: --key FILE FILE ..."""
    return lambda wildcards, input: [word for key in keys if input[key] for word in (f"--{key}", *input[key])]


def measurable(wildcards):
    """The figures that this machine can give. A cluster's, say, come by file name."""
    visible = 0 if CONFIG.device == "cpu" else len(machine.gpus())
    figures = ["audit", "evaluation", "cpu", "memory", "startup"]
    figures += ["training"] * (visible > 0) + ["scaling"] * (visible > 1)
    return expand("results/benchmark/{figures}.json", figures=figures)
