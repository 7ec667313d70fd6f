# What the rules share: the validated config and the functions that hand each rule its part of it.
import json
import re
import sys
from pathlib import Path

from dnalm import machine, meaning, names
from dnalm.config.datasets import Repeats, Table
from dnalm.config.loading import check_files, load_config
from dnalm.errors import UserError
from dnalm.workflow import inputs, paths, runs, session, stages
from dnalm.workflow.fingerprints import fingerprints
from dnalm.workflow.kept import Kept

CODE = Kept("code.json", version=meaning.version())

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
GIVEN = inputs.given_files(CONFIG)
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
    return ROOT / ("tools" if name.startswith("benchmark_") else "scripts") / name


def code(script, *folders):
    """What a script, the modules it imports and other folders it reads mean, so that an edit re-runs what it can change."""

    def hashes(wildcards):
        found = meaning.code_hashes(program(script), *folders, kept=CODE.fact)
        CODE.save()
        return json.dumps(found)

    return hashes


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


def execution(wildcards, input):
    """How a training is executed; not a part of the result, so untracked."""
    return runs.execution(CONFIG, wildcards)


def gpus(wildcards):
    """GPUs that a training asks for."""
    return runs.gpus(CONFIG, wildcards)


def marked(path):
    """A file that a stage reads, as Snakemake shall take it.

    A folder from the hub is tracked by the record beside it, and a user's own file by its fingerprint, and not by date.
    That file lies where the config says, also for a module that puts its results elsewhere by `prefix`. Files in a
    storage are left to Snakemake: the one here may be empty.
    """
    if path in GIVEN and not workflow.storage_settings.default_storage_provider:
        return ancient(local(path))
    return ancient(path) if path in SNAPSHOTS else path


def files(stage_input, *arguments):
    """The files that a stage reads, as a function of wildcards."""
    return lambda wildcards: [marked(path) for path in getattr(inputs, stage_input)(CONFIG, wildcards, *arguments)]


def given(*stage_inputs):
    """Fingerprints of the user's own files among these inputs. Beside `files` in each rule that may read such files."""
    return lambda wildcards: fingerprints(
        *(path for name in stage_inputs for path in getattr(inputs, name)(CONFIG, wildcards) if path in GIVEN)
    )


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
