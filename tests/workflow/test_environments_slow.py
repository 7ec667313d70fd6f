"""Each rule in an environment of its own, made from its file alone, from the network to the report."""

import json
import os
import random
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT
from servers import contents, of_files, serve, stop, write_arrays

from dnalm.provenance import PACKAGES

RULES = {
    match[1]: (match[2], match[3])
    for path in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for match in re.finditer(
        r'^rule (\w+):\n(?:(?!^\S).*\n)*?    conda:\n        "../../(envs/\S+)"\n'
        r'(?:(?!^\S).*\n)*?        script=script\("(\S+)"\)',
        path.read_text(),
        re.MULTILINE,
    )
}
"""The environment file and the script of each rule."""
MEASURING = {rule for rule in RULES if rule.startswith("benchmark_")}
"""Not run here: they time what other rules run, by the same modules."""

NOT_LISTED = {
    "envs/data.yaml": {
        "torch",
        "transformers",
        "sklearn",
        "scipy",
        "altair",
        "jinja2",
        "pydantic",
        "snakemake",
        "yaml",
    },
    "envs/training.yaml": {"pysam", "altair", "vl_convert", "snakemake"},
    "envs/evaluation.yaml": {"torch", "transformers", "tokenizers", "pysam", "pydantic", "snakemake"},
}
"""What others list and no rule of an environment may need."""

WITNESS = """
import atexit, json, os, sys


@atexit.register
def write():
    script = sys.argv[0] if sys.argv else ""
    if os.path.dirname(script) == os.environ["SCRIPTS"]:
        found = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
        foreign = sorted({name for name in found if "site-packages" in name and not name.startswith(sys.prefix)})
        with open(os.environ["WITNESS"], "a") as stream:
            print(json.dumps([os.path.basename(script), sys.prefix, foreign]), file=stream)
"""
"""Every script says at its end in which environment it ran, and what it had from elsewhere."""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A config in which every rule has something to do, its working directory, and the environment of the run."""
    from hub import Hub
    from small_models import masked_lm_checkpoint, small_tokenizer

    directory = tmp_path_factory.mktemp("environments")
    dice = random.Random(1)
    served = directory / "served"
    served.mkdir()
    write_arrays(served, 600, dice)
    rows = ["".join(dice.choices("ACGT", k=40)) + ("TATATAAGGC" if i % 2 else "") + f",{i % 2}\n" for i in range(160)]
    (directory / "t.csv").write_text("sequence,label\n" + "".join(rows))
    files, hub = of_files(served), Hub()
    base = masked_lm_checkpoint(directory / "bert", small_tokenizer(), trained=True)
    hub.repositories["lab/bert"] = contents(base)
    address = serve(files)
    small = {
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    }
    trf = shutil.which("trf") is not None
    settings = {
        "genomes": {
            "g": {"url": f"{address}/g.fa"},
            "s": {"simulate": {"chromosomes": 1, "length": 60_000, "arrays": 60}},
        },
        "catalogues": {
            "c": {"genome": "g", "format": "bed", "url": f"{address}/c.bed"},
            "planted": {"genome": "s", "simulated": True},
            "diverged": {"genome": "s", "simulate": {"arrays": 90}},
            **({"found": {"genome": "g", "find": "trf"}} if trf else {}),
        },
        "datasets": {
            "d": {
                "kind": "repeats", "genome": "g", "catalogue": "c", "mask": {"catalogues": ["found"] if trf else []},
                "balance": {"exclude_trf": trf, "gc_tolerance": 0.1}, "background": 60,
                "baselines": ["kmer", "boosting", "periodicity", "cnn", *(["trf"] if trf else [])],
            },
            "e": {
                "kind": "repeats", "genome": "s", "catalogue": "diverged", "mask": {"catalogues": ["planted"]},
                "negatives": {"shuffled": 1}, "baselines": ["majority"], "background": 0,
            },
            "t": {"kind": "table", "path": "t.csv", "baselines": ["kmer"]},
        },
        "models": {
            "hub": {"checkpoint": "lab/bert", "revision": "main"},
            "small": {"architecture": small, "tokenizer": {"train": "bpe", "vocabulary": 60}},
        },
        "recipes": {
            "full": {"epochs": 1, "learning_rate": 1e-3},
            "lora": {"method": "lora", "epochs": 1, "learning_rate": 1e-3, "lora": {"rank": 2}},
        },
        "runs": [
            {"dataset": "d", "model": "small", "recipe": "full"},
            {"dataset": "t", "model": "hub", "recipe": "lora"},
        ],
        "evaluation": {"replicates": 200},
        "device": "cpu",
    }  # fmt: skip
    (directory / "config.yaml").write_text(yaml.safe_dump(settings))
    (directory / "witness").mkdir()
    (directory / "witness/sitecustomize.py").write_text(WITNESS)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(ROOT / "tests/conda"), os.environ["PATH"]]),
        "PYTHONPATH": str(directory / "witness"),
        "WITNESS": str(directory / "witness.jsonl"),
        "SCRIPTS": str(ROOT / "scripts"),
        "HF_ENDPOINT": serve(hub),
        "HF_HOME": str(directory / "home"),
        "PYTHONDONTWRITEBYTECODE": "",  # what is imported once is compiled
        "no_proxy": "*",
    }
    yield directory, environment
    stop(files, hub)


@pytest.fixture(scope="module")
def finished(config):
    directory, environment = config
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    command += ["--workflow-profile", ROOT / "profiles/default", "--software-deployment-method", "conda"]
    # by default it takes PYTHONPATH from jobs, and the witness with it
    command += ["--conda-not-block-search-path-envvars"]
    command += ["--configfile", directory / "config.yaml"]
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory


def environments(directory):
    """The prefix of each environment file: Snakemake keeps a copy of the file beside it."""
    found = {}
    for copy in (directory / ".snakemake/conda").glob("*.yaml"):
        (name,) = (n for n in NOT_LISTED if yaml.safe_load((ROOT / n).read_text()) == yaml.safe_load(copy.read_text()))
        found[name] = copy.with_suffix("")
    return found


@pytest.mark.slow
def test_every_rule_has_all_it_needs(finished):
    assert len(RULES) > 25
    assert "<html" in (finished / "results/report/index.html").read_text()
    prefixes = environments(finished)
    assert set(prefixes) == set(NOT_LISTED)
    seen = [json.loads(line) for line in (finished / "witness.jsonl").read_text().splitlines()]
    assert not [one for one in seen if one[2]]
    where = {script: {prefix for name, prefix, _ in seen if name == script} for script, _, _ in seen}
    not_run = MEASURING | (set() if shutil.which("trf") else {"find_repeats"})
    for rule in RULES.keys() - not_run:
        file, script = RULES[rule]
        assert where.get(script) == {str(prefixes[file])}, rule


@pytest.mark.slow
@pytest.mark.parametrize("file", NOT_LISTED)
def test_what_a_file_does_not_list_is_not_there(finished, file):
    prefix = environments(finished)[file]
    code = f"import importlib.util as u; print([n for n in {sorted(NOT_LISTED[file])!r} if u.find_spec(n)])"
    done = subprocess.run([prefix / "bin/python", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_results_say_which_versions_they_were_made_with(finished):
    pins = {line.split(";")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    absent = {"small/full": {"pysam"}, "baseline/kmer": {"pysam", "torch", "transformers", "peft", "accelerate"}}
    for run, without in absent.items():
        versions = json.loads((finished / f"results/d/runs/{run}/seed1/run.json").read_text())["versions"]
        versions.pop("python")
        assert set(versions) <= set(PACKAGES) - without and len(versions) >= 4
        assert {f"{name}=={version.split('+')[0]}" for name, version in versions.items()} <= pins
