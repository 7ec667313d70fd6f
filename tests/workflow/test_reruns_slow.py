"""Every key of the re-run matrix, after a real run, with downloads, a hub, tokenizers and checkpoints."""

import gzip
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT
from hub import Hub
from needed import needs
from reruns import documented, strays
from servers import contents, of_files, serve, stop
from small_models import masked_lm_checkpoint, records, small_tokenizer

from dnalm.config.genomes import Simulation
from planning.edits import EDITS, given, subject
from planning.keys import leaf_keys
from planning.matrix import cells, measure
from planning.plans import dry_runs
from planning.rules import bodies

pytestmark = [
    pytest.mark.slow,
    needs("trf"),
]


def prepare(directory, served):
    """Everything that the subject takes as given or fetches."""
    simulation = Simulation(chromosomes=3, length=60_000, arrays=240, seed=9)
    subprocess.run(
        [
            *(sys.executable, ROOT / "scripts/simulate_genome.py", "--spec", "-"),
            *("--fasta", served / "all.fa.gz", "--vcf", served / "listed.vcf"),
        ],
        input=simulation.model_dump_json(),
        text=True,
        check=True,
    )  # fmt: skip
    text = gzip.decompress((served / "all.fa.gz").read_bytes()).decode()
    (directory / "given.fa").write_text(text)
    for part in text.split(">")[1:]:
        (served / f"{part.split()[0]}.fa").write_text(">" + part)
    rows = [line.split("\t") for line in (served / "listed.vcf").read_text().splitlines() if not line.startswith("#")]
    places = [(row[0], int(row[1]), int(row[1]) + len(row[3]) - 1) for row in rows]  # REF: one base, then the array
    (directory / "placed.bed").write_text("".join(f"{chrom}\t{start}\t{end}\n" for chrom, start, end in places))
    for seed, name in enumerate(("labelled", "train", "validation", "test")):
        records(150, seed).to_csv(directory / f"{name}.csv", index=False)
    measured = records(150, 4)
    gc = measured["sequence"].str.count("[GC]") / measured["sequence"].str.len()
    measured.drop(columns="label").assign(score=gc, other=1 - gc).to_csv(directory / "measured.csv", index=False)
    tokenizer = small_tokenizer()
    tokenizer.save_pretrained(directory / "tokenizer")
    masked_lm_checkpoint(directory / "checkpoint", tokenizer, trained=True)
    for copy, original in given():
        (directory / copy).parent.mkdir(exist_ok=True)
        if copy != original:
            shutil.copy(directory / original, directory / copy)
    return contents(directory / "checkpoint")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory, served = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("served")
    hub = Hub()
    hub.repositories["owner/name"] = prepare(directory, served)
    files = of_files(served)
    config = subject(serve(files))
    (directory / "config.yaml").write_text(yaml.safe_dump(config))
    command = ["snakemake", "--snakefile", ROOT / "Snakefile", "--directory", directory, "--cores", "2"]
    try:
        result = subprocess.run(
            [*map(str, command), "--configfile", str(directory / "config.yaml")],
            env={**os.environ, "HF_ENDPOINT": serve(hub), "HF_HOME": str(served / "home")},
            capture_output=True,
            text=True,
        )
    finally:
        stop(hub, files)
    assert result.returncode == 0, result.stdout + result.stderr
    return directory, config


def test_every_key_re_runs_what_is_documented_and_nothing_of_others(finished):
    directory, config = finished
    assert dry_runs([["--configfile", directory / "config.yaml"]], directory) == [[]]
    order, table, wrong = list(bodies()), documented(), []
    rows = iter(measure(leaf_keys(), directory, config))
    for key in leaf_keys():
        for edit, (change, expected) in zip(EDITS[key], table[key], strict=True):
            row = next(rows)
            if cells(row, order) != expected:
                wrong.append((key, change, cells(row, order), expected))
            if not isinstance(row.plan, str) and (jobs := list(strays(key, edit.entry, row.plan))):
                wrong.append((key, change, jobs))
    assert not wrong
