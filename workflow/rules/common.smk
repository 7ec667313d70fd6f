# Shared by the rules: the validated config, and functions for inputs, params and wildcard constraints.
import json
import re
import sys
from pathlib import Path

from dnalm import machine, meaning, names
from dnalm.config.corpora import Corpus
from dnalm.config.datasets import Repeats, Table
from dnalm.config.loading import load_config
from dnalm.config.yaml_files import check_files
from dnalm.errors import UserError
from dnalm.workflow import embedded, inputs, paths, runs, session, stages
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
CORPORA = [name for name, dataset in CONFIG.datasets.items() if isinstance(dataset, Corpus)]
LABELLED = REPEATS + TABLES
TRAINED = [name for name, model in CONFIG.models.items() if model.tokenizer and model.tokenizer.train]
HUB_MODELS = [model for model in CONFIG.models.values() if model.on_hub]
RUN_MODELS = [run for model in CONFIG.models.values() if (run := model.begins_with)]
RECORDED = {paths.snapshot(model) for model in HUB_MODELS} | {paths.run_model(run) for run in RUN_MODELS}
GIVEN = inputs.given_files(CONFIG)
PROBES = embedded.probes(CONFIG)
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
    embedding=one_of(CONFIG.embeddings),
    split="train|validation|test",
    mask=rf"(soft|all)(\+{names.NAME})*",
    source="unique|interspersed|context",
    min_length=r"\d+",
    seed=r"\d+",
    shard=r"\d+",


def section(stage):
    """A stage's settings, as a function of wildcards (Snakemake would format the braces of a plain string)."""
    return lambda wildcards: stages.section(CONFIG, stage, wildcards)


def program(name):
    """A script of the workflow, or a benchmark's program."""
    return ROOT / ("tools" if name.startswith("benchmark_") else "scripts") / name


def code(script, *folders):
    """Hashes of a script, the modules it imports and other folders it reads: an edit re-runs what it can change."""

    def hashes(wildcards):
        found = meaning.code_hashes(program(script), *folders, kept=CODE.fact)
        CODE.save()
        return json.dumps(found)

    return hashes


def script(name):
    """A script's path, untracked so that a clone may be moved: params that are functions of input are not compared."""
    return lambda wildcards, input: str(program(name))


def folder(key):
    """The folder of an input's files, untracked for the same reason: a snapshot from the hub, or the files' own."""

    def place(wildcards, input):
        first, *others = [input[key]] if isinstance(input[key], str) else input[key]
        recorded = others in ([f"{first}.json"], [str(Path(first).with_name("run.json"))])  # [directory, its record]
        return first if recorded else str(Path(first).parent)

    return place


def device(wildcards, input):
    """Where models run; it does not affect the result, so it is untracked."""
    return CONFIG.device


def execution(wildcards, input):
    """Options of a training that do not affect the result; untracked too."""
    return runs.execution(CONFIG, wildcards)


def gpus(wildcards):
    """GPUs that a training requests."""
    return runs.gpus(CONFIG, wildcards)


def marked(path):
    """An input file with the flags that it needs.

    A folder from the hub, or of a run's model, is tracked by its record, and a user's own file by its fingerprint (`given`), so both are
    `ancient`. A user's file is also `local`: a module's `prefix` does not apply to it. In a storage, Snakemake tracks
    the files, because the local ones may be empty.
    """
    if path in GIVEN and not workflow.storage_settings.default_storage_provider:
        return ancient(local(path))
    return ancient(path) if path in RECORDED else path


def files(stage_input, *arguments):
    """A function of `dnalm.workflow.inputs` as a function of wildcards."""
    return lambda wildcards: [marked(path) for path in getattr(inputs, stage_input)(CONFIG, wildcards, *arguments)]


def given(*stage_inputs):
    """Fingerprints of the user's own files among these inputs, for the params of each rule that may read such files."""
    return lambda wildcards: fingerprints(
        *(path for name in stage_inputs for path in getattr(inputs, name)(CONFIG, wildcards) if path in GIVEN)
    )


def option(key, value):
    """A command-line option for an input, if there is one: --key VALUE."""
    return lambda wildcards, input: [f"--{key}", value(wildcards, input)] if input[key] else []


def results(wildcards, input):
    """The folder of all results, in a storage or not: the first input is DATASET/runs/MODEL/RECIPE/SEED/FILE in it."""
    return str(Path(input[0]).parents[5])


def options(*keys):
    """Command-line options for those of the named inputs that are not empty: --key FILE FILE ..."""
    return lambda wildcards, input: [word for key in keys if input[key] for word in (f"--{key}", *input[key])]


def measurable(wildcards):
    """The benchmarks that this machine can run; others, such as a cluster's, are requested by file name."""
    visible = 0 if CONFIG.device == "cpu" else len(machine.gpus())
    figures = ["audit", "evaluation", "cpu", "memory", "startup"]
    figures += ["training", "pretraining", "embedding"] * (visible > 0) + ["scaling"] * (visible > 1)
    return expand("results/benchmark/{figures}.json", figures=figures)
